"""When a photo was taken: dates as cameras and manifests write them, brought to aware UTC.

The only importer of timezonefinder. Which of a photo's several clocks to believe is decided in
`metadata.py`.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from geosearch.geo import Coordinate

_DATE_TIME = re.compile(
    r"(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})"
    r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)

_FIRST_YEAR = 1826


class _Zones:
    """The world's time zones as polygons; one instance for the process, opened on first use."""

    def __init__(self) -> None:
        from timezonefinder import TimezoneFinder

        self._finder = TimezoneFinder()
        # Its documentation forbids sharing one between threads; a look-up takes 20 µs.
        self._lock = threading.Lock()

    def name_at(self, coordinate: Coordinate) -> str | None:
        with self._lock:
            name: str | None = self._finder.timezone_at(lat=coordinate.lat, lng=coordinate.lon)
        return name


@cache
def _zones() -> _Zones:
    return _Zones()


def zone_name(coordinate: Coordinate) -> str | None:
    """The IANA time zone at a coordinate; `Etc/GMT±h` at sea, outside territorial waters."""
    return _zones().name_at(coordinate)


def local_time_to_utc(naive: datetime, coordinate: Coordinate) -> datetime | None:
    """Read a clock without a zone as local time at a coordinate; None where its zone is unknown.

    An hour that a clock shows twice in autumn is read as the first, daylight-saving one.

    Raises:
        ValueError: `naive` has a time zone already.
    """
    if naive.tzinfo is not None:
        raise ValueError(f"{naive} has a time zone already; give a naive datetime")
    name = zone_name(coordinate)
    if name is None:
        return None
    try:
        return naive.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)
    except ZoneInfoNotFoundError:  # a zone newer than the installed tzdata
        return None


def parse_date_time(text: str) -> datetime | None:
    """Read an EXIF or ISO 8601 date and time, naive unless it names an offset; None if it is none.

    A date alone is its midnight. A year before photography is no capture time.
    """
    match = _DATE_TIME.fullmatch(text.strip())
    if match is None or not _FIRST_YEAR <= int(match[1]) < 9999:
        return None
    year, month, day, hour, minute, second, fraction, written_offset = match.groups(default="")
    offset = parse_offset(written_offset)
    if written_offset and offset is None:
        return None
    microsecond = int((fraction + "000000")[:6])
    try:
        return datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            microsecond, tzinfo=offset,
        )  # fmt: skip
    except ValueError:
        return None


def parse_offset(text: str) -> timezone | None:
    """Read an offset from UTC such as `+02:00`, `-0330` or `Z`; None if it is none.

    No place on Earth is more than 14 hours from UTC, so a greater offset is no offset.
    """
    if text == "Z":
        return UTC
    match = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", text, re.ASCII)
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if int(match[3]) > 59 or offset > timedelta(hours=14):
        return None
    return timezone(-offset if match[1] == "-" else offset)
