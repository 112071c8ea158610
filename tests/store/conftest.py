from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient
from support.qdrant_server import QdrantServer

from geosearch.store.base import VectorStore
from geosearch.store.edge import EdgeStore
from geosearch.store.server import ServerStore
from geosearch.store.server.connection import connect

DIM = 8
IDENTITY = "test-encoder"

OpenStore = Callable[..., VectorStore]


@pytest.fixture(scope="session")
def qdrant_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that QDRANT_URL names, else one that speaks the same API with Edge behind it."""
    url = os.environ.get("QDRANT_URL")
    if url is not None:
        yield url
        return
    with QdrantServer(tmp_path_factory.mktemp("qdrant")) as server:
        yield server.url


@pytest.fixture(params=["edge", "memory", "server"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the same collection again each time; what is still open at the end is closed."""
    opened: list[VectorStore] = []
    name = f"geosearch-test-{uuid4()}"
    client = QdrantClient(":memory:")
    if request.param == "server":
        url = request.getfixturevalue("qdrant_url")
        client = connect(url, api_key=os.environ.get("QDRANT_API_KEY"))

    def open_it(*, dim: int = DIM, identity: str = IDENTITY) -> VectorStore:
        store: VectorStore
        if request.param == "edge":
            store = EdgeStore(tmp_path / "vectors", dim=dim, identity=identity)
        else:
            store = ServerStore(client, name, dim=dim, identity=identity)
        opened.append(store)
        return store

    yield open_it
    for store in opened:
        store.close()
    client.close()
    if request.param == "server":  # by another client, because a store closes its own
        cleaner = connect(url, api_key=os.environ.get("QDRANT_API_KEY"))
        cleaner.delete_collection(name)
        cleaner.close()


@pytest.fixture
def store(open_store: OpenStore) -> VectorStore:
    return open_store()
