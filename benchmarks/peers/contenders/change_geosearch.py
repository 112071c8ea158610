"""GeoSearch's index: new facts for many points at once, and many points deleted at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import UUID

import numpy as np

from geosearch.geo import Coordinate
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.edge import EdgeStore
from peers.contenders.contender import Answer, Clock, Request, play


def payload(number: int, shift: float) -> PointPayload:
    """Facts of a point; the label moves with `shift`."""
    place = Coordinate(number % 170 - 85 + shift, number % 360 - 180 + shift)
    return PointPayload(place, dataset="archive", country="SE", author=f"author {number % 4001}")


def measure(request: Request) -> Answer:
    """Points a second of both, the flush to disk included."""
    n, changed, dim = request["points"], request["changed"], request["dim"]
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    with tempfile.TemporaryDirectory(dir=request["scratch"]) as scratch:
        store = EdgeStore(Path(scratch) / "store", dim=dim, identity="peers")
        for start in range(0, n, 1000):
            store.upsert(
                [
                    VectorPoint(UUID(int=number), vectors[number], payload(number, 0.0))
                    for number in range(start, min(start + 1000, n))
                ]
            )
        store.optimize()
        changing, deleting = Clock(), Clock()
        moved = {UUID(int=number): payload(number, 0.25) for number in range(changed)}
        with changing.running():
            store.set_payload(moved)
            store.flush()
        with deleting.running():
            store.delete(list(moved))
            store.flush()
        if store.count() != n - changed:
            raise RuntimeError(f"{store.count()} points are left of {n} after deleting {changed}")
        store.close()
    return {
        "changed_per_second": changed / changing.seconds[0],
        "deleted_per_second": changed / deleting.seconds[0],
    }


if __name__ == "__main__":
    play(measure, "qdrant-edge-py")
