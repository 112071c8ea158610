"""Points on the sphere: the coordinate type, distances, unit vectors, circles as rings.

`(lat, lon)` in degrees, WGS84, everywhere; areas live in `areas.py`; nothing here knows of photos.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import InvalidCoordinate

EARTH_RADIUS_KM = 6371.0088
"""Mean Earth radius (IUGG 1980, R1); the sphere is at most 0.5 % away from WGS84 distances."""

_ONE_THREAD = 200_000
"""Multiplications of one matrix product below which OpenBLAS wakes no other thread."""

HALF_EARTH_KM = math.pi * EARTH_RADIUS_KM
"""The greatest distance that two points can have."""


def wrap_longitude(lon: float) -> float:
    """Longitude brought into [-180, 180]; values inside, ±180 included, stay as they are."""
    if -180.0 <= lon <= 180.0:
        return lon
    wrapped = math.fmod(lon + 180.0, 360.0)
    if wrapped < 0.0:
        wrapped += 360.0
    return wrapped - 180.0


@dataclass(frozen=True, slots=True, order=True)
class Coordinate:
    """A place on Earth in degrees, WGS84.

    Args:
        lat: latitude, -90 to 90.
        lon: longitude; any finite value up to ±540, wrapped into [-180, 180] once, here.

    Raises:
        InvalidCoordinate: a value is not finite, the latitude is outside ±90, or the longitude is
            so large that it cannot be meant as degrees.
    """

    lat: float
    lon: float

    def __post_init__(self) -> None:
        lat, lon = self.lat, self.lon
        if (
            type(lat) is type(lon) is float and -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0
        ):  # nearly always so, and hundreds are made for one search; no NaN gets in here
            return
        lat, lon = float(lat), float(lon)
        if not (math.isfinite(lat) and math.isfinite(lon)):
            raise InvalidCoordinate(f"latitude {lat}, longitude {lon}: both must be finite numbers")
        if not -90.0 <= lat <= 90.0:
            hint = ""
            if -90.0 <= lon <= 90.0 and -180.0 <= lat <= 180.0:
                hint = "; latitude and longitude may be swapped"
            raise InvalidCoordinate(f"latitude {lat:g} is outside -90..90{hint}")
        if not -540.0 <= lon <= 540.0:
            raise InvalidCoordinate(f"longitude {lon:g} is outside -180..180")
        object.__setattr__(self, "lat", lat)
        object.__setattr__(self, "lon", wrap_longitude(lon))

    def distance_km(self, other: Coordinate) -> float:
        """Great-circle distance to another coordinate in kilometres."""
        return float(haversine_km(self.lat, self.lon, other.lat, other.lon))

    def __str__(self) -> str:
        return f"{self.lat:.5f}, {self.lon:.5f}"


def parse_coordinate(text: str) -> Coordinate:
    """Read ``LAT,LON`` as typed on a command line.

    Raises:
        InvalidCoordinate: the text is not two numbers, or they are out of range.
    """
    parts = text.strip().split(",")
    try:
        lat, lon = (float(part) for part in parts)
    except ValueError:
        raise InvalidCoordinate(
            f"{text[:80]!r} is not a coordinate; write LAT,LON in decimal degrees, "
            "as in 55.705,13.193"
        ) from None
    return Coordinate(lat, lon)


def haversine_km(
    lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike
) -> NDArray[np.float64]:
    """Great-circle distance in kilometres on the mean sphere; arguments broadcast, in degrees."""
    lat1_rad, lon1_rad, lat2_rad, lon2_rad = (
        np.radians(np.asarray(value, dtype=np.float64)) for value in (lat1, lon1, lat2, lon2)
    )
    half_chord = (
        np.sin((lat2_rad - lat1_rad) / 2.0) ** 2
        + np.cos(lat1_rad) * np.cos(lat2_rad) * np.sin((lon2_rad - lon1_rad) / 2.0) ** 2
    )
    distance: NDArray[np.float64] = (
        2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half_chord, 0.0, 1.0)))
    )
    return distance


def unit_vectors(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Points on the unit sphere: (n,) and (n,) degrees to (n, 3) float64."""
    lat_rad = np.radians(np.asarray(lat, dtype=np.float64))
    lon_rad = np.radians(np.asarray(lon, dtype=np.float64))
    return np.stack(
        [np.cos(lat_rad) * np.cos(lon_rad), np.cos(lat_rad) * np.sin(lon_rad), np.sin(lat_rad)],
        axis=-1,
    )  # (n, 3)


def coordinate_of(vector: ArrayLike) -> Coordinate:
    """The coordinate that a non-zero vector (3,) points at, whatever its length.

    Raises:
        InvalidCoordinate: the vector is zero or not finite, so it points nowhere.
    """
    x, y, z = (float(value) for value in np.asarray(vector, dtype=np.float64))
    length = math.sqrt(x * x + y * y + z * z)
    if not math.isfinite(length) or length < 1e-12:
        raise InvalidCoordinate("a vector of no length points at no place")
    return Coordinate(math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x)))


def chord_of(distance_km: float) -> float:
    """Straight-line distance on the unit sphere of two points so far apart along the surface."""
    return 2.0 * math.sin(min(distance_km, HALF_EARTH_KM) / (2.0 * EARTH_RADIUS_KM))


def distance_words(distance_km: float) -> str:
    """A distance as people read it: three figures, thousands with commas, never an exponent."""
    return f"{distance_km:,.0f} km" if distance_km >= 100.0 else f"{distance_km:.3g} km"


def squared_chords(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared straight-line distances between unit vectors (n, 3) and (m, 3): (n, m).

    In slices so small that BLAS stays on one thread. Waking another one takes longer than all of
    it: 450 by 450 takes 5 to 12 ms with OpenBLAS on two cores, in slices 0.3 ms.
    """
    rows = max(1, _ONE_THREAD // max(1, 3 * len(b)))
    products = np.empty((len(a), len(b)))
    for start in range(0, len(a), rows):
        np.matmul(a[start : start + rows], b.T, out=products[start : start + rows])
    squared: NDArray[np.float64] = np.maximum(2.0 - 2.0 * products, 0.0)
    return squared


def destination(start: Coordinate, *, bearing_deg: float, distance_km: float) -> Coordinate:
    """The point reached from `start` along a great circle; bearing clockwise from north."""
    angle = distance_km / EARTH_RADIUS_KM
    lat_rad, bearing_rad = math.radians(start.lat), math.radians(bearing_deg)
    sin_lat = math.sin(lat_rad) * math.cos(angle) + math.cos(lat_rad) * math.sin(angle) * math.cos(
        bearing_rad
    )
    sin_lat = min(1.0, max(-1.0, sin_lat))
    lon_step = math.atan2(
        math.sin(bearing_rad) * math.sin(angle) * math.cos(lat_rad),
        math.cos(angle) - math.sin(lat_rad) * sin_lat,
    )
    return Coordinate(math.degrees(math.asin(sin_lat)), start.lon + math.degrees(lon_step))
