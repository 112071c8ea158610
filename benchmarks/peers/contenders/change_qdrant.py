"""Qdrant one by one: a call for each point, to qdrant-client's local mode or to Qdrant Edge."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client import QdrantClient, models

from peers.contenders.contender import Answer, Clock, Request, play


def payload(number: int, shift: float) -> dict[str, object]:
    """Facts of a point; the label moves with `shift`."""
    return {
        "location": {"lat": number % 170 - 85 + shift, "lon": number % 360 - 180 + shift},
        "dataset": "archive",
        "country": "SE",
        "author": f"author {number % 4001}",
    }


def measure(request: Request) -> Answer:
    """Points a second of changing facts and of deleting."""
    n, changed, dim = request["points"], request["changed"], request["dim"]
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    changing, deleting = Clock(), Clock()
    with tempfile.TemporaryDirectory(dir=request["scratch"]) as scratch:
        change, delete, flush = opened(request["engine"], Path(scratch), vectors)
        with changing.running():
            for number in range(changed):
                change(number)
            flush()
        with deleting.running():
            for number in range(changed):
                delete(number)
            flush()
    return {
        "changed_per_second": changed / changing.seconds[0],
        "deleted_per_second": changed / deleting.seconds[0],
    }


def opened(
    engine: str, scratch: Path, vectors: np.ndarray
) -> tuple[Callable[[int], None], Callable[[int], None], Callable[[], None]]:
    """A filled collection: what changes a point of it, what deletes one, what makes it durable."""
    if engine == "edge":
        return edge_shard(scratch, vectors)
    client = QdrantClient(path=str(scratch / "local"))
    client.create_collection(
        "photos",
        vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.upload_collection(
            "photos",
            vectors=vectors,
            payload=(payload(number, 0.0) for number in range(len(vectors))),
            ids=range(len(vectors)),
        )

    def change(number: int) -> None:
        client.overwrite_payload("photos", payload(number, 0.25), points=[number])

    def delete(number: int) -> None:
        client.delete("photos", points_selector=[number])

    return change, delete, lambda: None  # written with every call


def edge_shard(
    scratch: Path, vectors: np.ndarray
) -> tuple[Callable[[int], None], Callable[[int], None], Callable[[], None]]:
    """The same with Qdrant Edge, indexed fields and graph included."""
    path = scratch / "shard"
    path.mkdir()
    shard = edge.EdgeShard.create(
        str(path),
        edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(size=vectors.shape[1], distance=edge.Distance.Cosine)
        ),
    )
    kinds = edge.PayloadSchemaType
    for name, kind in {"location": kinds.Geo, "dataset": kinds.Keyword, "country": kinds.Keyword,
                       "author": kinds.Keyword}.items():  # fmt: skip
        shard.update(edge.UpdateOperation.create_field_index(name, kind))
    for start in range(0, len(vectors), 1000):
        points = [
            edge.Point(UUID(int=number), vector.tolist(), payload(number, 0.0))
            for number, vector in enumerate(vectors[start : start + 1000], start)
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()

    def change(number: int) -> None:
        operation = edge.UpdateOperation.overwrite_payload(
            [UUID(int=number)], payload(number, 0.25)
        )
        shard.update(operation)

    def delete(number: int) -> None:
        shard.update(edge.UpdateOperation.delete_points([UUID(int=number)]))

    return change, delete, shard.flush


if __name__ == "__main__":
    play(measure, "qdrant-client", "qdrant-edge-py")
