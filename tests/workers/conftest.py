from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from support.cluster import Cluster, Valkey
from support.qdrant_server import QdrantServer

MakeJpeg = Callable[..., bytes]


@pytest.fixture(scope="session")
def shared_qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    with QdrantServer(tmp_path_factory.mktemp("qdrant-workers")) as server:
        yield server


@pytest.fixture
def qdrant(shared_qdrant: QdrantServer) -> QdrantServer:
    """A server without collections."""
    shared_qdrant.refuse(False)
    client = QdrantClient(url=shared_qdrant.url, check_compatibility=False)
    for collection in client.get_collections().collections:
        client.delete_collection(collection.name)
    client.close()
    return shared_qdrant


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = Valkey()
    yield server
    server.close()


@pytest.fixture
def cluster(
    database_url: str, qdrant: QdrantServer, valkey: Valkey, tmp_path: Path
) -> Iterator[Cluster]:
    cluster = Cluster(database_url, qdrant, valkey.url, tmp_path)
    yield cluster
    cluster.close()


@pytest.fixture
def draw(make_jpeg: MakeJpeg) -> Callable[[Path, int], None]:
    """Draws so many labelled photos, all different, into a folder."""

    def draw(folder: Path, count: int) -> None:
        for number in range(count):
            gps = (-60 + 100 * number / count, 300 * number / count - 150)
            (folder / f"{number:05d}.jpg").write_bytes(make_jpeg(number, gps=gps))

    return draw
