"""What people type to narrow a search, read into filters: areas, times, circles and boxes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from geosearch.areas import BoundingBox, Circle, Polygon, areas_from_geojson
from geosearch.errors import ConfigError, InvalidArea, InvalidInput
from geosearch.geo import Coordinate
from geosearch.store.filters import Filter, TimeSpan, Within
from geosearch.times import parse_date_time

PathLike: TypeAlias = str | os.PathLike[str]
When: TypeAlias = str | datetime


def read_areas(area: PathLike | dict[str, Any]) -> tuple[Polygon, ...]:
    """The polygons of a GeoJSON file or document.

    Raises:
        InvalidArea: not readable, not JSON, or no polygons.
    """
    if isinstance(area, dict):
        return areas_from_geojson(area)
    try:
        document = json.loads(Path(area).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidArea(f"{area} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArea(f"{area} is not JSON: {error}; give a GeoJSON file") from error
    return areas_from_geojson(document)


def read_moment(text: When, *, end_of_day: bool = False) -> datetime:
    """A moment in UTC; without an offset the text is UTC, a date alone is its first moment.

    Args:
        text: ISO 8601, or a datetime.
        end_of_day: a date alone is the first moment of the next day instead.

    Raises:
        InvalidInput: the text is no time.
    """
    moment = text if isinstance(text, datetime) else parse_date_time(text)
    if moment is None:
        raise InvalidInput(f"{text!r} is not a time; write 2024-05-31 or 2024-05-31T18:30:00+02:00")
    if end_of_day and isinstance(text, str) and ":" not in text[10:]:
        moment += timedelta(days=1)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def time_span(since: When | None, until: When | None) -> Filter | None:
    """Photos from `since` on and before `until`; None when neither is given."""
    if since is None and until is None:
        return None
    return TimeSpan(
        None if since is None else read_moment(since),
        None if until is None else read_moment(until, end_of_day=True),
    )


def circle(center: Coordinate | None, radius_km: float | None) -> Filter | None:
    """Photos within `radius_km` of a centre; None without a radius.

    Raises:
        ConfigError: a radius without a centre.
    """
    if radius_km is None:
        return None
    if center is None:
        raise ConfigError(f"a radius of {radius_km:g} km needs a centre; add --near LAT,LON")
    return Within(Circle(center, radius_km))


def box(bbox: str | tuple[float, float, float, float]) -> BoundingBox:
    """West, south, east, north in degrees, as text or as numbers."""
    return BoundingBox.parse(bbox) if isinstance(bbox, str) else BoundingBox(*bbox)
