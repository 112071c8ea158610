"""GeoJSON taken apart: the rings of every polygon in a document, as coordinates.

The flip from GeoJSON's [longitude, latitude] happens here. What a ring means is in `areas.py`.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from geosearch.errors import InvalidArea, InvalidCoordinate
from geosearch.geo import Coordinate

MAX_POSITIONS = 100_000
"""Positions in one document; a filter is tested against every one of them for many photos."""

_MAX_DEPTH = 8
_ALLOWED = "Polygon, MultiPolygon, Feature, FeatureCollection or GeometryCollection of them"


def rings_in(document: object) -> list[list[tuple[Coordinate, ...]]]:
    """The polygons of a parsed document, each as its rings, the outer one first.

    Raises:
        InvalidArea: the document is something else, holds no polygon, or is too large.
    """
    polygons = []
    left = MAX_POSITIONS
    for raw in _polygons(document, depth=0):
        rings = [_ring(ring) for ring in _list(raw, "the coordinates of a polygon")]
        if not rings:
            raise InvalidArea("a polygon has no rings; give at least its outer ring")
        left -= sum(len(ring) for ring in rings)
        if left < 0:
            raise InvalidArea(
                f"the GeoJSON has more than {MAX_POSITIONS:,} positions; simplify it first"
            )
        polygons.append(rings)
    if not polygons:
        raise InvalidArea(f"the GeoJSON holds no polygon; it must be a {_ALLOWED}")
    return polygons


def _polygons(node: object, *, depth: int) -> Iterator[object]:
    """The `coordinates` of each polygon under a node, unchecked."""
    if depth > _MAX_DEPTH:
        raise InvalidArea(f"the GeoJSON is nested more than {_MAX_DEPTH} deep; flatten it")
    if not isinstance(node, Mapping):
        raise InvalidArea(f"{_short(node)} is not a GeoJSON object; it must be a {_ALLOWED}")
    match node.get("type"):
        case "Polygon":
            yield node.get("coordinates")
        case "MultiPolygon":
            yield from _list(node.get("coordinates"), "the coordinates of a MultiPolygon")
        case "Feature":
            yield from _polygons(node.get("geometry"), depth=depth + 1)
        case "FeatureCollection":
            for feature in _list(node.get("features"), "the features"):
                yield from _polygons(feature, depth=depth + 1)
        case "GeometryCollection":
            for geometry in _list(node.get("geometries"), "the geometries"):
                yield from _polygons(geometry, depth=depth + 1)
        case other:
            raise InvalidArea(f"GeoJSON type {_short(other)} is no area; it must be a {_ALLOWED}")


def _ring(raw: object) -> tuple[Coordinate, ...]:
    """One ring, its positions checked, still closed."""
    positions = _list(raw, "a ring")
    if len(positions) < 4:
        raise InvalidArea(
            f"a ring has {len(positions)} positions; it needs 4 or more, the last as the first"
        )
    if len(positions) > MAX_POSITIONS:
        raise InvalidArea(f"a ring has more than {MAX_POSITIONS:,} positions; simplify it first")
    pairs = [_position(position) for position in positions]
    if pairs[0] != pairs[-1]:
        raise InvalidArea(
            f"a ring ends at {pairs[-1]} and starts at {pairs[0]}; repeat its first position at "
            "the end"
        )
    ring = [_coordinate(*pairs[0])]
    for (west, south), (east, north) in pairwise(pairs):
        if abs(east - west) in (180.0, 360.0) and max(abs(west), abs(east)) > 180.0:
            # Once wrapped, 0 to 360 looks like no step at all and 90 to 270 like one westward.
            for part in (1.0 / 3.0, 2.0 / 3.0):
                ring.append(
                    _coordinate(west + (east - west) * part, south + (north - south) * part)
                )
        ring.append(_coordinate(east, north))
    return tuple(ring)


def _position(raw: object) -> tuple[float, float]:
    """A position as finite (lon, lat); a height after them is left out."""
    numbers = _list(raw, "a position")
    if len(numbers) < 2:
        raise InvalidArea(f"position {_short(raw)} must be [longitude, latitude]")
    lon, lat = numbers[:2]
    if (
        isinstance(lon, bool)
        or isinstance(lat, bool)
        or not isinstance(lon, int | float)
        or not isinstance(lat, int | float)
    ):
        raise InvalidArea(f"position {_short(raw)} must be two numbers, [longitude, latitude]")
    try:
        lon, lat = float(lon), float(lat)
    except OverflowError:
        raise InvalidArea(f"position {_short(raw)} is not a place in degrees") from None
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise InvalidArea(f"position {_short(raw)} must be finite numbers, [longitude, latitude]")
    return lon, lat


def _coordinate(lon: float, lat: float) -> Coordinate:
    """A GeoJSON position as a coordinate of ours."""
    try:
        return Coordinate(lat, lon)
    except InvalidCoordinate as error:
        raise InvalidArea(
            f"position [{lon:g}, {lat:g}]: {error}; GeoJSON positions are [longitude, latitude]"
        ) from error


def _list(raw: object, name: str) -> Sequence[object]:
    """A JSON array, or a refusal that names it."""
    if not isinstance(raw, list | tuple):
        raise InvalidArea(f"{name} must be a list, not {_short(raw)}")
    return raw


def _short(raw: object) -> str:
    """A value as it can be shown in one sentence."""
    return reprlib.repr(raw)
