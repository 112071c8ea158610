"""How fast the bulk producer registers a manifest, and in how much memory."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, update
from sqlalchemy.orm import Session

from geosearch.catalogue.embedded import EmbeddedPostgres
from geosearch.catalogue.intake import Intake
from geosearch.catalogue.models import IntakeRow
from geosearch.catalogue.repository import Catalogue
from geosearch.catalogue.session import migrate, open_engine
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.registration import claims_to_json, register
from geosearch.ingest.sources import PhotoSource

BASELINE_ROWS = 20_000
"""Rows that the baseline adds; it is slow, and its rate does not depend on how many."""


def registration(progress: Callable[[str], None] | None = None, *, size: int = 1_000_000) -> Any:
    """Rows a second of registering a CSV manifest of `size` rows, against plain ORM adds.

    Both read the same manifest and write the same table of an embedded PostgreSQL. The producer
    runs in a process of its own, whose peak memory is told; a second pass over the same rows, all
    of them finished, is what resuming costs.
    """
    say = progress or (lambda _: None)
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as name:
        scratch = Path(name)
        say(f"writing a manifest of {size} rows")
        manifest = scratch / "labels.csv"
        _write_manifest(manifest, size)
        server = EmbeddedPostgres(scratch / "postgres")
        try:
            say("adding rows one by one")
            baseline = _orm_rate(server.url, manifest, min(size, BASELINE_ROWS))
            say("registering")
            first = _in_child(server.url, manifest)
            say("registering what is finished")
            again = _in_child(server.url, manifest)
        finally:
            server.close()
    rows = [
        {
            "case": case,
            "rows": size,
            "per_second": size / seconds,
            "ratio": size / seconds / baseline,
            "baseline": f"session.add of {min(size, BASELINE_ROWS)} rows: {baseline:.0f}/s",
            "peak_mb": peak_mb,
            "to_read": to_read,
        }
        for case, (seconds, peak_mb, to_read) in {"first": first, "again": again}.items()
    ]
    return {"name": "register", "rows": rows}


def _write_manifest(path: Path, size: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("url,lat,lon,captured_at,author,dataset,caption\n")
        for i in range(size):
            file.write(
                f"https://photos.example.org/{i % 977:03d}/{i:09d}.jpg,{i % 1789 / 10 - 89:.4f},"
                f"{i % 3581 / 10 - 179:.4f},2024-05-{i % 28 + 1:02d}T{i % 24:02d}:00:00Z,"
                f'author {i % 4001},archive,"photo {i}, as the archive has it"\n'
            )


def _sources(manifest: Path, limit: int) -> Iterator[PhotoSource]:
    for number, source in enumerate(read_manifest(manifest)):
        if number >= limit:
            return
        if isinstance(source, PhotoSource):
            yield source


def _orm_rate(url: str, manifest: Path, limit: int) -> float:
    engine = open_engine(url)
    migrate(engine)
    run_id = Catalogue(engine).begin_run("bench", {})
    start = time.perf_counter()
    with Session(engine) as session:
        for number, source in enumerate(_sources(manifest, limit), start=1):
            session.add(
                IntakeRow(
                    uri=source.uri,
                    claims=claims_to_json(source.claims),
                    digest=bytes(16),
                    run_id=run_id,  # a foreign key to check for each row, as the producer's has
                )
            )
            if number % 1000 == 0:
                session.commit()
        session.commit()
    rate = limit / (time.perf_counter() - start)
    with engine.begin() as connection:
        connection.execute(delete(IntakeRow))
    engine.dispose()
    return rate


def _in_child(url: str, manifest: Path) -> tuple[float, float, int]:
    """Seconds, peak memory in MB and ids handed out, of a producer in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_produce, args=(url, str(manifest), sender))
    process.start()
    sender.close()
    try:
        answer: tuple[float, float, int] = receiver.recv()
    finally:
        process.join()
    return answer


def _produce(url: str, manifest: str, answer: Any) -> None:
    engine = open_engine(url)
    intake, catalogue = Intake(engine), Catalogue(engine)
    run_id = catalogue.begin_run("bench", {})
    start, handed_out = time.perf_counter(), 0
    for batch in register(
        intake, catalogue, read_manifest(Path(manifest)), run_id=run_id, purpose="bench"
    ):
        handed_out += len(batch.ids)
    seconds = time.perf_counter() - start
    with engine.begin() as connection:  # stands for the readers, so that the second pass skips all
        connection.execute(update(IntakeRow).values(finished_at=func.now(), claims=None))
    engine.dispose()
    answer.send((seconds, _peak_mb(), handed_out))


def _peak_mb() -> float:
    """Most memory that this process ever had resident.

    Not by getrusage: there a process begins with what its parent had.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak_kib) * 1024 / 1e6
