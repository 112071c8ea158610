"""Circles counted in memory agree with haversine distances and with the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.areas import TOLERANCE_KM, Circle
from geosearch.errors import StoreError
from geosearch.geo import HALF_EARTH_KM, Coordinate, haversine_km
from geosearch.store import coordinates as coordinates_module
from geosearch.store import edge as edge_module
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.coordinates import LAZY_COUNTS, SMALLEST_KM, CircleCounts, CoordinateTable
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import And, Not, Within

DIM = 4
CORNERS = [
    Coordinate(lat, lon)
    for lat in (-90.0, -89.9999, 0.0, 89.9999, 90.0)
    for lon in (-180.0, 0, 180)
]

places = st.sampled_from(CORNERS) | st.builds(Coordinate, st.floats(-90, 90), st.floats(-180, 180))
radii_km = st.floats(SMALLEST_KM, HALF_EARTH_KM - SMALLEST_KM)
circles = st.builds(Circle, places, radii_km)
changes = st.lists(st.tuples(st.integers(0, 30), st.none() | places), max_size=80)


def assert_counts_what_lies_in(circle: Circle, held: Collection[Coordinate], counted: int) -> None:
    """Points within twice the tolerance of the rim may be in or out: two ways of rounding."""
    center = circle.center
    distance_km = haversine_km(
        center.lat, center.lon, [place.lat for place in held], [place.lon for place in held]
    )
    surely = np.count_nonzero(distance_km <= circle.radius_km)
    assert surely <= counted <= np.count_nonzero(distance_km <= circle.radius_km + 2 * TOLERANCE_KM)


@settings(deadline=None)
@given(changes, st.lists(circles, min_size=1, max_size=5), st.sampled_from([0, 5, 4096]))
def test_a_table_counts_what_haversine_counts_after_any_changes(
    written: list[tuple[int, Coordinate | None]], asked: list[Circle], few_new: int
) -> None:
    table, held = CoordinateTable(), dict[int, Coordinate]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinates_module, "_FEW_NEW", few_new)
        for number, place in written:
            old = [held.pop(number)] if number in held else []
            new = [] if place is None else [place]
            held.update(dict.fromkeys([number] if new else [], *new))
            table.change(added=new, removed=old)
    for circle in asked:
        assert_counts_what_lies_in(circle, held.values(), table.count(circle))


@settings(deadline=None)
@given(places, places)
def test_a_circle_as_wide_as_a_photo_is_far_holds_that_photo(
    center: Coordinate, place: Coordinate
) -> None:
    distance_km = center.distance_km(place)
    if SMALLEST_KM <= distance_km <= HALF_EARTH_KM - SMALLEST_KM:
        table = CoordinateTable()
        table.change(added=[place], removed=[])
        assert table.count(Circle(center, distance_km)) == 1
        assert table.count(Circle(center, distance_km - 3 * TOLERANCE_KM)) == 0


def test_a_small_circle_looks_only_at_points_of_its_latitudes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coordinates_module, "_FEW_NEW", 0)
    looked_at = []
    count_near = coordinates_module._count_near
    monkeypatch.setattr(
        coordinates_module,
        "_count_near",
        lambda rows, *more: (looked_at.append(len(rows)), count_near(rows, *more))[1],
    )
    table = CoordinateTable()
    table.change(added=[Coordinate(float(lat), 10.0) for lat in range(-90, 91)], removed=[])
    assert table.count(Circle(Coordinate(50, 10), 300.0)) == 5
    assert sum(looked_at) == 5


def test_rows_beyond_one_slice_and_one_doubling_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coordinates_module, "_ROWS_AT_ONCE", 700)
    monkeypatch.setattr(coordinates_module, "_FEW_NEW", 1500)
    rng = np.random.default_rng(0)
    held = [Coordinate(*place) for place in rng.uniform([-90, -180], [90, 180], (5000, 2)).tolist()]
    table = CoordinateTable()
    for start in range(0, 5000, 99):
        table.change(added=held[start : start + 99], removed=[])
    for km in (1.0, 3000.0, 15_000.0):
        circle = Circle(Coordinate(60, 20), km)
        assert_counts_what_lies_in(circle, held, table.count(circle))


def test_a_count_under_way_does_not_see_half_of_a_change() -> None:
    table, here = CoordinateTable(), Coordinate(1, 1)
    table.change(added=[here] * 500, removed=[])

    def move() -> None:
        for _ in range(2000):
            table.change(added=[here], removed=[here])

    mover = threading.Thread(target=move)
    mover.start()
    counted = set()
    while mover.is_alive():
        counted.add(table.count(Circle(here, 1.0)))
    assert counted == {500}


# In step with a store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    store = EdgeStore(tmp_path / "vectors", dim=DIM, identity="test")
    yield store
    store.close()


def point(number: int, place: Coordinate) -> VectorPoint:
    return VectorPoint(UUID(int=number), np.ones(DIM, np.float32), PointPayload(place))


def anywhere(rng: np.random.Generator) -> Coordinate:
    if rng.random() < 0.2:
        return CORNERS[rng.integers(len(CORNERS))]
    return Coordinate(*rng.uniform([-90, -180], [90, 180]).tolist())


def ask(store: EdgeStore, times: int = LAZY_COUNTS + 1) -> None:
    for _ in range(times):
        store.count(Within(Circle(Coordinate(0, 0), 1000.0)))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def stand(store: EdgeStore) -> None:
    """Have the table read, and wait for it."""
    ask(store)
    wait_until(lambda: store.counts_in_memory)


def assert_agrees_with_the_engine(store: EdgeStore, rng: np.random.Generator) -> None:
    for km in (0.2, 30.0, 1000.0, 5000.0, 12_000.0, 19_000.0):
        circle = Circle(anywhere(rng), km)
        # The same conditions, but no bare circle, so the engine counts it.
        assert store._circles.count(circle) == store.count(And((Within(circle),)))


def write_anything(store: EdgeStore, rng: np.random.Generator, among: int) -> None:
    numbers = rng.integers(1, among, 20).tolist()  # some of them twice
    match rng.integers(4):
        case 0 | 1:
            store.upsert([point(number, anywhere(rng)) for number in numbers])
        case 2:
            store.set_payload({UUID(int=one): PointPayload(anywhere(rng)) for one in numbers})
        case 3:
            store.delete({UUID(int=number) for number in numbers[:10]})


def test_counts_agree_with_the_engine_after_any_writes(store: EdgeStore) -> None:
    rng = np.random.default_rng(0)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 300)])
    stand(store)
    for _ in range(60):
        write_anything(store, rng, among=400)
        assert_agrees_with_the_engine(store, rng)


def test_what_is_written_while_the_table_is_read_is_counted_once(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_module, "_READ_AT_ONCE", 50)
    rng = np.random.default_rng(1)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 1000)])
    is_next = threading.Semaphore(0)
    monkeypatch.setattr(store._circles._closing, "wait", lambda _: is_next.acquire(timeout=60))
    ask(store)
    writes = 0
    while not store.counts_in_memory:
        write_anything(store, rng, among=1500)
        writes += 1
        read_before = store._circles._unread
        is_next.release()
        # In turns: so many writes as a loop makes meanwhile would wear the table out.
        wait_until(lambda at=read_before: store._circles._unread != at or store.counts_in_memory)
    assert writes >= 10
    for _ in range(5):
        assert_agrees_with_the_engine(store, rng)


def test_few_circles_start_nothing(store: EdgeStore) -> None:
    ask(store, LAZY_COUNTS)
    for _ in range(3 * LAZY_COUNTS):
        store.count(Not(Within(Circle(Coordinate(0, 0), 1000.0))))
    assert store._circles._reader is None


def test_building_the_graph_apart_keeps_the_table(store: EdgeStore) -> None:
    rng = np.random.default_rng(2)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 300)])
    stand(store)
    table = store._circles._whole
    store.build_apart()
    assert store._circles._whole is table
    write_anything(store, rng, among=400)
    assert_agrees_with_the_engine(store, rng)


def test_building_the_graph_apart_waits_for_the_batch_that_is_read(store: EdgeStore) -> None:
    rng = np.random.default_rng(3)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 1000)])
    ask(store)
    store.build_apart()
    wait_until(lambda: store.counts_in_memory)
    assert_agrees_with_the_engine(store, rng)


def test_a_directory_opened_again_reads_its_own_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for opened in range(3):
        store = EdgeStore(tmp_path / "vectors", dim=DIM, identity="test")
        store.upsert([point(number, anywhere(rng)) for number in range(1, 100 + opened)])
        stand(store)
        assert_agrees_with_the_engine(store, rng)
        store.close()
        with pytest.raises(StoreError, match="cannot count"):
            ask(store, 1)


def test_a_write_that_fails_drops_the_table_and_it_is_read_again(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 300)])
    stand(store)
    written = EdgeStore._update

    def half(store: EdgeStore, operation: object) -> None:
        written(store, operation)
        raise StoreError("the disk went away")

    with monkeypatch.context() as patched:
        patched.setattr(EdgeStore, "_update", half)
        with pytest.raises(StoreError, match="went away"):
            store.delete([UUID(int=number) for number in range(1, 100)])
    assert not store.counts_in_memory
    assert store.count(Within(Circle(Coordinate(0, 0), HALF_EARTH_KM - 1.0))) <= 200
    stand(store)
    assert_agrees_with_the_engine(store, rng)


def test_a_table_of_mostly_removed_points_is_read_anew(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinates_module, "_MANY_REMOVED", 50)
    rng = np.random.default_rng(6)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 300)])
    stand(store)
    table = store._circles._whole
    store.delete([UUID(int=number) for number in range(1, 100)])
    assert not store.counts_in_memory
    stand(store)
    assert store._circles._whole is not table
    assert_agrees_with_the_engine(store, rng)


def test_closing_stops_the_reading(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_module, "_READ_AT_ONCE", 1)
    rng = np.random.default_rng(7)
    store.upsert([point(number, anywhere(rng)) for number in range(1, 3000)])
    ask(store)
    store.close()
    reader = store._circles._reader
    assert reader is not None
    assert not reader.is_alive()
    assert store._circles._table is None


def test_points_that_cannot_be_read_leave_counting_to_the_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(first: UUID) -> tuple[dict[UUID, Coordinate], UUID | None]:
        raise StoreError("a point has no lat and lon")

    counts = CircleCounts(refuse, lambda ids: {})
    circle = Circle(Coordinate(0, 0), 1.0)
    assert [counts.count(circle) for _ in range(LAZY_COUNTS + 1)] == [None] * (LAZY_COUNTS + 1)
    assert counts._reader is not None
    counts._reader.join()
    assert "no lat and lon" in caplog.text
    assert counts.count(circle) is None
    counts.close()


def test_tiny_circles_and_all_but_tiny_ones_are_left_to_the_engine(store: EdgeStore) -> None:
    store.upsert([point(1, Coordinate(0, 0))])
    stand(store)
    for km in (0.0, 0.09, HALF_EARTH_KM - 0.09, HALF_EARTH_KM):
        assert store._circles.count(Circle(Coordinate(0, 0), km)) is None
        assert store.count(Within(Circle(Coordinate(0, 0), km))) == 1
