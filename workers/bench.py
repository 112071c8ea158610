"""`geosearch bench workers`: photos a second of one and two workers against the same in process.

Needs servers and a broker to try on; what it takes in stays there.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from geosearch.benchmarks.ingest import FOUR_MEGAPIXELS, write_photos
from geosearch.errors import GeosearchError
from geosearch.geo import Coordinate
from geosearch.ingest.folders import scan
from geosearch.services import Services
from geosearch.settings import Settings, load_settings
from workers.broker import open_broker
from workers.lifecycle import READY
from workers.producer import Producer

Say = Callable[[str], None]

START_LIMIT_S = 300.0
ROUNDS = 3
POLL_S = 0.05

COMMAND = [sys.executable, "-c", "from geosearch.cli import main; main(['worker'])"]


def throughput(progress: Say | None = None, *, size: int = 400) -> dict[str, Any]:
    """Photos a second of one worker, of two with one thread each, and in process, in turn.

    Every measurement takes in `size` JPEGs of 4 megapixels that nobody has seen, with `lite`, on
    the servers that the settings name. Models are loaded before the clock starts.
    """
    say = progress or _silent
    settings = load_settings(encoder="lite")
    open_broker(settings).close()  # says at once what is not set
    rates: dict[str, list[float]] = {"in process": [], "one worker": [], "two workers": []}
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as name:
        scratch = Path(name)
        for number in range(ROUNDS):
            folders = [scratch / f"{number}-{kind}" for kind in rates]
            for folder in folders:
                _draw(folder, size)
            rates["in process"].append(_in_process(settings, folders[0]))
            rates["one worker"].append(_by_workers(settings, folders[1], scratch, [{}]))
            single = {"OMP_NUM_THREADS": "1", "GEOSEARCH_DECODE_THREADS": "1"}
            rates["two workers"].append(_by_workers(settings, folders[2], scratch, [single] * 2))
            say(", ".join(f"{kind}: {found[-1]:.1f}/s" for kind, found in rates.items()))
    baseline = rates["in process"]
    rows = [
        {
            "kind": kind,
            "photos": size,
            "per_second": statistics.median(found),
            "baseline": statistics.median(baseline),
            "ratio": statistics.median(
                mine / theirs for mine, theirs in zip(found, baseline, strict=True)
            ),
        }
        for kind, found in rates.items()
    ]
    return {"name": "workers", "rows": rows}


def _draw(folder: Path, size: int) -> None:
    """Photos with bytes of their own: the name of the folder is a part of each."""
    for path in write_photos(folder, size, FOUR_MEGAPIXELS):
        data = path.read_bytes()
        comment = f"{time.time_ns()} {path}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        path.write_bytes(data[:2] + segment + data[2:])


def _in_process(settings: Settings, folder: Path) -> float:
    with Services(settings) as services:
        pipeline = services.pipeline
        services.gazetteer.lookup([Coordinate(0.0, 0.0)])
        embedder = services.embedder
        embedder.encode([embedder.prepare(next(folder.iterdir()).read_bytes())])
        start = time.perf_counter()
        report = pipeline.run(scan([folder]), inputs={"bench": "in process"})
        return _rate(report.indexed, report.scanned, time.perf_counter() - start)


def _by_workers(
    settings: Settings, folder: Path, scratch: Path, environments: list[dict[str, str]]
) -> float:
    with _workers(scratch, environments), Services(settings) as services:
        broker = open_broker(settings)
        try:
            producer = Producer(services, broker, wait=lambda _: time.sleep(POLL_S))
            start = time.perf_counter()
            sent = producer.send(scan([folder]), inputs={"bench": "workers"})
            report = producer.follow(sent.run_id)
            return _rate(report.indexed, report.scanned, time.perf_counter() - start)
        finally:
            broker.close()


@contextmanager
def _workers(scratch: Path, environments: list[dict[str, str]]) -> Iterator[None]:
    """Workers that are ready, as processes; stopped at the end."""
    running = []
    try:
        for number, environment in enumerate(environments):
            log = scratch / f"worker-{number}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    COMMAND,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "GEOSEARCH_ENCODER": "lite", **environment},
                )
            running.append((process, log))
        end = time.monotonic() + START_LIMIT_S
        for process, log in running:
            while READY not in log.read_text():
                if process.poll() is not None or time.monotonic() > end:
                    raise GeosearchError(f"a worker did not start: {log.read_text()[-2000:]}")
                time.sleep(0.1)
        yield
    finally:
        for process, _ in running:
            process.terminate()
        for process, _ in running:
            process.wait()


def _rate(indexed: int, scanned: int, seconds: float) -> float:
    if indexed != scanned:
        raise GeosearchError(f"{indexed} of {scanned} photos were indexed")
    return scanned / seconds


def _silent(_: str) -> None:
    pass
