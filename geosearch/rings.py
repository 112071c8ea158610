"""Rings on the globe brought into the plane: unwrapped, closed over poles, cut at ±180.

Only `areas.py` builds on this; positions here are (lon, lat) as shapely has them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate

from geosearch.errors import InvalidArea
from geosearch.geo import Coordinate

_BEYOND_POLE_DEG = 100.0
"""Where a ring round a pole is closed; past 90, so that a ring touching the pole stays simple."""

_THINNEST_DEG = 1e-9
"""A ring thinner than 0.1 mm encloses rounding, not an area."""


def region_of(
    exterior: Sequence[Coordinate], holes: Sequence[Sequence[Coordinate]]
) -> shapely.MultiPolygon:
    """What a ring holds less what its holes hold, as polygons within ±180 and ±90.

    Raises:
        InvalidArea: a ring has too few places, no area, or crosses itself, or nothing is left.
    """
    region = _inside(exterior, "the outer ring")
    for number, hole in enumerate(holes, start=1):
        region = shapely.difference(region, _inside(hole, f"hole {number}"))
    parts = _polygons(region)
    if not parts:
        raise InvalidArea("the holes of the polygon leave nothing of it; check the holes")
    return shapely.MultiPolygon(parts)


def _inside(ring: Sequence[Coordinate], name: str) -> shapely.MultiPolygon:
    """The region inside one ring, cut at ±180."""
    places = [*ring]
    if places and places[0] != places[-1]:
        places.append(places[0])
    if len(set(places)) < 3:
        raise InvalidArea(
            f"{name} has {len(set(places))} distinct places; an area needs at least 3"
        )
    lat = np.array([place.lat for place in places])
    lon = np.array([place.lon for place in places])
    polygon = _polygon(_unwrapped(lon, step_round_world=True), lat, name)
    if not shapely.is_valid(polygon):
        # 180 followed by -180 is the way round the world, or no step at all: the other reading.
        polygon = _polygon(_unwrapped(lon, step_round_world=False), lat, name)
    if not shapely.is_valid(polygon):
        raise InvalidArea(
            f"{name} cannot be used: {shapely.is_valid_reason(polygon)} (longitude latitude); "
            "draw it so that it neither crosses nor touches itself"
        )
    if polygon.area <= polygon.length * _THINNEST_DEG:
        raise InvalidArea(f"{name} has no area; its places lie on one line")
    return shapely.MultiPolygon(_polygons(_cut(polygon)))


def _unwrapped(lon: NDArray[np.float64], *, step_round_world: bool) -> NDArray[np.float64]:
    """Longitudes (n,) continued beyond ±180, so that no step is longer than half way round."""
    step = np.diff(lon)
    turns = -np.round(step / 360.0)
    turns[np.abs(step) <= 180.0] = 0.0
    if step_round_world:
        turns[np.abs(step) == 360.0] = 0.0
    # Whole turns are added to the given value, which rounds nothing; summing steps would.
    unwrapped: NDArray[np.float64] = lon + 360.0 * np.concatenate([[0.0], np.cumsum(turns)])
    return unwrapped


def _polygon(lon: NDArray[np.float64], lat: NDArray[np.float64], name: str) -> shapely.Polygon:
    """The planar polygon of an unwrapped closed ring (n,), closed over a pole if it goes round."""
    turns = round((lon[-1] - lon[0]) / 360.0)
    if turns == 0:
        return shapely.Polygon(np.column_stack([lon, lat]))  # (n, 2)
    if abs(turns) > 1:
        raise InvalidArea(f"{name} goes {abs(turns)} times round the Earth; once at most")
    if lat.min() >= 0.0 or lat.max() <= 0.0:
        is_north = bool(lat.max() > 0.0)
    else:
        is_north = turns > 0  # eastward: north is on the left
    if turns < 0:
        lon, lat = lon[::-1], lat[::-1]
    # Five turns side by side, from the westernmost place of the first to the easternmost of the
    # last: the two sides down from the pole then meet the ring nowhere else, and lie out of sight.
    n = len(lon) - 1
    tiles = np.arange(-2, 3)
    lon_path = (lon[:n] + 360.0 * tiles[:, None]).ravel()  # (5 n,)
    lat_path = np.tile(lat[:n], len(tiles))
    toward_pole = lat_path if is_north else -lat_path  # of places on one meridian, the nearest
    first = int(np.lexsort((-toward_pole[:n], lon_path[:n]))[0])
    last = 4 * n + int(np.lexsort((toward_pole[4 * n :], lon_path[4 * n :]))[-1])
    lon_path, lat_path = lon_path[first : last + 1], lat_path[first : last + 1]
    pole = _BEYOND_POLE_DEG if is_north else -_BEYOND_POLE_DEG
    return shapely.Polygon(
        np.column_stack(
            [
                np.concatenate([lon_path, [lon_path[-1], lon_path[0]]]),
                np.concatenate([lat_path, [pole, pole]]),
            ]
        )
    )


def _cut(polygon: shapely.Polygon) -> shapely.Geometry:
    """A planar polygon of any longitudes, every turn of it brought within ±180 and ±90."""
    west, south, east, north = polygon.bounds
    if west >= -180.0 and east <= 180.0 and south >= -90.0 and north <= 90.0:
        return polygon
    window = shapely.box(-180.0, -90.0, 180.0, 90.0)
    if north > 90.0 or south < -90.0:
        # Round a pole every turn is the same, but near its two ends this one is not whole.
        return shapely.intersection(polygon, window)
    first, last = int(np.floor((west + 180.0) / 360.0)), int(np.ceil((east - 180.0) / 360.0))
    turns = [
        shapely.intersection(translate(polygon, xoff=-360.0 * turn), window)
        for turn in range(first, last + 1)
    ]
    return shapely.union_all(turns)


def _polygons(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons of a geometry; lines and points that cutting left behind have no area."""
    return [
        part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon" and part.area
    ]
