"""GeoSearch's index: `planning.rank` as every search calls it, or a plain filtered walk."""

from __future__ import annotations

import itertools
import mmap
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from geosearch.areas import Circle
from geosearch.geo import Coordinate
from geosearch.store import planning
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import Within
from peers.contenders.contender import Answer, Clock, Request, padded, play, resident_mb

CHUNK = 1000


def measure(request: Request) -> Answer:
    """Ids and milliseconds of every query, counting what matches included."""
    inputs, directory = Path(request["inputs"]), Path(request["index"])
    queries = np.load(inputs / "queries.npy")
    dim = queries.shape[1]
    if not directory.exists():
        return build(request, inputs, directory)
    before = resident_mb()
    store = EdgeStore(directory, dim=dim, identity="peers")
    touch(directory)
    if request["action"] == "filtered":
        found = filtered(request, inputs, store, queries)
    else:
        efs = [None] if request["plan"] == "planned" else request["efs"]
        tries = {str(ef): searched(store, queries, request["k"], ef) for ef in efs}
        found = {"tries": tries, "resident_mb": resident_mb() - before}
    store.close()
    return found


def build(request: Request, inputs: Path, directory: Path) -> Answer:
    """Write every vector and build the graph; seconds of both, and the size on disk."""
    vectors = np.load(inputs / "vectors.npy", mmap_mode="r")
    places = np.load(inputs / f"{request['places']}.npy").tolist()
    writing, optimizing = Clock(), Clock()
    store = EdgeStore(directory, dim=vectors.shape[1], identity="peers")
    with writing.running():
        for start in range(0, len(vectors), CHUNK):
            some = np.asarray(vectors[start : start + CHUNK])
            store.upsert(
                [
                    VectorPoint(UUID(int=number), vector, PointPayload(Coordinate(*places[number])))
                    for number, vector in enumerate(some, start)
                ]
            )
    with optimizing.running():
        store.optimize()
    store.close()
    files = (path for path in directory.rglob("*") if path.is_file())
    return {
        "build_s": writing.seconds[0] + optimizing.seconds[0],
        "write_s": writing.seconds[0],
        "graph_s": optimizing.seconds[0],
        "disk_mb": sum(path.stat().st_blocks * 512 for path in files) / 1e6,
    }


def searched(store: EdgeStore, queries: np.ndarray, k: int, ef: int | None) -> dict[str, Any]:
    """Ids and milliseconds, planned when `ef` is None, or by a plain walk of that effort."""
    planning.rank(store, queries[0], limit=k, free_ef=planning.PHOTO_EF)
    ids, clock = [], Clock()
    for query in queries:
        with clock.running():
            if ef is None:
                hits = list(planning.rank(store, query, limit=k, free_ef=planning.PHOTO_EF).hits)
            else:
                hits = store.rank(query, None, k, ef=ef)
        ids.append([hit.id.int for hit in hits])
    return {"found": ids, "ms": clock.milliseconds, "cpu_ms": clock.cpu_ms}


def filtered(request: Request, inputs: Path, store: EdgeStore, queries: np.ndarray) -> Answer:
    """Circles of every size, planned or by the engine's own filtered walk."""
    circles = np.load(inputs / f"{request['places']}-circles.npy")  # (sizes, queries, 3)
    k, rows = request["k"], []
    if request["plan"] == "planned":
        warm(store, circles[0])
    for size in circles:
        areas = [Within(Circle(Coordinate(lat, lon), km)) for lat, lon, km in size.tolist()]
        for query, area in list(zip(queries, areas, strict=True))[:3]:
            store.rank(query, area, k)
        ids, clock = [], Clock()
        for query, area in zip(queries, areas, strict=True):
            with clock.running():
                if request["plan"] == "planned":
                    hits = list(planning.rank(store, query, area, k).hits)
                else:
                    hits = store.rank(query, area, k)
            ids.append(padded([hit.id.int for hit in hits], k))
        rows.append({"found": ids, "ms": clock.milliseconds, "cpu_ms": clock.cpu_ms})
    return {"rows": rows}


def touch(directory: Path) -> None:
    """Read a byte of every page of an index once, as a process that has been asked for a while has.

    Opening brings the files into memory, but in a virtual machine the first touch of each page is
    still a fault of its host (10 µs): of 50 vectors compared 0.7 ms.
    """
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_size:
            np.memmap(path, mode="r")[:: mmap.PAGESIZE].sum()


def warm(store: EdgeStore, circles: np.ndarray) -> None:
    """Count until the coordinates are in memory, as in a process that has been asked for a while.

    Raises:
        TimeoutError: they are not after a minute.
    """
    deadline = time.monotonic() + 60.0
    for lat, lon, km in itertools.cycle(circles.tolist()):
        store.count(Within(Circle(Coordinate(lat, lon), km)))
        if store.counts_in_memory:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("the coordinates are still not in memory")
        time.sleep(0.01)


if __name__ == "__main__":
    play(measure, "qdrant-edge-py")
