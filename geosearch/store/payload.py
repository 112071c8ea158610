"""What a point carries, and the form in which an engine keeps it.

The only place where (lat, lon) of a point becomes lon, lat. What a filter asks for in that form is
in `conditions.py`; the two must agree on where ±180 and the poles are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from geosearch.areas import SNAP_DEG
from geosearch.errors import StoreError
from geosearch.geo import Coordinate

EAST_END = 180.0 - SNAP_DEG
"""The longitude at which ±180 is kept, east and west.

Qdrant's geo index loses boxes and polygons with a corner exactly at ±180 or ±90 (Edge 0.9.0: the
whole world found none of 994 points), so nothing is kept or asked there.
"""

NORTH_END = 90.0 - SNAP_DEG
"""The latitude at which a pole is kept, north and south, always on longitude 0."""


INDEXED_FIELDS = {
    "location": "geo",
    "captured_at": "datetime",
    "dataset": "keyword",
    "country": "keyword",
    "author": "keyword",
}
"""Fields that filters ask for and their kinds; every store indexes them before the first point."""

COORDINATE_FIELDS = ("lat", "lon")
"""Fields that hold the coordinate as given, for who wants nothing else of a payload."""


@dataclass(frozen=True, slots=True)
class PointPayload:
    """The facts a filter can ask for; everything else about a photo is in the catalogue.

    `country` is an ISO 3166-1 alpha-2 code in capitals; `captured_at` carries a time zone.

    Raises:
        StoreError: `captured_at` has no time zone, so it is no moment that could be compared.
    """

    coordinate: Coordinate
    captured_at: datetime | None = None
    dataset: str | None = None
    country: str | None = None
    author: str | None = None

    def __post_init__(self) -> None:
        if self.captured_at is not None and self.captured_at.utcoffset() is None:
            raise StoreError(f"captured_at {self.captured_at} has no time zone; attach one")


def stored_locations(coordinate: Coordinate) -> list[dict[str, float]]:
    """The lon, lat at which an index keeps a coordinate.

    One, but for a place on ±180: that meridian is kept on both sides of the world, because an area
    that touches it from either side holds it.
    """
    lat, lon = coordinate.lat, coordinate.lon
    if abs(lat) >= NORTH_END:
        return [{"lon": 0.0, "lat": NORTH_END if lat > 0 else -NORTH_END}]
    if abs(lon) >= EAST_END:
        return [{"lon": EAST_END, "lat": lat}, {"lon": -EAST_END, "lat": lat}]
    return [{"lon": lon, "lat": lat}]


def to_stored(payload: PointPayload) -> dict[str, object]:
    """A payload as JSON; what is None is left out."""
    stored: dict[str, object] = {
        "location": stored_locations(payload.coordinate),
        # As given, because the location above is moved at ±180 and at the poles.
        "lat": payload.coordinate.lat,
        "lon": payload.coordinate.lon,
    }
    if payload.captured_at is not None:
        stored["captured_at"] = payload.captured_at.isoformat()
    for name in ("dataset", "country", "author"):
        value = getattr(payload, name)
        if value is not None:
            stored[name] = value
    return stored


def from_stored(stored: Mapping[str, object] | None) -> PointPayload:
    """The payload that `to_stored` wrote.

    Raises:
        StoreError: the payload is not one of ours.
    """
    stored = stored or {}
    lat, lon = stored.get("lat"), stored.get("lon")
    if not (isinstance(lat, int | float) and isinstance(lon, int | float)):
        raise StoreError(
            f"a point has the payload {sorted(stored)} without lat and lon; it was not written by "
            "geosearch, use a collection of its own"
        )
    captured_at = stored.get("captured_at")
    return PointPayload(
        coordinate=Coordinate(lat, lon),
        captured_at=datetime.fromisoformat(captured_at) if isinstance(captured_at, str) else None,
        dataset=_text(stored.get("dataset")),
        country=_text(stored.get("country")),
        author=_text(stored.get("author")),
    )


def stored_moment(moment: datetime) -> str:
    """A moment as engines compare it: UTC, RFC 3339, microseconds kept."""
    return moment.astimezone(UTC).isoformat()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
