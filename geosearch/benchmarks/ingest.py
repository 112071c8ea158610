"""How much the record and the index cost on top of reading, decoding and encoding.

Photos are drawn (`postcards`), a few scenes at full size; every file gets a comment of its own, so
that all differ in their bytes and cost the same to decode.
"""

from __future__ import annotations

import multiprocessing
import queue
import resource
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.embedder import Embedder, load_embedder
from geosearch.geo import Coordinate
from geosearch.ingest.folders import scan
from geosearch.postcards import CITIES, write_postcards
from geosearch.services import Services
from geosearch.settings import load_settings

FOUR_MEGAPIXELS = (2448, 1632)
SMALL = (640, 448)
SCENES = 40
ROUNDS = 3
GRID = [(2, 16), (2, 32), (3, 32), (4, 32)]
"""Threads and batch sizes to choose from."""

Say = Callable[[str], None]


def throughput(progress: Say | None = None, *, size: int = 1000) -> dict[str, Any]:
    """Photos a second of the whole pipeline against decoding and encoding alone.

    Both run in this process on the same `size` JPEGs of 4 megapixels with `lite`, in turn, three
    times; threads and batch are the best for each of the two, tried twice on a quarter of the
    files. The encoder, the engines and the gazetteer are open already, as in a process at work.
    """
    say = progress or _silent
    embedder = load_embedder("lite")
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as name:
        scratch = Path(name)
        say(f"drawing {size} photos of 4 megapixels")
        paths = write_photos(scratch / "photos", size, FOUR_MEGAPIXELS)
        sample = paths[: max(32, size // 4)]
        plain: dict[tuple[int, int], float] = defaultdict(float)
        whole: dict[tuple[int, int], float] = defaultdict(float)
        for threads, batch in GRID * 2:
            alone = plain_rate(embedder, sample, threads=threads, batch=batch)
            pipeline = _pipeline_rate(embedder, sample, scratch, threads=threads, batch=batch)
            plain[threads, batch] = max(alone, plain[threads, batch])
            whole[threads, batch] = max(pipeline, whole[threads, batch])
        best_plain = max(plain, key=plain.__getitem__)
        best_whole = max(whole, key=whole.__getitem__)
        say(f"best (threads, batch): alone {best_plain}, pipeline {best_whole}")
        rounds = []
        for number in range(ROUNDS):
            alone = plain_rate(embedder, paths, threads=best_plain[0], batch=best_plain[1])
            pipeline = _pipeline_rate(
                embedder, paths, scratch, threads=best_whole[0], batch=best_whole[1]
            )
            rounds.append((pipeline, alone))
            say(f"round {number + 1}: pipeline {pipeline:.1f}/s, alone {alone:.1f}/s")
        megabytes = sum(path.stat().st_size for path in paths) / len(paths) / 1e6
    ratios = [pipeline / alone for pipeline, alone in rounds]
    row = {
        "photos": size,
        "megabytes_each": megabytes,
        "per_second": statistics.median(pipeline for pipeline, _ in rounds),
        "baseline": statistics.median(alone for _, alone in rounds),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "threads_batch": {"pipeline": best_whole, "baseline": best_plain},
    }
    return {"name": "ingest", "rows": [row]}


def memory(progress: Say | None = None, *, size: int = 1000) -> dict[str, Any]:
    """Peak memory of ingesting `size` and five times as many photos, each in a new process."""
    say = progress or _silent
    peaks = []
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as name:
        scratch = Path(name)
        for count in (size, 5 * size):
            say(f"ingesting {count} photos")
            folder = scratch / f"photos-{count}"
            write_photos(folder, count, SMALL)
            context = multiprocessing.get_context("spawn")
            with context.Pool(1) as pool:
                peaks.append(pool.apply(_peak_megabytes, (folder, scratch / f"home-{count}")))
    rows = [
        {"photos": count, "peak_mb": total, "peak_anonymous_mb": anonymous}
        for count, (total, anonymous) in zip((size, 5 * size), peaks, strict=True)
    ]
    growth = {
        "photos": f"{size} to {5 * size}",
        "growth_mb": peaks[1][0] - peaks[0][0],
        "growth_anonymous_mb": peaks[1][1] - peaks[0][1],
    }
    return {"name": "memory", "rows": [*rows, growth]}


def repetition(progress: Say | None = None, *, size: int = 1000) -> dict[str, Any]:
    """Seconds of the second ingest of an unchanged folder against the first."""
    say = progress or _silent
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as name:
        scratch = Path(name)
        say(f"drawing {size} photos")
        write_photos(scratch / "photos", size, SMALL)
        settings = load_settings(home=scratch / "home", encoder="lite")
        with Services(settings) as services:
            seconds = []
            for number in range(4):
                start = time.perf_counter()
                services.pipeline.run(scan([scratch / "photos"]), inputs={})
                seconds.append(time.perf_counter() - start)
                say(f"ingest {number + 1}: {seconds[-1]:.2f} s")
    again = statistics.median(seconds[1:])
    row = {
        "photos": size,
        "first_s": seconds[0],
        "again_s": again,
        "ratio": seconds[0] / again,
        "baseline": "first ingest, small photos",
    }
    return {"name": "reingest", "rows": [row]}


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """`count` labelled JPEGs with different bytes, from a few drawn scenes."""
    scenes = write_postcards(
        folder.parent / f"scenes-{size[0]}",
        cities=CITIES[:SCENES],
        views_per_city=1,
        held_out_per_city=0,
        size=size,
    ).labelled
    folder.mkdir(parents=True)
    originals = [path.read_bytes() for path in scenes]
    paths = []
    for number in range(count):
        data = originals[number % len(originals)]
        comment = f"copy {number}".encode()
        # A comment segment directly after the start marker (ISO 10918-1, B.2.4.5).
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        path = folder / f"{number:06d}.jpg"
        path.write_bytes(data[:2] + segment + data[2:])
        paths.append(path)
    return paths


def plain_rate(embedder: Embedder, paths: Sequence[Path], *, threads: int, batch: int) -> float:
    """Photos a second when only reading, decoding and encoding, overlapped as well as can be."""
    ready: queue.Queue[Future[NDArray[np.uint8]] | None] = queue.Queue(maxsize=4 * batch)

    def encode() -> None:
        waiting = []
        while (future := ready.get()) is not None:
            waiting.append(future.result())
            if len(waiting) == batch:
                embedder.encode(waiting)
                waiting = []
        if waiting:
            embedder.encode(waiting)

    def prepare(path: Path) -> NDArray[np.uint8]:
        return embedder.prepare(path.read_bytes())

    start = time.perf_counter()
    encoder = threading.Thread(target=encode)
    encoder.start()
    with ThreadPoolExecutor(threads) as pool:
        for path in paths:
            ready.put(pool.submit(prepare, path))
        ready.put(None)
        encoder.join()
    return len(paths) / (time.perf_counter() - start)


def _pipeline_rate(
    embedder: Embedder, paths: Sequence[Path], scratch: Path, *, threads: int, batch: int
) -> float:
    """Photos a second of a whole ingest into an empty home whose engines are already open."""
    with tempfile.TemporaryDirectory(dir=scratch) as home:
        settings = load_settings(
            home=Path(home), encoder="lite", decode_threads=threads, batch_size=batch
        )
        with Services(settings, load_embedder=lambda _: embedder) as services:
            pipeline = services.pipeline
            services.gazetteer.lookup([Coordinate(0.0, 0.0)])
            start = time.perf_counter()
            report = pipeline.run(scan(paths), inputs={})
            seconds = time.perf_counter() - start
    if report.indexed != len(paths):
        raise RuntimeError(f"{report.indexed} of {len(paths)} photos were indexed")
    return len(paths) / seconds


def _peak_megabytes(folder: Path, home: Path) -> tuple[float, float]:
    """Peak resident memory of an ingest, in all and without pages of files."""
    peak_anonymous = 0.0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak_anonymous
        while not done.wait(0.05):
            status = Path("/proc/self/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            peak_anonymous = max(peak_anonymous, int(line.split()[1]) / 1024.0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with Services(load_settings(home=home, encoder="lite")) as services:
        services.pipeline.run(scan([folder]), inputs={})
    done.set()
    watcher.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, peak_anonymous


def _silent(_: str) -> None:
    pass
