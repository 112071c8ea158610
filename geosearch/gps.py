"""Positions as EXIF and XMP write them, read strictly: a wrong hemisphere is worse than no label.

Exactly (0, 0), rationals over zero, absent or impossible hemisphere letters are no position; one
zero axis is a place. Every refusal is an `InvalidCoordinate` that says what was found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from geosearch.errors import InvalidCoordinate
from geosearch.exif import Value
from geosearch.geo import Coordinate
from geosearch.times import parse_date_time

_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4
_TIME_STAMP, _STATUS, DATE_STAMP = 7, 9, 29
_PROCESSING_METHOD = 27

PREDICTED_METHOD = "GEOSEARCH PREDICTED"
"""GPSProcessingMethod of positions that were guessed; readers of ours keep them apart."""

_HEMISPHERES = {"latitude": {"N": 1.0, "S": -1.0}, "longitude": {"E": 1.0, "W": -1.0}}
_LETTERS = {"N", "S", "E", "W", "NORTH", "SOUTH", "EAST", "WEST"}
_LIMITS = {"latitude": 90.0, "longitude": 180.0}
_XMP_AXIS = re.compile(
    r"([+-]?\d{1,3}(?:\.\d{0,20})?)(?:,(\d{1,3}(?:\.\d{0,20})?))?(?:,(\d{1,3}(?:\.\d{0,20})?))?"
    r"\s*([A-Za-z]?)",
    re.ASCII,
)


def exif_coordinate(gps: Mapping[int, Value]) -> Coordinate | None:
    """The position of an EXIF GPS directory, None where it has none.

    Raises:
        InvalidCoordinate: there is one and it cannot be used.
    """
    if _LATITUDE not in gps and _LONGITUDE not in gps:
        return None
    return _coordinate(
        _axis("latitude", gps.get(_LATITUDE), _letter(gps.get(_LATITUDE_REF))),
        _axis("longitude", gps.get(_LONGITUDE), _letter(gps.get(_LONGITUDE_REF))),
    )


def is_predicted(gps: Mapping[int, Value]) -> bool:
    """Whether the position is marked as a guess of this software."""
    method = gps.get(_PROCESSING_METHOD)
    return isinstance(method, bytes) and method[8:].rstrip(b"\x00 ") == PREDICTED_METHOD.encode()


def xmp_coordinate(properties: Mapping[str, str]) -> Coordinate | None:
    """The position of an XMP packet (`55,42.3N`, `55,42,18N` or decimal), None where it has none.

    Raises:
        InvalidCoordinate: there is one and it cannot be used.
    """
    latitude, longitude = (properties.get(f"exif:GPS{axis}") for axis in ("Latitude", "Longitude"))
    if latitude is None and longitude is None:
        return None
    return _coordinate(
        _xmp_axis("latitude", latitude, properties.get("exif:GPSLatitudeRef", "")),
        _xmp_axis("longitude", longitude, properties.get("exif:GPSLongitudeRef", "")),
    )


def is_void(gps: Mapping[int, Value]) -> bool:
    """Whether the receiver marked its position as not measured at that moment (status V)."""
    return _letter(gps.get(_STATUS)) == "V"


def utc_stamp(gps: Mapping[int, Value]) -> datetime | None:
    """The time of the satellite fix, None where it is absent or impossible."""
    time, date = gps.get(_TIME_STAMP), gps.get(DATE_STAMP)
    if not isinstance(time, tuple) or len(time) != 3 or not isinstance(date, bytes):
        return None
    hours, minutes, seconds = time
    if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds <= 60):  # NaN fails here too
        return None
    day = parse_date_time(date.split(b"\x00")[0].decode("ascii", "replace"))
    if day is None:
        return None
    step = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return day.replace(tzinfo=UTC) + step


def _coordinate(lat: float, lon: float) -> Coordinate:
    if lat == 0.0 and lon == 0.0:
        raise InvalidCoordinate("position is exactly (0, 0), which cameras write without a fix")
    return Coordinate(lat, lon)


def _letter(value: Value | None) -> str:
    if not isinstance(value, bytes):
        return ""
    return value.split(b"\x00")[0].decode("ascii", "replace").strip().upper()


def _axis(name: str, value: Value | None, letter: str) -> float:
    if not isinstance(value, tuple) or not 1 <= len(value) <= 3:
        raise InvalidCoordinate(f"{name} is missing or is not one to three rational numbers")
    return _signed(name, value, letter)


def _xmp_axis(name: str, text: str | None, ref: str) -> float:
    match = _XMP_AXIS.fullmatch((text or "").strip())
    if match is None:
        raise InvalidCoordinate(f"{name} {(text or '')[:40]!r} is not written like 55,42.3N")
    parts = [float(part) for part in match.groups()[:3] if part]
    letter = (match[4] or ref.strip()).upper()
    if not letter and len(parts) == 1:
        # Decimal degrees without a letter carry their hemisphere in the sign, by convention.
        letter = next(
            key for key, sign in _HEMISPHERES[name].items() if (sign < 0) == (parts[0] < 0)
        )
    return _signed(name, parts, letter)


def _signed(name: str, parts: Sequence[float], letter: str) -> float:
    """Degrees, minutes and seconds with a hemisphere letter as signed degrees."""
    if not all(math.isfinite(part) for part in parts):
        raise InvalidCoordinate(f"{name} has a rational over zero, which means no measurement")
    units = (1.0, 60.0, 3600.0)
    degrees = sum(abs(part) / unit for part, unit in zip(parts, units, strict=False))
    # 60 itself comes from rounding 59.9999 up.
    if any(not 0.0 <= part <= 60.0 for part in parts[1:]) or degrees > _LIMITS[name]:
        written = " ".join(f"{part:g}" for part in parts)
        raise InvalidCoordinate(f"{name} {written} is outside 0..{_LIMITS[name]:g} degrees")
    if not letter and parts[0] < 0.0:
        return -degrees
    sign = _HEMISPHERES[name].get(letter[:1]) if letter in _LETTERS else None
    if sign is None:
        allowed = " or ".join(_HEMISPHERES[name])
        found = f"hemisphere letter {letter[:10]!r}" if letter else "no hemisphere letter"
        raise InvalidCoordinate(f"{name} has {found}; it must be {allowed}")
    return sign * degrees
