from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.errors import ConfigError, HomeLocked, IdentityMismatch, StorageFull, StoreError
from geosearch.geo import Coordinate
from geosearch.store import edge as edge_module
from geosearch.store.base import Match, PointPayload, SearchMode, VectorPoint, VectorStore
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import Country, Dataset
from geosearch.store.server.connection import connect

from .conftest import DIM, IDENTITY, OpenStore

FULL = PointPayload(
    Coordinate(55.705123456789, 13.193987654321),
    datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    "Ünïcode / set",
    "SE",
    "Ann O'Nym",
)


def vector(*numbers: float) -> NDArray[np.float32]:
    """The numbers, filled up with zeros to (DIM,)."""
    return np.array([*numbers, *[0.0] * (DIM - len(numbers))], dtype=np.float32)


def point(
    *numbers: float, id: UUID | None = None, payload: PointPayload | None = None
) -> VectorPoint:
    return VectorPoint(id or uuid4(), vector(*numbers), payload or PointPayload(Coordinate(1, 2)))


def ids_of(store: VectorStore) -> list[UUID]:
    return [hit.id for hit in store.scroll()]


def test_a_new_store_is_empty(store: VectorStore) -> None:
    assert store.count() == 0
    assert store.query(vector(1.0)) == []
    assert ids_of(store) == []


def test_a_payload_comes_back_as_it_was_given(store: VectorStore) -> None:
    store.upsert([point(1.0, payload=FULL)])
    [hit] = store.query(vector(1.0))
    assert hit.payload == FULL
    assert [found.payload for found in store.scroll()] == [FULL]


@pytest.mark.parametrize(
    ("lat", "lon"),
    [(90.0, 12.5), (-90.0, -180.0), (0.0, 180.0), (0.0, -180.0), (0.0, 0.0), (-0.1, 1e-300)],
)
def test_awkward_coordinates_come_back_exactly(store: VectorStore, lat: float, lon: float) -> None:
    store.upsert([point(1.0, payload=PointPayload(Coordinate(lat, lon)))])
    [hit] = store.scroll()
    assert (hit.payload.coordinate.lat, hit.payload.coordinate.lon) == (lat, lon)


def test_coordinates_come_back_to_the_last_bit_but_one(store: VectorStore) -> None:
    """The engine's reader of JSON rounds 445 of 5,000 random ones to a neighbour of theirs."""
    given = Coordinate(21.307000000000002, -157.858)
    store.upsert([point(1.0, payload=PointPayload(given))])
    [hit] = store.scroll()
    assert abs(hit.payload.coordinate.lat - given.lat) <= math.ulp(given.lat)
    assert hit.payload.coordinate.lon == given.lon


def test_hits_come_best_first_with_cosines(store: VectorStore) -> None:
    points = [point(0.0, 1.0), point(3.0, 3.0), point(9.0)]
    store.upsert(points)
    hits = store.query(vector(2.0), limit=3)
    assert [hit.id for hit in hits] == [points[2].id, points[1].id, points[0].id]
    assert [hit.score for hit in hits] == pytest.approx([1.0, math.sqrt(0.5), 0.0], abs=1e-6)


def test_equal_scores_come_in_order_of_id(store: VectorStore) -> None:
    points = [point(1.0) for _ in range(20)]
    store.upsert(points)
    hits = store.query(vector(1.0), limit=20)
    assert [hit.id for hit in hits] == sorted(point.id for point in points)


@pytest.mark.parametrize("mode", list(SearchMode))
def test_ranking_finds_what_a_query_finds_without_its_payload(
    store: VectorStore, mode: SearchMode
) -> None:
    store.upsert([point(1.0), point(1.0, 1.0), point(0.0, 1.0)])
    hits = store.query(vector(1.0), limit=2, mode=mode)
    assert store.rank(vector(1.0), limit=2, mode=mode) == [Match(hit.id, hit.score) for hit in hits]
    assert store.rank(vector(1.0), Dataset("none"), mode=mode) == []
    assert store.rank(vector(1.0), limit=0) == []


@pytest.mark.parametrize("mode", list(SearchMode))
def test_every_mode_finds_the_nearest_under_a_filter(store: VectorStore, mode: SearchMode) -> None:
    rng = np.random.default_rng(0)
    points = [
        VectorPoint(
            UUID(int=n),
            rng.normal(size=DIM).astype(np.float32),
            PointPayload(Coordinate(0, 0), country="SE" if n % 2 else "NO"),
        )
        for n in range(300)
    ]
    store.upsert(points)
    store.optimize()
    query = rng.normal(size=DIM).astype(np.float32)

    def cosine(point: VectorPoint) -> float:
        return float(point.vector @ query / np.linalg.norm(point.vector))

    truth = sorted(points[1::2], key=cosine, reverse=True)[:10]
    hits = store.query(query, Country("SE"), 10, mode=mode, ef=64)
    assert [hit.id for hit in hits] == [point.id for point in truth]


def test_no_more_than_the_limit_is_returned(store: VectorStore) -> None:
    store.upsert([point(1.0, n) for n in range(5)])
    assert len(store.query(vector(1.0), limit=2)) == 2
    assert store.query(vector(1.0), limit=0) == []


