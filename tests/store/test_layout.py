"""How new collections keep their vectors."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
import qdrant_edge as edge

from geosearch.geo import Coordinate
from geosearch.services import Services
from geosearch.settings import Settings
from geosearch.store.base import PointPayload, VectorPoint, VectorStore
from geosearch.store.edge import EdgeStore, _config
from geosearch.store.inventory import StoredCollection
from geosearch.store.layout import STANDARD, Quantization, VectorLayout
from geosearch.store.server import ServerStore
from geosearch.store.server.connection import connect

DIM = 64
COUNT = 400
KINDS = {
    Quantization.INT8: edge.ScalarQuantizationConfig,
    Quantization.INT4: edge.TurboQuantQuantizationConfig,
    Quantization.NONE: type(None),
}


def _assert_finds_what_is_nearest(store: VectorStore) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(COUNT, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    payload = PointPayload(Coordinate(1.0, 2.0))
    store.upsert([VectorPoint(UUID(int=n), vectors[n], payload) for n in range(COUNT)])
    store.optimize()
    for query in vectors[:20]:
        truth = np.argsort(-(vectors @ query))[:10]
        hits = store.query(query, limit=10, ef=256)
        assert len({hit.id.int for hit in hits} & {*truth.tolist()}) >= 9
        assert hits[0].score == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("on_disk", "memory"), [(False, edge.Memory.Cached), (True, edge.Memory.Cold)]
)
def test_payloads_are_in_memory_from_the_start_unless_vectors_are_on_disk(
    tmp_path: Path, on_disk: bool, memory: edge.Memory
) -> None:
    layout = VectorLayout(on_disk=on_disk)
    assert _config(DIM, layout).payload_memory == memory
    EdgeStore(tmp_path / "vectors", dim=DIM, identity="test", layout=layout).close()
    kept = json.loads((tmp_path / "vectors" / "shard" / "edge_config.json").read_text())
    assert kept["payload_memory"] == str(memory).rpartition(".")[2].lower()


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("copies", list(Quantization))
def test_the_embedded_engine_finds_the_nearest_in_every_layout(
    tmp_path: Path, copies: Quantization, on_disk: bool
) -> None:
    layout = VectorLayout(copies, on_disk=on_disk)
    config = _config(DIM, layout)
    assert type(config.quantization_config) is KINDS[copies]
    store = EdgeStore(tmp_path / "vectors", dim=DIM, identity="test", layout=layout)
    _assert_finds_what_is_nearest(store)
    store.close()
    # One that is there stays as it was made, whatever is asked for now.
    again = EdgeStore(tmp_path / "vectors", dim=DIM, identity="test", layout=STANDARD)
    assert again.count() == COUNT
    again.close()


@pytest.mark.parametrize(
    ("copies", "expected"),
    [
        (Quantization.INT8, {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}),
        (Quantization.INT4, {"turbo": {"bits": "bits4", "always_ram": True}}),
        (Quantization.NONE, None),
    ],
)
def test_a_server_is_asked_for_the_layout(
    qdrant_url: str, copies: Quantization, expected: dict[str, object] | None
) -> None:
    client = connect(qdrant_url)
    name = f"geosearch-test-{uuid4()}"
    layout = VectorLayout(copies, on_disk=True)
    store = ServerStore(client, name, dim=DIM, identity="test", layout=layout)
    _assert_finds_what_is_nearest(store)
    config = client.get_collection(name).config
    made = config.quantization_config
    assert (None if made is None else made.model_dump(mode="json", exclude_none=True)) == expected
    assert config.params.vectors.on_disk is True
    client.delete_collection(name)
    store.close()


@pytest.mark.parametrize(
    ("asked", "written"),
    [({}, ("scalar", "int8")), ({"vector_quantization": "int4"}, ("turbo", "bits4"))],
)
def test_settings_choose_the_layout_of_new_indexes(
    tmp_path: Path, database_url: str, asked: dict[str, str], written: tuple[str, str]
) -> None:
    settings = Settings(home=tmp_path / "home", database_url=database_url, **asked)  # type: ignore[arg-type]
    with Services(settings) as services:
        found = StoredCollection("geosearch-x", "test", DIM)
        store = services.collections.open(found)
        assert isinstance(store, EdgeStore)
        config = (store.directory / "shard" / "edge_config.json").read_text()
        assert all(f'"{word}"' in config for word in written)
        store.close()
