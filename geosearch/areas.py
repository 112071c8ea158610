"""Areas on the Earth: circle, box and polygon, and what it means for a point to lie in one.

`contains` is the definition that every store is held to. A circle is measured on the sphere; edges
of boxes and polygons are straight lines in longitude and latitude, as RFC 7946 has it. Areas are
closed: their edge belongs to them. Rings are worked out in `rings.py`, GeoJSON is read in
`geojson.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import InvalidArea
from geosearch.geo import HALF_EARTH_KM, Coordinate, destination, haversine_km, wrap_longitude
from geosearch.geojson import rings_in
from geosearch.rings import region_of

TOLERANCE_DEG = 1e-9
"""A point this near to an edge (0.1 mm) lies on it."""

SNAP_DEG = TOLERANCE_DEG / 2.0
"""A point this near to ±180 or to a pole lies there: less than the tolerance, so that an area which
only touches ±180 reaches points kept this far inside."""

TOLERANCE_KM = 1e-6
"""A point this far (1 mm) outside a circle still lies on it: room for two ways of rounding."""

Ring: TypeAlias = tuple[tuple[float, float], ...]
"""A closed ring of (lon, lat) positions, the first repeated at the end."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an area that is a plain polygon within ±180 and ±90, with its holes."""

    exterior: Ring
    holes: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True)
