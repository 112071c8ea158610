"""Circles on the sphere as polygons for maps, cut at ±180° and closed over the poles.

The only place where exports flip to lon, lat for areas.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon, box
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from geosearch.errors import InvalidArea
from geosearch.geo import EARTH_RADIUS_KM, HALF_EARTH_KM, Coordinate

POLE_CLEARANCE_KM = 0.001
"""A ring closer to a pole than this is pushed over it: on the pole no longitude is right."""

RING_DECIMALS = 7
"""Decimals of a written ring's degrees: about a centimetre."""


def circle_polygon(
    center: Coordinate, radius_km: float, *, n_points: int = 128
) -> Polygon | MultiPolygon:
    """Everything within `radius_km` of `center`, as polygons in the lon, lat plane.

    Every vertex is in ±180, ±90; a circle over the antimeridian comes in parts, one over a pole
    runs along the map's edge, one over both is the world less a hole. Rings follow the right-hand
    rule.

    Args:
        center: the middle, `(lat, lon)`.
        radius_km: great-circle radius, above 0; half the Earth and more gives the whole world.
        n_points: vertices on the circle; 128 keep the area within 0.1 %.

    Raises:
        InvalidArea: the radius is not a positive number.

    Source:
        RFC 7946, sections 3.1.6 (right-hand rule) and 3.1.9 (antimeridian cutting).
    """
    if not (math.isfinite(radius_km) and radius_km > 0.0):
        raise InvalidArea(f"radius {radius_km} km: a circle needs a finite radius above 0")
    near_pole_km = math.radians(90.0 - abs(center.lat)) * EARTH_RADIUS_KM
    far_pole_km = HALF_EARTH_KM - near_pole_km
    for pole_km in (near_pole_km, far_pole_km):
        if abs(radius_km - pole_km) < POLE_CLEARANCE_KM:
            radius_km = pole_km + POLE_CLEARANCE_KM
    world = box(-180.0, -90.0, 180.0, 90.0)
    if radius_km >= HALF_EARTH_KM - POLE_CLEARANCE_KM:
        return _parts(world)
    if radius_km > far_pole_km:
        # Outside both poles there is only a circle round the antipode.
        antipode = Coordinate(-center.lat, center.lon + 180.0)
        rest = circle_polygon(antipode, HALF_EARTH_KM - radius_km, n_points=n_points)
        return _parts(world.difference(rest))

    ring = _ring(center, radius_km, n_points)
    if radius_km > near_pole_km:
        pole_lat = math.copysign(90.0, center.lat)
        # Twice round, so that a whole map's width lies between the two ends and no seam shows.
        turn = np.array([math.copysign(360.0, ring[-1, 0] - ring[0, 0]), 0.0])
        ring = np.vstack([ring[:-1], ring[:-1] + turn, ring[:1] + 2.0 * turn])
        ring = np.vstack([ring, [ring[-1, 0], pole_lat], [ring[0, 0], pole_lat]])
        west = float(ring[:, 0].min())
        edge = -180.0 + 360.0 * math.ceil((west + 180.0) / 360.0)
        window = box(edge, -90.0, edge + 360.0, 90.0)
        return _parts(translate(Polygon(ring).intersection(window), xoff=-180.0 - edge))
    return _parts(_cut(Polygon(ring)))


def circle_rings(center: Coordinate, radius_km: float) -> list[list[list[list[float]]]]:
    """A circle as each polygon's rings of [lon, lat], exterior first, rounded to a centimetre.

    Raises:
        InvalidArea: the radius is not a positive number.
    """
    area = circle_polygon(center, radius_km)
    return [
        [
            [[round(lon, RING_DECIMALS), round(lat, RING_DECIMALS)] for lon, lat in ring.coords]
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        for polygon in ([area] if isinstance(area, Polygon) else area.geoms)
    ]


def _ring(center: Coordinate, radius_km: float, n_points: int) -> NDArray[np.float64]:
    """The closed circle as (n_points + 1, 2) lon, lat degrees, longitudes continuous past ±180."""
    # From vectors, not `geo.destination`: from a pole, its longitudes are rounding noise.
    lat_rad, lon_rad = math.radians(center.lat), math.radians(center.lon)
    outward = np.array(
        [
            math.cos(lat_rad) * math.cos(lon_rad),
            math.cos(lat_rad) * math.sin(lon_rad),
            math.sin(lat_rad),
        ]
    )
    east = np.array([-math.sin(lon_rad), math.cos(lon_rad), 0.0])
    north = np.cross(outward, east)
    angle = radius_km / EARTH_RADIUS_KM
    bearing = np.linspace(0.0, 2.0 * math.pi, n_points, endpoint=False)[:, None]
    x, y, z = (
        math.cos(angle) * outward
        + math.sin(angle) * (np.cos(bearing) * north + np.sin(bearing) * east)
    ).T  # each (n_points,)
    lat = np.degrees(np.arctan2(z, np.hypot(x, y)))
    wrapped = np.degrees(np.arctan2(y, x))
    lon = np.unwrap(np.append(wrapped, wrapped[0]), period=360.0)
    # Closed to the last bit: an end that misses the start by rounding crosses its own ring.
    lon[-1] = lon[0] + 360.0 * round((lon[-1] - lon[0]) / 360.0)
    return np.stack([lon, np.append(lat, lat[0])], axis=1)


def _cut(unwrapped: Polygon) -> BaseGeometry:
    """A polygon with longitudes past ±180 brought back, part by part."""
    west, _, east, _ = unwrapped.bounds
    parts = []
    for turn in range(math.floor((west + 180.0) / 360.0), math.floor((east + 180.0) / 360.0) + 1):
        window = box(-180.0 + 360.0 * turn, -90.0, 180.0 + 360.0 * turn, 90.0)
        parts.append(translate(unwrapped.intersection(window), xoff=-360.0 * turn))
    return MultiPolygon([polygon for part in parts for polygon in _polygons(part)])


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    """The polygons in a geometry; a cut that only touches leaves points and lines, which go."""
    members = getattr(geometry, "geoms", [geometry])
    return [member for member in members if isinstance(member, Polygon) and member.area > 0.0]


def _parts(geometry: BaseGeometry) -> Polygon | MultiPolygon:
    """Polygons with exterior rings counterclockwise; one alone is not wrapped in a collection."""
    polygons = [orient(polygon, sign=1.0) for polygon in _polygons(geometry)]
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
