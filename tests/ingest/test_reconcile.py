from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient
from sqlalchemy import Engine, text

from geosearch.catalogue.audit import AuditRow
from geosearch.client import GeoSearch
from geosearch.geo import Coordinate
from geosearch.ingest import sources as sources_module
from geosearch.ingest.reconcile import (
    Difference,
    Orphan,
    Reconciler,
    ReconcileReport,
    classify,
    expected_payload,
    orphans,
)
from geosearch.records import PhotoState
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.inventory import StoredCollection
from geosearch.store.server import ServerStore

STRANGER = UUID(int=7)

DAMAGES: dict[str, Difference | None] = {
    "nothing": None,
    "point deleted": Difference.MISSING,
    "payload changed": Difference.STALE,
    "label changed": Difference.STALE,
    "photo deleted": Difference.EXTRA,
    "photo failed": Difference.EXTRA,
    "embedding forgotten": Difference.UNRECORDED,
    "embedding forgotten and pending": Difference.UNRECORDED,
    "pending": Difference.UNCONFIRMED,
    "embedded": Difference.UNCONFIRMED,
    "failed without a point": Difference.MISSING,
}


class _Collection:
    """A dozen photos in real engines that can be damaged one by one."""

    def __init__(self, geosearch: GeoSearch, engine: Engine, folder: Path) -> None:
        self.geosearch, self.engine, self.folder = geosearch, engine, folder
        self.restore()

    def restore(self) -> None:
        self.geosearch.retry(failed=True)
        self.geosearch.ingest(self.folder)

    @property
    def ids(self) -> list[UUID]:
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT id FROM photo ORDER BY id")).scalars())

    def run(self, *, mend: bool) -> ReconcileReport:
        return self.geosearch.services.reconciler.run(mend=mend)

    def found(self) -> dict[UUID, Difference]:
        return {found.id: found.difference for found in self.run(mend=False).examples}

    def sql(self, statement: str, id_: UUID) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), {"id": id_})

    def damage(self, id_: UUID, kind: str) -> None:
        store = self.geosearch.services.store
        changes = {
            "photo deleted": "DELETE FROM photo WHERE id = :id",
            "photo failed": "UPDATE photo SET state = 'failed', error = 'x' WHERE id = :id",
            "pending": "UPDATE photo SET state = 'pending' WHERE id = :id",
            "embedded": "UPDATE photo SET state = 'embedded' WHERE id = :id",
            "label changed": "UPDATE photo SET lat = -lat WHERE id = :id",
        }
        if kind in changes:
            self.sql(changes[kind], id_)
        if kind.startswith("embedding forgotten"):
            self.sql("DELETE FROM embedding WHERE photo_id = :id", id_)
        if kind.endswith("and pending"):
            self.sql(changes["pending"], id_)
        if kind == "point deleted":
            store.delete([id_])
        if kind == "payload changed":
            [payload] = [hit.payload for hit in store.scroll() if hit.id == id_]
            store.set_payload({id_: replace(payload, author="someone else")})
        if kind == "failed without a point":
            self.sql(changes["photo failed"], id_)
            store.delete([id_])


@pytest.fixture
def collection(
    geosearch: GeoSearch, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> _Collection:
    monkeypatch.setattr(sources_module, "SETTLED_AFTER_S", 0.0)
    return _Collection(geosearch, engine, folder)


@settings(
    deadline=None,
    derandomize=True,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(sorted(DAMAGES)), min_size=12, max_size=12), st.booleans())
def test_random_damage_to_either_side_is_found_exactly_and_mended(
    collection: _Collection, damages: list[str], with_stranger: bool
) -> None:
    collection.restore()
    ids = collection.ids
    assert len(ids) == 12
    expected = {}
    for id_, kind in zip(ids, damages, strict=True):
        collection.damage(id_, kind)
        if (difference := DAMAGES[kind]) is not None:
            expected[id_] = difference
    if with_stranger:
        store = collection.geosearch.services.store
        vector = np.ones(store.dim, dtype=np.float32)
        store.upsert([VectorPoint(STRANGER, vector, PointPayload(Coordinate(1.0, 2.0)))])
        expected[STRANGER] = Difference.EXTRA
    assert collection.found() == expected
    assert collection.found() == expected  # looking changes nothing
    collection.run(mend=True)
    collection.geosearch.retry()  # encodes what was missing
    report = collection.run(mend=False)
    assert report.is_clean, report.examples
    assert STRANGER not in collection.geosearch.services.store.existing([STRANGER])


def test_after_a_power_cut_points_that_the_record_lost_are_recorded(
    collection: _Collection, engine: Engine
) -> None:
    """The index was flushed, the catalogue's last commits were not durable."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM embedding"))
        connection.execute(text("UPDATE photo SET state = 'pending'"))
    report = collection.run(mend=True)
    assert report.differences[Difference.UNRECORDED] == 12
    assert collection.run(mend=False).is_clean
    assert collection.geosearch.status()["photos"]["indexed"] == 12


def test_progress_reaches_the_end(collection: _Collection) -> None:
    seen: list[tuple[int, int]] = []
    collection.geosearch.services.reconciler.run(
        mend=False, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (24, 24)


_ROW = AuditRow(
    UUID(int=1), "/a.jpg", PhotoState.INDEXED, True, Coordinate(1.0, 2.0),
    datetime(2024, 1, 1, tzinfo=UTC), None, "SE", None,
)  # fmt: skip


def test_a_coordinate_that_a_server_rounded_is_not_stale() -> None:
    payload = expected_payload(_ROW)
    assert payload is not None
    assert classify(_ROW, replace(payload, coordinate=Coordinate(1.0, 2.0 + 1e-15))) is None
    moved = replace(payload, coordinate=Coordinate(1.0, 2.000001))
    assert classify(_ROW, moved) is Difference.STALE


def test_a_photo_of_another_encoder_only_is_no_difference() -> None:
    assert classify(replace(_ROW, is_embedded=False), None) is None
    assert classify(None, None) is None


def test_collections_of_unknown_encoders_are_orphans() -> None:
    found = orphans(
        [
            StoredCollection("geosearch-a", "current"),
            StoredCollection("geosearch-b", "recorded"),
            StoredCollection("geosearch-c", "gone"),
            StoredCollection("geosearch-d", None),
        ],
        recorded={"recorded": 3},
        current="current",
    )
    assert [orphan.name for orphan in found] == ["geosearch-c", "geosearch-d"]
    assert found[0] == Orphan("geosearch-c", "no photo is embedded by gone")


def test_a_server_is_compared_and_mended_the_same_way(collection: _Collection) -> None:
    services = collection.geosearch.services
    encoder = str(services.embedder.identity)
    client = QdrantClient(":memory:")
    store = ServerStore(client, "geosearch-x", dim=services.store.dim, identity=encoder)
    try:
        points = {hit.id: hit.payload for hit in services.store.scroll()}
        vectors = services.store.vectors(points)
        store.upsert([VectorPoint(i, vectors[i], payload) for i, payload in points.items()])
        reconciler = Reconciler(services.catalogue, services.audit, store, encoder=encoder)
        assert reconciler.run(mend=False).is_clean
        stale, extra = sorted(points)[:2]
        store.set_payload({stale: replace(points[stale], country="FR")})
        collection.sql("DELETE FROM photo WHERE id = :id", extra)
        found = reconciler.run(mend=True).examples
        assert [(one.id, one.difference) for one in found] == [
            (stale, Difference.STALE),
            (extra, Difference.EXTRA),
        ]
        assert reconciler.run(mend=False).is_clean
        assert store.count() == 11
    finally:
        store.close()