class Circle:
    """All points within `radius_km` of a centre along the surface, the rim included.

    Raises:
        InvalidArea: the radius is negative or not finite.
    """

    center: Coordinate
    radius_km: float

    def __post_init__(self) -> None:
        radius_km = float(self.radius_km)
        if not (math.isfinite(radius_km) and radius_km >= 0.0):
            raise InvalidArea(
                f"radius {radius_km} km: give a finite number of kilometres, 0 or more"
            )
        object.__setattr__(self, "radius_km", radius_km)

    @property
    def is_whole_world(self) -> bool:
        """Whether no point of the Earth is outside."""
        return self.radius_km >= HALF_EARTH_KM - TOLERANCE_KM

    def contains(self, lat: ArrayLike, lon: ArrayLike) -> NDArray[np.bool_]:
        """Which points (n,) and (n,) in degrees lie in the circle: (n,) bool."""
        distance_km = haversine_km(self.center.lat, self.center.lon, lat, lon)
        inside: NDArray[np.bool_] = distance_km <= self.radius_km + TOLERANCE_KM
        return inside | self.is_whole_world


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """All points between two parallels and two meridians, going east from `west` to `east`.

    `west` > `east` means that the box lies across ±180; 360 degrees or more are the whole circle. A
    box that reaches a pole holds that pole, and one that reaches ±180 holds it from either side.

    Raises:
        InvalidArea: a value is not finite, a latitude is outside ±90, south is above north, or a
            longitude is too large to be meant as degrees.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        west, south, east, north = (
            float(value) for value in (self.west, self.south, self.east, self.north)
        )
        given = f"box {west:g},{south:g},{east:g},{north:g} (west, south, east, north)"
        if not all(math.isfinite(value) for value in (west, south, east, north)):
            raise InvalidArea(f"{given}: all four must be finite numbers")
        if max(abs(south), abs(north)) > 90.0:
            swapped = max(abs(west), abs(east)) <= 90.0
            hint = "; latitude and longitude may be swapped" if swapped else ""
            raise InvalidArea(f"{given}: south and north must be within -90..90{hint}")
        if south > north:
            raise InvalidArea(f"{given}: south must not be above north; write W,S,E,N")
        if max(abs(west), abs(east)) > 540.0:
            raise InvalidArea(f"{given}: west and east must be within -180..180")
        if east - west >= 360.0:
            west, east = -180.0, 180.0
        names = ("west", "south", "east", "north")
        values = (wrap_longitude(west), south, wrap_longitude(east), north)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def parse(cls, text: str) -> BoundingBox:
        """Read ``W,S,E,N`` as typed on a command line.

        Raises:
            InvalidArea: the text is not four numbers, or they are no box.
        """
        try:
            west, south, east, north = (float(part) for part in text.split(","))
        except ValueError:
            raise InvalidArea(
                f"{text[:80]!r} is not a box; write W,S,E,N in decimal degrees, "
                "as in 12.9,55.5,13.4,55.8"
            ) from None
        return cls(west, south, east, north)

    def spans(self) -> tuple[tuple[float, float], ...]:
        """The longitudes covered, as one or two (west, east) within ±180 with west <= east."""
        if self.west <= self.east:
            return ((self.west, self.east),)
        return ((self.west, 180.0), (-180.0, self.east))

    def pieces(self) -> tuple[Piece, ...]:
        """The box as one or two plain rectangles that do not cross ±180."""
        south, north = self.south, self.north
        return tuple(
            Piece(((west, south), (east, south), (east, north), (west, north), (west, south)))
            for west, east in self.spans()
        )

    def reaches_pole(self, *, north: bool) -> bool:
        """Whether the north (or south) pole lies in the box."""
        return _is_pole(self.north) if north else _is_pole(-self.south)

    def contains(self, lat: ArrayLike, lon: ArrayLike) -> NDArray[np.bool_]:
        """Which points (n,) and (n,) in degrees lie in the box: (n,) bool."""

        def covers(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.bool_]:
            inside = np.zeros(lat.shape, dtype=np.bool_)
            for west, east in self.spans():
                inside |= (lon >= west - TOLERANCE_DEG) & (lon <= east + TOLERANCE_DEG)
            inside &= (lat >= self.south - TOLERANCE_DEG) & (lat <= self.north + TOLERANCE_DEG)
            return inside

        return _contains(self, covers, lat, lon)


@dataclass(frozen=True, slots=True)
class Polygon:
    """All points inside one ring and outside the holes, every edge included.

    Edges are straight in longitude and latitude. An edge that jumps by more than 180° of longitude
    is read as the short way across ±180, one from -180 to 180 as the way round the world. A ring
    that goes once round the Earth holds the pole on its side of the equator; one that has places
    on both sides holds the pole on its left (RFC 7946: outer rings run counter-clockwise). A
    polygon that reaches a pole holds it, and one that reaches ±180 holds it from either side.

    Args:
        exterior: at least three places; the first may be repeated at the end.
        holes: rings cut out of it, read by the same rules.

    Raises:
        InvalidArea: a ring has too few places, no area, or crosses itself, or nothing is left.
    """

    exterior: tuple[Coordinate, ...]
    holes: tuple[tuple[Coordinate, ...], ...] = ()
    _region: shapely.MultiPolygon = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exterior", tuple(self.exterior))
        object.__setattr__(self, "holes", tuple(tuple(hole) for hole in self.holes))
        object.__setattr__(self, "_region", region_of(self.exterior, self.holes))
        shapely.prepare(self._region)

    def pieces(self) -> tuple[Piece, ...]:
        """The polygon as plain polygons that do not cross ±180 or go round a pole."""
        return tuple(
            Piece(_positions(part.exterior), tuple(_positions(hole) for hole in part.interiors))
            for part in self._region.geoms
        )

    def reaches_pole(self, *, north: bool) -> bool:
        """Whether the north (or south) pole lies in the polygon."""
        _, lowest, _, highest = self._region.bounds
        return _is_pole(highest) if north else _is_pole(-lowest)

    def contains(self, lat: ArrayLike, lon: ArrayLike) -> NDArray[np.bool_]:
        """Which points (n,) and (n,) in degrees lie in the polygon: (n,) bool."""

        def covers(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.bool_]:
            inside: NDArray[np.bool_] = shapely.dwithin(
                self._region, shapely.points(lon, lat), TOLERANCE_DEG
            )
            return inside

        return _contains(self, covers, lat, lon)


Area: TypeAlias = Circle | BoundingBox | Polygon
"""Any area; each has `contains`."""


def areas_from_geojson(document: object) -> tuple[Polygon, ...]:
    """The polygons of a parsed GeoJSON document, in its order.

    Polygon, MultiPolygon, and Feature, FeatureCollection and GeometryCollection of them are areas.

    Raises:
        InvalidArea: anything else is in it, it holds no polygon, or a polygon cannot be used.
    """
    return tuple(Polygon(exterior, tuple(holes)) for exterior, *holes in rings_in(document))


def polygons_to_geojson(polygons: Iterable[Polygon]) -> dict[str, object]:
    """A MultiPolygon that `areas_from_geojson` reads back: the rings as they were given, uncut."""
    return {
        "type": "MultiPolygon",
        "coordinates": [
            [_closed_positions(ring) for ring in (polygon.exterior, *polygon.holes)]
            for polygon in polygons
        ],
    }


def _closed_positions(ring: tuple[Coordinate, ...]) -> list[list[float]]:
    """A ring as GeoJSON's [lon, lat], the first repeated at the end."""
    closed = ring if ring[0] == ring[-1] else (*ring, ring[0])
    return [[place.lon, place.lat] for place in closed]


