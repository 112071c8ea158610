from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from geosearch.areas import Area, BoundingBox, Circle, Polygon
from geosearch.errors import InvalidArea, InvalidInput
from geosearch.geo import Coordinate
from geosearch.store.base import PointPayload, VectorPoint, VectorStore
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import (
    And,
    Author,
    Country,
    Dataset,
    Filter,
    Not,
    Or,
    TimeSpan,
    Within,
    all_of,
    matches,
    to_qdrant,
    within_any,
)
from geosearch.store.planning import search
from geosearch.store.server import ServerStore

START = datetime(2020, 1, 1, tzinfo=UTC)
GRID = [
    Coordinate(lat, lon) for lat, lon in itertools.product(range(-90, 91, 15), range(-180, 181, 15))
]


def _payloads() -> list[PointPayload]:
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 600))), rng.uniform(-180, 180, 600)
    near = [
        Coordinate(sign * (90.0 - gap), lon)
        for sign in (-1, 1)
        for gap in (1e-6, 1e-3)
        for lon in (-180.0, 0.0, 77.0)
    ] + [Coordinate(lat, sign * (180.0 - 1e-6)) for sign in (-1, 1) for lat in (-60.0, 0.0, 45.0)]
    places = [*(Coordinate(*place) for place in zip(lat, lon, strict=True)), *GRID, *near]
    return [
        PointPayload(
            place,
            captured_at=None if n % 5 == 0 else START + timedelta(days=n % 100, microseconds=n % 3),
            dataset=(None, "a", "b b")[n % 3],
            country=(None, "SE", "NO", "JP")[n % 4],
            author=("Åsa", None)[n % 2],
        )
        for n, place in enumerate(places)
    ]


PAYLOADS = _payloads()
LAT = np.array([payload.coordinate.lat for payload in PAYLOADS])
LON = np.array([payload.coordinate.lon for payload in PAYLOADS])


def fill(store: VectorStore) -> VectorStore:
    rng = np.random.default_rng(0)
    store.upsert(
        [
            VectorPoint(UUID(int=n), rng.normal(size=4).astype(np.float32), payload)
            for n, payload in enumerate(PAYLOADS)
        ]
    )
    return store


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    store = EdgeStore(tmp_path_factory.mktemp("filters") / "vectors", dim=4, identity="test")
    yield fill(store)
    store.close()


@pytest.fixture(scope="module", params=["edge", "memory"])
def store(request: pytest.FixtureRequest, edge: VectorStore) -> Iterator[VectorStore]:
    if request.param == "edge":
        yield edge
        return
    memory = ServerStore(QdrantClient(":memory:"), "filters", dim=4, identity="test")
    yield fill(memory)
    memory.close()


def found(store: VectorStore, where: Filter) -> set[int]:
    return {hit.id.int for hit in store.scroll(where)}


def wanted(where: Filter) -> set[int]:
    return {int(n) for n in np.flatnonzero(matches(where, PAYLOADS))}


# Areas in the engine against their definition

# Rounded, because within the tolerance of an edge (1e-9) a point is on it by definition.
latitudes = st.one_of(
    st.floats(-90, 90).map(lambda lat: round(lat, 6)),
    st.integers(-6, 6).map(lambda n: n * 15.0),
)
longitudes = st.one_of(
    st.floats(-180, 180).map(lambda lon: round(lon, 6)),
    st.integers(-12, 12).map(lambda n: n * 15.0),
)
grid_places = st.integers(0, len(GRID) - 1).map(lambda n: GRID[n])
places = st.one_of(st.builds(Coordinate, latitudes, longitudes), grid_places)
circles = st.one_of(
    st.builds(Circle, places, st.floats(0, 21_000)),
    st.builds(Circle, places, st.sampled_from([0.0, 1e-6, 1e-3, 1.0, 20_015.0, 20_015.2, 1e9])),
    st.builds(lambda center, rim: Circle(center, center.distance_km(rim)), places, places),
)
boxes = st.builds(
    lambda west, east, lats: BoundingBox(west, min(lats), east, max(lats)),
    longitudes,
    longitudes,
    st.tuples(latitudes, latitudes),
)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    """Rings round a centre, snapped to the grid or not, over ±180 and the poles, with holes."""
    center = draw(places)
    corners = draw(st.integers(3, 10))
    reach = 0.01 * np.array(
        draw(st.lists(st.integers(1, 12_000), min_size=corners, max_size=corners))
    )
    angles = np.arange(corners) * (2 * math.pi / corners) + draw(st.floats(0, 1))
    snap_deg = draw(st.sampled_from([None, 15.0]))

    def ring(scale: float) -> tuple[Coordinate, ...]:
        lat = np.clip(center.lat + scale * reach * np.sin(angles), -90, 90)
        lon = center.lon + scale * reach * np.cos(angles)
        if snap_deg is not None:
            lat, lon = np.round(lat / snap_deg) * snap_deg, np.round(lon / snap_deg) * snap_deg
        return tuple(Coordinate(*place) for place in zip(lat, lon, strict=True))

    try:
        return Polygon(ring(1.0), draw(st.sampled_from([(), (ring(0.5),)])))
    except InvalidArea:
        assume(False)
        raise


