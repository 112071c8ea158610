"""An area as Qdrant's geo conditions, shaped so that its index loses and adds no point.

The engine's boxes and polygons leave out their edge, and nothing may be asked at ±180 or ±90
(see `payload.py`); so every shape is grown by the tolerance and then kept inside the ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely

from geosearch.areas import (
    SNAP_DEG,
    TOLERANCE_DEG,
    TOLERANCE_KM,
    Area,
    BoundingBox,
    Circle,
    Piece,
    Polygon,
)
from geosearch.geo import EARTH_RADIUS_KM, HALF_EARTH_KM
from geosearch.store.payload import NORTH_END, stored_locations

_LON_LIMIT = 180.0 - SNAP_DEG / 2.0
_LAT_LIMIT = 90.0 - SNAP_DEG / 2.0
"""Shapes end half-way between the last place where points are kept and where the index fails."""

_SPARE_DEG = 1e-4
"""Far more than rounding takes from the width of a circle that nearly reaches a pole."""

_INDEXED_SHARE = 0.25
"""Above this share of the Earth, testing every point is quicker than collecting cells of the index.

Counting on Edge 0.9.0 with 50,000 points spread over the Earth: 5 ms by testing, whatever the area;
by the index 1 to 2 ms at 3,000 km, 4 ms at 7,000 km, 8 ms at 10,000 km and 11 ms at 15,000 km.
"""

_WORLD = BoundingBox(-180.0, -90.0, 180.0, 90.0)

_LIMITS = shapely.box(-_LON_LIMIT, -_LAT_LIMIT, _LON_LIMIT, _LAT_LIMIT)


def area_conditions(area: Area) -> list[dict[str, Any]]:
    """Conditions of which a point must meet at least one to lie in the area."""
    if isinstance(area, Circle):
        if not area.is_whole_world:
            return [_circle(area)]
        area = _WORLD
    conditions = [_pole(north=north) for north in (True, False) if area.reaches_pole(north=north)]
    if isinstance(area, BoundingBox):
        conditions += [_box(west, area.south, east, area.north) for west, east in area.spans()]
    else:
        conditions += [_polygon(part) for piece in area.pieces() for part in _grown(piece)]
    if _share(area) > _INDEXED_SHARE:
        return [_tested_on_each_point({"should": conditions})]
    return conditions


def _circle(circle: Circle) -> dict[str, Any]:
    """The boxes around a circle, and of the points in them those that are near enough.

    Qdrant's index is never asked for the circle itself: the cells with which it covers one leave
    out some that the circle reaches (Edge 0.9.0: 6 of 2,726 points lost within 3,000 km of 20 N
    30 E, some of them 70 km inside the rim; 1 of 2,500 random circles lost a point).
    """
    radius_km = min(circle.radius_km + TOLERANCE_KM, HALF_EARTH_KM)
    center = stored_locations(circle.center)[0]
    near = {"key": "location", "geo_radius": {"center": center, "radius": radius_km * 1000.0}}
    tested = _tested_on_each_point(near)
    box = _box_around(circle)
    if _share(box) > _INDEXED_SHARE:
        return tested
    around = [_box(west, box.south, east, box.north) for west, east in box.spans()]
    return {"should": around} | tested


def _tested_on_each_point(condition: dict[str, Any]) -> dict[str, Any]:
    """The same condition negated twice, which the index cannot answer."""
    return {"must_not": [{"must_not": [condition]}]}


def _share(area: BoundingBox | Polygon) -> float:
    """How much of the Earth's surface lies between the parallels and meridians around an area."""
    if isinstance(area, BoundingBox):
        spans, south, north = area.spans(), area.south, area.north
    else:
        corners = np.array([corner for piece in area.pieces() for corner in piece.exterior])
        spans = ((corners[:, 0].min(), corners[:, 0].max()),)
        south, north = corners[:, 1].min(), corners[:, 1].max()
    width = sum(east - west for west, east in spans) / 360.0
    height = (math.sin(math.radians(north)) - math.sin(math.radians(south))) / 2.0
    return float(width * height)


def _box_around(circle: Circle) -> BoundingBox:
    """A box that holds a circle with some ten metres to spare."""
    lat, lon = circle.center.lat, circle.center.lon
    angle = circle.radius_km / EARTH_RADIUS_KM
    reach = math.degrees(angle) + _SPARE_DEG
    south, north = lat - reach, lat + reach
    if south <= -90.0 or north >= 90.0:  # all longitudes meet at a pole
        return BoundingBox(-180.0, max(south, -90.0), 180.0, min(north, 90.0))
    half_width = math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(lat))))
    reach = math.degrees(half_width) + _SPARE_DEG
    return BoundingBox(lon - reach, south, lon + reach, north)


def _box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A box whose edge belongs to it: the engine's begins one float outside of its last points."""
    west, south = (math.nextafter(edge - TOLERANCE_DEG, -math.inf) for edge in (west, south))
    east, north = (math.nextafter(edge + TOLERANCE_DEG, math.inf) for edge in (east, north))
    corners = {"top_left": _position(west, north), "bottom_right": _position(east, south)}
    return {"key": "location", "geo_bounding_box": corners}


def _pole(*, north: bool) -> dict[str, Any]:
    """The little box in which a pole, whatever its longitude, is kept."""
    lat = NORTH_END if north else -NORTH_END
    half = SNAP_DEG / 2.0
    corners = {
        "top_left": _position(-half, lat + half),
        "bottom_right": _position(half, lat - half),
    }
    return {"key": "location", "geo_bounding_box": corners}


def _polygon(part: shapely.Polygon) -> dict[str, Any]:
    exterior, *holes = (
        {"points": [_position(lon, lat) for lon, lat in shapely.get_coordinates(ring)]}
        for ring in (part.exterior, *part.interiors)
    )
    return {"key": "location", "geo_polygon": {"exterior": exterior, "interiors": holes}}


def _grown(piece: Piece) -> list[shapely.Polygon]:
    """A piece with its edges pushed outward by the tolerance; holes shrink and may close."""
    plain = shapely.Polygon(piece.exterior, piece.holes)
    grown = plain.buffer(TOLERANCE_DEG, join_style="mitre", mitre_limit=4.0)
    corners = shapely.get_coordinates(plain)
    bare = corners[~shapely.contains_xy(grown, corners)]
    if len(bare):
        # Where a ring all but touches itself, buffering may leave a corner on the edge.
        around = shapely.box(*(bare - TOLERANCE_DEG).T, *(bare + TOLERANCE_DEG).T)
        grown = shapely.union_all([grown, *around])
    # Cut rather than clamped: moving one corner of a spike that touches ±180 would tilt its sides.
    inside = shapely.intersection(grown, _LIMITS)
    return [part for part in shapely.get_parts(inside) if part.geom_type == "Polygon"]


def _position(lon: float, lat: float) -> dict[str, float]:
    """A corner as the engine takes it, kept inside the ends."""
    return {
        "lon": min(max(float(lon), -_LON_LIMIT), _LON_LIMIT),
        "lat": min(max(float(lat), -_LAT_LIMIT), _LAT_LIMIT),
    }
