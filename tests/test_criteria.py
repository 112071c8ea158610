from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geosearch.areas import BoundingBox, Circle, Polygon
from geosearch.criteria import Criteria
from geosearch.errors import ConfigError, InvalidArea
from geosearch.geo import Coordinate
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
    within_any,
)
from geosearch.store.payload import PointPayload

NOW = datetime(2020, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)

_rng = np.random.default_rng(0)
PAYLOADS = [
    PointPayload(
        Coordinate(float(lat), float(lon)),
        captured_at=NOW + timedelta(days=n - 100),
        country=("SE", "NO")[n % 2],
        dataset=("a", "b b")[n // 2 % 2],
        author=("Åsa", None)[n // 4 % 2],
    )
    for n, (lat, lon) in enumerate(
        [*_rng.uniform((-90, -180), (90, 180), (200, 2)), (90, 0), (-90, 0), (0, 180), (10, -180)]
    )
]

lats, lons = st.floats(-90, 90), st.floats(-180, 180)
places = st.builds(Coordinate, lats, lons)
circles = st.builds(Circle, places, st.floats(0, 20_016))


@st.composite
def boxes(draw: st.DrawFn) -> BoundingBox:
    south, north = sorted((draw(lats), draw(lats)))
    west = draw(st.floats(-180, 360))
    return BoundingBox(west, south, draw(st.floats(-180, 360)), north)


@st.composite
def polygons(draw: st.DrawFn) -> Polygon:
    try:
        return Polygon(tuple(draw(st.lists(places, min_size=3, max_size=5))))
    except InvalidArea:
        assume(False)
        raise


moments = st.datetimes(
    datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone(timedelta(hours=5.5)))
)


@st.composite
def spans(draw: st.DrawFn) -> TimeSpan:
    since = draw(st.none() | moments)
    until = draw(moments if since is None else st.none() | moments)
    assume(since is None or until is None or since < until)
    return TimeSpan(since, until)


def demands(kind: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter | None]:
    return st.none() | kind


filters = st.builds(
    all_of,
    demands(st.builds(Within, circles)),
    demands(st.builds(Within, boxes())),
    demands(st.builds(Within, polygons()) | st.lists(polygons(), min_size=1).map(within_any)),
    demands(st.sampled_from(["SE", "no"]).map(Country)),
    demands(spans()),
    demands(st.sampled_from(["a", "b b", ""]).map(Dataset)),
    demands(st.just(Author("Åsa"))),
)


@given(where=filters)
@settings(max_examples=150, deadline=None)
def test_a_filter_that_went_through_json_matches_the_same_photos(where: Filter | None) -> None:
    written = json.dumps(Criteria.from_filter(where).document(), allow_nan=False)
    read = Criteria.of(json.loads(written)).filter()
    assert (matches(read, PAYLOADS) == matches(where, PAYLOADS)).all()


def test_nested_demands_are_one_document_and_ends_of_a_time_may_come_apart() -> None:
    where = And((And((Country("se"), TimeSpan(since=NOW))), TimeSpan(until=NOW + timedelta(1))))
    assert Criteria.from_filter(where).document() == {
        "country": "SE",
        "since": "2020-01-01T12:30:00.123456+00:00",
        "until": "2020-01-02T12:30:00.123456+00:00",
    }
    assert Criteria.from_filter(None).document() == {}


@pytest.mark.parametrize(
    "where",
    [
        Not(Country("SE")),
        Or((Country("SE"), Country("NO"))),
        Or((Within(Circle(Coordinate(0, 0), 1)), Within(BoundingBox(0, 0, 1, 1)))),
        And((Country("SE"), Country("NO"))),
        And((Within(Circle(Coordinate(0, 0), 1)), Within(Circle(Coordinate(1, 1), 500)))),
    ],
    ids=repr,
)
def test_a_filter_that_criteria_cannot_say_is_refused_with_what_they_can(where: Filter) -> None:
    with pytest.raises(ConfigError, match=r"cannot be sent.*a circle, a box, polygons, a country"):
        Criteria.from_filter(where)


def test_requests_take_every_criterion() -> None:
    filters = pytest.importorskip("geosearch.api.filters", reason="the extra api is not installed")
    assert list(filters.FilterFields.model_fields) == [one.name for one in fields(Criteria)]