@pytest.mark.parametrize("kind", ["circles", "boxes", "polygons"])
@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_edge_finds_what_an_area_holds_and_nothing_else(
    edge: VectorStore, kind: str, data: st.DataObject
) -> None:
    area: Area = data.draw({"circles": circles, "boxes": boxes, "polygons": polygons()}[kind])
    assert found(edge, Within(area)) == wanted(Within(area))
    assert edge.count(Within(area)) == len(wanted(Within(area)))


WHOLE_WORLD = BoundingBox(-180, -90, 180, 90)
AWKWARD = {
    "the whole world": WHOLE_WORLD,
    "the whole world as a ring": Polygon(
        tuple(Coordinate(lat, lon) for lat, lon in ((-90, -180), (-90, 180), (90, 180), (90, -180)))
    ),
    "the eastern hemisphere": BoundingBox(0, -90, 180, 90),
    "the western hemisphere": BoundingBox(-180, -90, 0, 90),
    "the northern hemisphere": BoundingBox(-180, 0, 180, 90),
    "across 180": BoundingBox(165, -30, -165, 30),
    "up to 180": BoundingBox(150, -30, 180, 30),
    "from -180": BoundingBox(-180, -30, -150, 30),
    "180 alone, from the east": BoundingBox(180, -90, 180, 90),
    "180 alone, from the west": BoundingBox(-180, -90, -180, 90),
    "180 alone, from both": BoundingBox(180, -90, -180, 90),
    "one point": BoundingBox(0, 0, 0, 0),
    "the north pole alone": BoundingBox(40, 90, 50, 90),
    "a spike that touches 180": Polygon(
        (Coordinate(60, -120), Coordinate(60, -150), Coordinate(30, -180))
    ),
    "a spike that touches the pole": Polygon(
        (Coordinate(60, -10), Coordinate(60, 10), Coordinate(90, 3))
    ),
    "a ring round the south pole": Polygon(
        tuple(Coordinate(-60, lon) for lon in (-150, -90, -30, 30, 90, 150))
    ),
    "an uncut polygon across 180": Polygon(
        (Coordinate(-30, 165), Coordinate(-30, -165), Coordinate(30, -165), Coordinate(30, 165))
    ),
    "a polygon of which only the edge holds points": Polygon(
        (Coordinate(0, 0), Coordinate(0, 15), Coordinate(15, 15), Coordinate(15, 0))
    ),
    "a circle round the north pole": Circle(Coordinate(90, 123), 1700),
    "the south pole as a circle": Circle(Coordinate(-90, 0), 0.0),
    "a circle at 180": Circle(Coordinate(0, -180), 0.0),
    "a circle over 180": Circle(Coordinate(0, 179.9), 1700),
    "half the Earth": Circle(Coordinate(0, 0), 10_007.5572),
    "more than the Earth": Circle(Coordinate(12, 34), 30_000),
    # Cells of the engine's index that hold such a circle leave points out.
    "a circle that reaches south of the equator": Circle(Coordinate(20, 30), 3000),
    "a circle in the south": Circle(Coordinate(-9.070971510119533, -111.42660343423789), 4801.7),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_areas_lose_and_add_no_point(store: VectorStore, name: str) -> None:
    where = Within(AWKWARD[name])
    assert wanted(where), "an area that holds nothing shows nothing"
    assert found(store, where) == wanted(where)
    assert found(store, Not(where)) == wanted(Not(where))


def test_the_whole_world_is_every_point(store: VectorStore) -> None:
    assert store.count(Within(WHOLE_WORLD)) == len(PAYLOADS)
    assert store.count(Not(Within(WHOLE_WORLD))) == 0


@given(center=places, radius_km=st.floats(0, 20_015))
@example(center=Coordinate(90.0, 0.0), radius_km=1e-9)
@settings(max_examples=200, deadline=None)
def test_a_photo_is_found_around_itself(center: Coordinate, radius_km: float) -> None:
    payloads = [PointPayload(center)]
    assert matches(Within(Circle(center, radius_km)), payloads).all()


# Everything that is not a place

FILTERS: list[Filter] = [
    Country("SE"),
    Country("se"),
    Dataset("b b"),
    Dataset("c"),
    Author("Åsa"),
    TimeSpan(since=START + timedelta(days=10)),
    TimeSpan(until=START + timedelta(days=10)),
    TimeSpan(START + timedelta(days=3), START + timedelta(days=3, microseconds=1)),
    TimeSpan(START.astimezone(timezone(timedelta(hours=-7))), START + timedelta(hours=1)),
    Not(TimeSpan(since=START)),
    Not(Country("SE")),
    Not(Not(Country("SE"))),
    And((Country("SE"), Dataset("a"))),
    Or((Country("SE"), Dataset("a"))),
    And((Or((Country("SE"), Country("NO"))), Not(Dataset("a")), Author("Åsa"))),
    Or((And((Country("SE"), Dataset("a"))), And((Country("NO"), Not(Author("Åsa")))))),
    And((Within(BoundingBox(170, -90, -170, 90)), Or((Country("JP"), Not(TimeSpan(since=START)))))),
    within_any([Circle(Coordinate(0, 180), 1000), BoundingBox(0, 60, 30, 90)]),
]


@pytest.mark.parametrize("where", FILTERS, ids=repr)
def test_filters_match_what_they_say(store: VectorStore, where: Filter) -> None:
    assert found(store, where) == wanted(where)
    assert store.count(where) == len(wanted(where))


simple = st.one_of(
    st.sampled_from([Country("SE"), Country("NO"), Dataset("a"), Dataset("b b"), Author("Åsa")]),
    st.builds(lambda day: TimeSpan(since=START + timedelta(days=day)), st.integers(0, 100)),
    st.builds(Within, st.one_of(circles, boxes)),
)
nested = st.recursive(
    simple,
    lambda parts: st.one_of(
        st.builds(And, st.lists(parts, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=6,
)


@given(where=nested)
@settings(max_examples=200, deadline=None)
def test_any_combination_matches_what_it_says(edge: VectorStore, where: Filter) -> None:
    assert found(edge, where) == wanted(where)


@given(where=st.one_of(nested, st.builds(Within, polygons())))
@settings(max_examples=100, deadline=None)
def test_what_is_sent_is_json_that_the_client_takes_whole(where: Filter) -> None:
    sent = json.loads(json.dumps(to_qdrant(where)))
    understood = models.Filter.model_validate(sent).model_dump(exclude_none=True, mode="json")

    def leaves(clause: object) -> int:
        if isinstance(clause, dict):
            return ("key" in clause) + sum(leaves(part) for part in clause.values())
        return sum(leaves(part) for part in clause) if isinstance(clause, list) else 0

    assert leaves(understood) == leaves(sent)


def test_no_filter_matches_everything() -> None:
    assert matches(None, PAYLOADS).all()


def test_combining_leaves_out_what_asks_for_nothing() -> None:
    assert all_of() is None
    assert all_of(None, None) is None
    assert all_of(None, Country("SE")) == Country("SE")
    assert all_of(Country("SE"), None, Dataset("a")) == And((Country("SE"), Dataset("a")))


@pytest.mark.parametrize("code", ["", "S", "SWE", "S1", "  ", "Ää"])
def test_what_is_no_country_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidInput, match="two letters"):
        Country(code)


def test_an_or_of_nothing_is_refused_because_engines_read_it_as_everything() -> None:
    with pytest.raises(InvalidInput, match="at least one"):
        Or(())
    with pytest.raises(InvalidInput, match="at least one"):
        And(())
    with pytest.raises(InvalidInput, match="at least one"):
        within_any([])


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        (None, None, "a beginning, an end or both"),
        (datetime(2024, 1, 1), None, "no time zone"),
        (START, START, "swap"),
        (START, START - timedelta(days=1), "swap"),
    ],
)
def test_a_time_span_that_cannot_be_is_refused(
    since: datetime | None, until: datetime | None, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        TimeSpan(since, until)


def test_a_point_moved_onto_180_is_found_there_and_not_where_it_was(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "vectors", dim=4, identity="test")
    id = UUID(int=1)
    store.upsert([VectorPoint(id, np.ones(4, np.float32), PointPayload(Coordinate(0, 0)))])
    store.set_payload({id: PointPayload(Coordinate(0, 180))})
    assert store.count(Within(BoundingBox(-180, -1, -179, 1))) == 1
    assert store.count(Within(BoundingBox(179, -1, 180, 1))) == 1
    assert store.count(Within(Circle(Coordinate(0, 0), 1000))) == 0
    store.close()


def test_a_search_puts_its_filter_into_the_engine_s_words_once(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[Filter] = []

    def counted(where: Filter) -> dict[str, object]:
        put.append(where)
        return to_qdrant(where)

    for module in ("edge.filters", "server"):
        monkeypatch.setattr(f"geosearch.store.{module}.to_qdrant", counted)
    where = And((Within(Circle(Coordinate(12.25, 34.5), 3000.0)), Not(Country("SE"))))
    planned = search(store, np.ones(4, np.float32), where, 5)
    assert put == [where]
    assert planned.matched == len(wanted(where)) > 5
    assert {hit.id.int for hit in planned.hits} <= wanted(where)
