"""What only a server does: names shared by processes, aliases, refusals over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from support.qdrant_server import QdrantServer

from geosearch.errors import StoreError
from geosearch.geo import Coordinate
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.server import ServerStore
from geosearch.store.server.connection import connect

from .conftest import DIM, IDENTITY


@pytest.fixture
def client(qdrant_url: str) -> QdrantClient:
    return connect(qdrant_url, api_key=os.environ.get("QDRANT_API_KEY"))


def test_a_collection_is_reached_by_an_alias_that_moves(client: QdrantClient) -> None:
    old, new, alias = (f"geosearch-test-{uuid4()}" for _ in range(3))
    stores = [ServerStore(client, name, dim=DIM, identity=IDENTITY) for name in (old, new)]
    point = VectorPoint(uuid4(), np.ones(DIM, np.float32), PointPayload(Coordinate(1, 2)))
    stores[1].upsert([point])
    for name, count in ((old, 0), (new, 1)):
        create = models.CreateAlias(collection_name=name, alias_name=alias)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
        assert ServerStore(client, alias, dim=DIM, identity=IDENTITY).count() == count
    for name in (old, new):
        client.delete_collection(name)
    client.close()


def test_indexes_stand_before_the_first_point_and_filters_need_them(client: QdrantClient) -> None:
    name = f"geosearch-test-{uuid4()}"
    ServerStore(client, name, dim=DIM, identity=IDENTITY)
    schema = client.get_collection(name).payload_schema
    assert set(schema) == {"location", "captured_at", "dataset", "country", "author"}
    unindexed = models.FieldCondition(key="colour", match=models.MatchValue(value="red"))
    with pytest.raises(Exception, match="Index required"):
        client.scroll(name, scroll_filter=models.Filter(must=[unindexed]))
    client.delete_collection(name)
    client.close()


def test_a_server_that_refuses_is_an_error_of_ours_and_passes(tmp_path: Path) -> None:
    with QdrantServer(tmp_path) as server:
        store = ServerStore(connect(server.url), "photos", dim=DIM, identity=IDENTITY)
        server.refuse(True)
        with pytest.raises(StoreError, match="503"):
            store.count()
        server.refuse(False)
        assert store.count() == 0
        store.close()