def test_writing_a_point_again_replaces_vector_and_payload(store: VectorStore) -> None:
    id = uuid4()
    store.upsert([point(1.0, id=id, payload=FULL)])
    store.upsert([point(0.0, 1.0, id=id)])
    assert store.count() == 1
    [hit] = store.query(vector(0.0, 1.0))
    assert hit.score == pytest.approx(1.0)
    assert hit.payload == PointPayload(Coordinate(1, 2))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(DIM, np.float32),
        np.full(DIM, np.nan, np.float32),
        np.array([np.inf, *[0.0] * (DIM - 1)], np.float32),
        np.ones(DIM + 1, np.float32),
        np.ones((1, DIM), np.float32),
    ],
)
def test_a_bad_vector_is_refused_and_nothing_of_its_batch_is_kept(
    store: VectorStore, bad: NDArray[np.float32]
) -> None:
    with pytest.raises(StoreError, match="vector"):
        store.upsert([point(1.0), VectorPoint(uuid4(), bad, FULL)])
    with pytest.raises(StoreError, match="query"):
        store.query(bad)
    assert store.count() == 0


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(StoreError, match="time zone"):
        PointPayload(Coordinate(0, 0), captured_at=datetime(2024, 1, 1))


def test_deleted_points_are_gone_and_unknown_ids_do_no_harm(store: VectorStore) -> None:
    keep, drop = point(1.0), point(2.0)
    store.upsert([keep, drop])
    store.delete([drop.id, uuid4()])
    store.delete([])
    assert ids_of(store) == [keep.id]
    assert store.count() == 1


def test_setting_a_payload_replaces_all_of_it_and_keeps_the_vector(store: VectorStore) -> None:
    one, other = point(1.0, 2.0, payload=FULL), point(2.0, payload=FULL)
    store.upsert([one, other])
    store.set_payload({one.id: PointPayload(Coordinate(-5, 180)), uuid4(): FULL})
    found = {hit.id: hit.payload for hit in store.scroll()}
    assert found == {one.id: PointPayload(Coordinate(-5, 180)), other.id: FULL}
    assert store.count(Dataset("Ünïcode / set")) == 1
    assert store.vectors([one.id])[one.id] @ vector(1.0, 2.0) == pytest.approx(math.sqrt(5.0))


def test_existing_names_those_that_are_held(store: VectorStore) -> None:
    points = [point(1.0, n) for n in range(3)]
    store.upsert(points)
    assert store.existing([points[0].id, uuid4(), points[2].id]) == {points[0].id, points[2].id}
    assert store.existing([]) == set()


def test_vectors_come_back_normalised_in_float32(store: VectorStore) -> None:
    one = point(3.0, 4.0)
    store.upsert([one])
    found = store.vectors([one.id, uuid4()])
    assert found.keys() == {one.id}
    assert found[one.id].dtype == np.float32
    assert found[one.id] == pytest.approx(vector(0.6, 0.8))


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_scrolling_meets_every_match_once_in_order_of_id(store: VectorStore, batch: int) -> None:
    points = [
        point(1.0, n, payload=PointPayload(Coordinate(0, 0), country="SE" if n % 3 else "NO"))
        for n in range(30)
    ]
    store.upsert(points)
    swedish = sorted(point.id for point in points if point.payload.country == "SE")
    assert [hit.id for hit in store.scroll(batch=batch)] == sorted(point.id for point in points)
    assert [hit.id for hit in store.scroll(Country("SE"), batch=batch)] == swedish
    assert all(hit.score == 0.0 for hit in store.scroll())


def test_more_ids_than_one_request_takes_are_handled(store: VectorStore) -> None:
    points = [point(1.0, n) for n in range(2500)]
    store.upsert(points)
    ids = [point.id for point in points]
    assert store.existing(ids) == set(ids)
    store.set_payload(dict.fromkeys(ids[:1200], FULL))
    assert store.count(Country("SE")) == 1200
    store.delete(ids[:2400])
    assert store.count() == 100


def test_counting_all_follows_writes_over_an_optimized_store(store: VectorStore) -> None:
    points = [point(1.0, n) for n in range(50)]
    store.upsert(points)
    store.optimize()
    store.upsert(points[:20])
    store.delete([point.id for point in points[40:]])
    assert store.count() == 40 == len(ids_of(store))


def test_another_encoder_is_refused(open_store: OpenStore) -> None:
    open_store()
    with pytest.raises(IdentityMismatch, match="other-encoder"):
        open_store(identity="other-encoder")
    with pytest.raises(IdentityMismatch, match="reindex"):
        open_store(dim=DIM + 1)


def test_closing_twice_is_harmless(store: VectorStore) -> None:
    store.upsert([point(1.0)])
    store.flush()
    store.close()
    store.close()


# One directory, one process


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "home" / "vectors"


def open_edge(directory: Path, identity: str = IDENTITY) -> EdgeStore:
    return EdgeStore(directory, dim=DIM, identity=identity)


