"""Where a search is limited to, in words for a model and as a test for what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from geosearch.areas import Area, BoundingBox, Circle
from geosearch.geo import Coordinate
from geosearch.store.filters import And, Country, Filter, Not, Or, Within, all_of, matches
from geosearch.store.payload import PointPayload


@dataclass(frozen=True, slots=True)
class SearchArea:
    """The geographic part of a filter.

    Args:
        words: it in English, as `within 50 km of 55.70500, 13.19300`.
        where: it as a filter.
        country_of: the ISO 3166-1 alpha-2 code of a coordinate, None at sea.
    """

    words: str
    where: Filter
    country_of: Callable[[Coordinate], str | None]

    def __contains__(self, coordinate: Coordinate) -> bool:
        payload = PointPayload(coordinate, country=self.country_of(coordinate))
        return bool(matches(self.where, [payload])[0])


def search_area(
    where: Filter | None, country_of: Callable[[Coordinate], str | None]
) -> SearchArea | None:
    """The area that a filter limits a search to; None if it names none.

    Times, data sets and authors say nothing about the place of a new photo and are left out.
    """
    part = None if where is None else _geographic(where)
    return None if part is None else SearchArea(_words(part), part, country_of)


def _geographic(where: Filter) -> Filter | None:
    """What a filter demands of a place alone; None if nothing."""
    match where:
        case Within() | Country():
            return where
        case And(parts):
            return all_of(*map(_geographic, parts))
        case Or(parts):
            kept = tuple(_geographic(part) for part in parts)
            some = tuple(part for part in kept if part is not None)
            # A branch without an area is open to the whole world, and so is the choice.
            return Or(some) if len(some) == len(kept) else None
        case Not(part):
            # "Not (here and by her)" forbids no place.
            return where if _geographic(part) == part else None
    return None


def _words(where: Filter) -> str:
    match where:
        case Within(area):
            return _area_words(area)
        case Country(code):
            return f"in the country {code} (ISO 3166-1)"
        case And(parts):
            return " and ".join(_grouped(part) for part in parts)
        case Or(parts):
            return " or ".join(_grouped(part) for part in parts)
        case Not(part):
            return f"not {_grouped(part)}"
    raise AssertionError(where)  # _geographic lets nothing else through


def _grouped(where: Filter) -> str:
    is_whole = isinstance(where, And | Or) and len(where.parts) > 1
    return f"({_words(where)})" if is_whole else _words(where)


def _area_words(area: Area) -> str:
    if isinstance(area, Circle):
        at = area.center
        return f"within {area.radius_km:g} km of {at.lat:.5f}, {at.lon:.5f}"
    if isinstance(area, BoundingBox):
        west, south, east, north = area.west, area.south, area.east, area.north
        return (
            f"between latitudes {south:g} and {north:g}, from longitude {west:g} east to {east:g}"
        )
    boxes = []
    for piece in area.pieces():
        lons, lats = zip(*piece.exterior, strict=True)
        boxes.append(_area_words(BoundingBox(min(lons), min(lats), max(lons), max(lats))))
    return "inside an outline that lies " + " or ".join(boxes)
