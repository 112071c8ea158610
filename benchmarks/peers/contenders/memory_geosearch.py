"""GeoSearch's index in one of its layouts: built, or opened, searched and weighed."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np

from geosearch.geo import Coordinate
from geosearch.store import planning
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.edge import EdgeStore
from geosearch.store.layout import Quantization, VectorLayout
from peers.contenders.contender import Answer, Clock, Request, anonymous_mb, play, resident_mb

CHUNK = 1000


def measure(request: Request) -> Answer:
    """Seconds of building and the size on disk, or ids found and what stayed in memory."""
    inputs, directory = Path(request["inputs"]), Path(request["index"])
    layout = VectorLayout(Quantization(request["quantization"]), request["on_disk"])
    queries = np.load(inputs / "queries.npy")
    is_new = not directory.exists()
    before, before_anonymous = resident_mb(), anonymous_mb()
    store = EdgeStore(directory, dim=queries.shape[1], identity="peers", layout=layout)
    if is_new:
        return build(inputs, store)
    planning.search(store, queries[0], limit=request["k"])
    found, clock = [], Clock()
    for query in queries:
        with clock.running():
            hits = planning.search(store, query, limit=request["k"]).hits
        found.append([hit.id.int for hit in hits])
    answer = {
        "found": found,
        "ms": clock.milliseconds,
        "cpu_ms": clock.cpu_ms,
        "resident_mb": resident_mb() - before,
        "anonymous_mb": anonymous_mb() - before_anonymous,
    }
    store.close()
    return answer


def build(inputs: Path, store: EdgeStore) -> Answer:
    """Write every vector and build the graph."""
    vectors = np.load(inputs / "vectors.npy", mmap_mode="r")
    places = np.load(inputs / "independent.npy").tolist()
    clock = Clock()
    with clock.running():
        for start in range(0, len(vectors), CHUNK):
            some = np.asarray(vectors[start : start + CHUNK])
            store.upsert(
                [
                    VectorPoint(UUID(int=number), vector, PointPayload(Coordinate(*places[number])))
                    for number, vector in enumerate(some, start)
                ]
            )
        store.optimize()
    store.close()
    files = (path for path in store.directory.rglob("*") if path.is_file())
    return {
        "build_s": clock.seconds[0],
        "disk_mb": sum(path.stat().st_blocks * 512 for path in files) / 1e6,
    }


if __name__ == "__main__":
    play(measure, "qdrant-edge-py")