def test_a_directory_opened_again_holds_what_was_written(directory: Path) -> None:
    first = open_edge(directory)
    one = point(1.0, payload=FULL)
    first.upsert([one])
    first.close()
    again = open_edge(directory)
    assert [(hit.id, hit.payload) for hit in again.scroll()] == [(one.id, FULL)]
    assert again.count(Country("SE")) == 1
    again.close()


def test_a_second_opener_is_told_that_the_directory_is_in_use(directory: Path) -> None:
    first = open_edge(directory)
    with pytest.raises(HomeLocked, match="in use by another process"):
        open_edge(directory)
    first.upsert([point(1.0)])
    assert first.count() == 1
    first.close()


def test_a_directory_with_something_else_in_it_is_refused_and_left_alone(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "letters.txt").write_text("dear")
    with pytest.raises(StoreError, match="not empty"):
        open_edge(directory)
    assert [path.name for path in directory.iterdir()] == ["letters.txt"]


def test_an_empty_directory_becomes_a_store(directory: Path) -> None:
    directory.mkdir(parents=True)
    open_edge(directory).close()
    assert json.loads((directory / "collection.json").read_text())["identity"] == IDENTITY


@pytest.mark.parametrize("text", ["", "{}", '{"identity": 1}', "[]"])
def test_a_damaged_manifest_is_named(directory: Path, text: str) -> None:
    open_edge(directory).close()
    (directory / "collection.json").write_text(text)
    with pytest.raises(StoreError, match=r"collection\.json is damaged"):
        open_edge(directory)


def test_a_lost_shard_is_an_error_of_ours(directory: Path) -> None:
    open_edge(directory).close()
    (directory / "shard").rename(directory / "gone")
    with pytest.raises(StoreError, match="cannot open"):
        open_edge(directory)


def test_a_closed_store_says_so(directory: Path) -> None:
    store = open_edge(directory)
    store.close()
    with pytest.raises(StoreError, match="cannot count"):
        store.count()


def test_a_directory_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create"):
        open_edge(tmp_path / "file" / "vectors")


def test_a_disk_that_is_nearly_full_stops_writing_and_loses_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_edge(directory)
    store.upsert([point(1.0)])
    with monkeypatch.context() as patched:
        usage = shutil.disk_usage(directory)._replace(free=10 * 2**20)
        patched.setattr(edge_module.shutil, "disk_usage", lambda _: usage)
        for write in (lambda: store.upsert([point(2.0)]), store.optimize):
            with pytest.raises(StorageFull, match="10 MiB are free"):
                write()
        assert store.count() == 1
    store.upsert([point(2.0)])
    assert store.count() == 2
    store.close()


def test_what_a_creation_that_died_left_behind_is_cleared_away(directory: Path) -> None:
    directory.parent.mkdir(parents=True)
    old, young = (directory.parent / f".vectors.new-{name}" for name in ("old", "young"))
    for left in (old, young):
        (left / "shard").mkdir(parents=True)
    os.utime(old, (0, 0))
    open_edge(directory).close()
    assert not old.exists()
    assert young.exists()


CHILD = """
import sys, uuid
import numpy as np
from pathlib import Path
from geosearch.geo import Coordinate
from geosearch.store.base import Match, PointPayload, VectorPoint
from geosearch.store.edge import EdgeStore

store = EdgeStore(Path(sys.argv[1]), dim=8, identity="test-encoder")
rng = np.random.default_rng(0)
start = store.count()
for batch in range(10_000):
    store.upsert(
        [
            VectorPoint(
                uuid.UUID(int=start + batch * 50 + n),
                rng.normal(size=8).astype(np.float32),
                PointPayload(Coordinate(n, n), dataset="d"),
            )
            for n in range(50)
        ]
    )
    print(start + (batch + 1) * 50, flush=True)
    if batch % 10 == 9:
        store.optimize()
"""


def test_a_directory_survives_kill_9_during_creation_and_writing(directory: Path) -> None:
    acknowledged = 0
    # From the first moments of creating to the middle of writing and optimizing.
    for lines in (0, 1, 25, 60):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(directory)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        deadline = time.monotonic() + 30.0
        for _ in range(lines):
            acknowledged = int(process.stdout.readline())
        while lines == 0 and not directory.parent.exists() and time.monotonic() < deadline:
            pass  # killed as soon as it begins to create
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        acknowledged = max([acknowledged, *map(int, rest)])

        store = open_edge(directory)
        held = [hit.id.int for hit in store.scroll()]
        assert held[:acknowledged] == list(range(acknowledged))
        assert len(held) <= acknowledged + 50
        assert store.count(Dataset("d")) == len(held)
        store.close()


# A server


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="http://HOST:6333"):
        connect("localhost:6333")


def test_a_server_that_does_not_answer_is_an_error_of_ours() -> None:
    with pytest.raises(StoreError, match=r"cannot connect to http://127\.0\.0\.1:9"):
        connect("http://127.0.0.1:9", api_key="secret", timeout_s=2)


def test_moments_are_compared_in_utc() -> None:
    assert FULL.captured_at is not None
    assert FULL.captured_at.astimezone(UTC).isoformat() == "2024-02-29T18:14:59.123456+00:00"