def to_geojson(area: Area) -> dict[str, object]:
    """An area as a GeoJSON geometry, cut at ±180; a circle becomes a ring of 128 places."""
    if isinstance(area, Circle):
        area = _ring_of(area)
    polygons = [
        [_in_short_steps(ring) for ring in (piece.exterior, *piece.holes)]
        for piece in area.pieces()
    ]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _in_short_steps(ring: Ring) -> Ring:
    """A ring whose wide edges are divided, so that no reader takes them the short way round."""
    steps = [ring[0]]
    for (west, south), (east, north) in pairwise(ring):
        if abs(east - west) > 120.0:
            steps += [
                (west + (east - west) * part, south + (north - south) * part)
                for part in (0.25, 0.5, 0.75)
            ]
        steps.append((east, north))
    return tuple(steps)


def _ring_of(circle: Circle, *, places: int = 128) -> Polygon | BoundingBox:
    """A circle drawn as a polygon whose corners lie on the rim."""
    world = BoundingBox(-180.0, -90.0, 180.0, 90.0)
    # A ring of a millimetre has no area in degrees that survives rounding; draw it at one metre.
    radius_km = max(circle.radius_km, 1e-3)
    if radius_km >= HALF_EARTH_KM - 1e-3:
        return world
    # Counter-clockwise, so that a rim that goes round a pole has the circle on its left.
    rim = tuple(
        destination(circle.center, bearing_deg=-360.0 * step / places, distance_km=radius_km)
        for step in range(places)
    )
    to_north = haversine_km(circle.center.lat, 0.0, 90.0, 0.0)
    if radius_km > to_north and radius_km > HALF_EARTH_KM - to_north:
        # Both poles are inside, so what the rim encloses in the plane is the outside of the circle.
        corners = tuple(
            Coordinate(lat, lon)
            for lon, lat in ((-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0))
        )
        return Polygon(corners, (rim,))
    return Polygon(rim)


_Covers: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def _contains(
    area: BoundingBox | Polygon,
    covers: _Covers,
    lat: ArrayLike,
    lon: ArrayLike,
) -> NDArray[np.bool_]:
    """What `covers` says in the plane, and that ±180 is one meridian and a pole one point."""
    lats, lons = np.broadcast_arrays(np.asarray(lat, np.float64), np.asarray(lon, np.float64))
    inside = covers(lats, lons)
    on_antimeridian = np.abs(lons) >= 180.0 - SNAP_DEG
    if on_antimeridian.any():
        inside |= on_antimeridian & covers(lats, -lons)
    for north, latitude in ((True, lats), (False, -lats)):
        if area.reaches_pole(north=north):
            inside |= latitude >= 90.0 - SNAP_DEG
    return inside


def _is_pole(lat: float) -> bool:
    """Whether a latitude is the north pole's, to the tolerance."""
    return lat >= 90.0 - SNAP_DEG


def _positions(ring: shapely.LinearRing) -> Ring:
    """The (lon, lat) positions of a shapely ring."""
    return tuple((float(lon), float(lat)) for lon, lat in shapely.get_coordinates(ring))
