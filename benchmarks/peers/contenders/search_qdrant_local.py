"""qdrant-client's local mode: the whole collection in memory, compared one by one by numpy."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models

from peers.contenders.contender import Answer, Clock, Request, play, resident_mb


def measure(request: Request) -> Answer:
    """Ids and milliseconds of every query; it is filled anew each time, as it keeps nothing."""
    inputs = Path(request["inputs"])
    vectors = np.load(inputs / "vectors.npy")
    before = resident_mb()
    client = QdrantClient(":memory:")
    client.create_collection(
        "photos",
        vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE),
    )
    build, clock = Clock(), Clock()
    with warnings.catch_warnings(), build.running():
        warnings.simplefilter("ignore")  # it advises a server for large collections
        client.upload_collection("photos", vectors=vectors, ids=range(len(vectors)), batch_size=256)
    found = []
    for query in np.load(inputs / "queries.npy"):
        with clock.running():
            hits = client.query_points("photos", query=query, limit=request["k"]).points
        found.append([hit.id for hit in hits])
    return {
        "build_s": build.seconds[0],
        "tries": {"None": {"found": found, "ms": clock.milliseconds, "cpu_ms": clock.cpu_ms}},
        "resident_mb": resident_mb() - before,
    }


if __name__ == "__main__":
    play(measure, "qdrant-client", "numpy")
