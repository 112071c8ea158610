"""The geographic part of a filter, in words and as a test."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from geosearch.areas import BoundingBox, Circle, Polygon
from geosearch.geo import Coordinate
from geosearch.localization.search_area import search_area
from geosearch.store.filters import And, Author, Country, Dataset, Filter, Not, Or, TimeSpan, Within

LUND, SUVA, SEA = Coordinate(55.7, 13.2), Coordinate(-18.1, 178.4), Coordinate(0.0, -30.0)
HERE = Within(Circle(LUND, 50.0))
COUNTRIES = {LUND: "SE", SUVA: "FJ", SEA: None}


@pytest.mark.parametrize(
    ("where", "words", "inside"),
    [
        (HERE, "within 50 km of 55.70000, 13.20000", [LUND]),
        (Country("fj"), "in the country FJ (ISO 3166-1)", [SUVA]),
        (Within(BoundingBox(170, -30, -170, 10)),
         "between latitudes -30 and 10, from longitude 170 east to -170", [SUVA]),
        (And((HERE, Dataset("trip"), TimeSpan(datetime(2020, 1, 1, tzinfo=UTC)))),
         "within 50 km of 55.70000, 13.20000", [LUND]),
        (Not(Country("SE")), "not in the country SE (ISO 3166-1)", [SUVA, SEA]),
        (And((Or((Country("SE"), Country("FJ"))), Not(HERE))),
         "(in the country SE (ISO 3166-1) or in the country FJ (ISO 3166-1)) and not within 50 km "
         "of 55.70000, 13.20000", [SUVA]),
        (Within(Polygon((Coordinate(50, 10), Coordinate(50, 20), Coordinate(60, 15)))),
         "inside an outline that lies between latitudes 50 and 60, from longitude 10 east to 20",
         [LUND]),
    ],
)  # fmt: skip
def test_an_area_is_told_in_words_and_tests_answers(
    where: Filter, words: str, inside: list[Coordinate]
) -> None:
    area = search_area(where, COUNTRIES.get)
    assert area is not None
    assert area.words == words
    assert [at for at in (LUND, SUVA, SEA) if at in area] == inside


@pytest.mark.parametrize(
    "where",
    [
        None,
        Dataset("trip"),
        Not(Author("Eve")),
        Or((HERE, Dataset("trip"))),
        Not(And((HERE, Dataset("trip")))),
    ],
)
def test_what_forbids_no_place_is_no_area(where: Filter | None) -> None:
    assert search_area(where, COUNTRIES.get) is None
