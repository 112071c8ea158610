"""What people type to narrow a search, read into filters: areas, times, circles and boxes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from geosearch.areas import (
    BoundingBox,
    Circle,
    Polygon,
    areas_from_geojson,
    polygons_to_geojson,
)
from geosearch.errors import ConfigError, InvalidArea, InvalidInput
from geosearch.geo import Coordinate
from geosearch.store.filters import (
    And,
    Author,
    Country,
    Dataset,
    Filter,
    Or,
    TimeSpan,
    Within,
    all_of,
    within_any,
)
from geosearch.times import parse_date_time

PathLike: TypeAlias = str | os.PathLike[str]
When: TypeAlias = str | datetime


@dataclass(frozen=True, slots=True)
class Criteria:
    """What photos must match, as people gave it; all of it together.

    Args:
        near: centre of a circle.
        radius_km: its radius.
        bbox: west, south, east, north in degrees; west > east crosses ±180.
        within: GeoJSON with polygons, as a file or a parsed document.
        country: ISO 3166-1 alpha-2 code.
        since: first moment, ISO 8601, UTC without an offset.
        until: end; a date alone means the end of that day.
        dataset: name of a data set.
        author: name of a photographer.
    """

    near: Coordinate | None = None
    radius_km: float | None = None
    bbox: str | tuple[float, float, float, float] | None = None
    within: PathLike | dict[str, Any] | None = None
    country: str | None = None
    since: When | None = None
    until: When | None = None
    dataset: str | None = None
    author: str | None = None

    def filter(self) -> Filter | None:
        """They as one filter; None where nothing is demanded.

        Raises:
            InvalidInput: an area or a time does not parse.
            ConfigError: a radius without a centre.
        """
        return all_of(
            circle(self.near, self.radius_km),
            None if self.bbox is None else Within(box(self.bbox)),
            None if self.within is None else within_any(read_areas(self.within)),
            None if self.country is None else Country(self.country),
            time_span(self.since, self.until),
            None if self.dataset is None else Dataset(self.dataset),
            None if self.author is None else Author(self.author),
        )

    def document(self) -> dict[str, Any]:
        """They as JSON, files of areas read; empty where nothing is demanded.

        Raises:
            InvalidArea: the file cannot be read, or is no JSON.
        """
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        document = {name: value for name, value in given.items() if value is not None}
        if self.near is not None:
            document["near"] = [self.near.lat, self.near.lon]
        if self.bbox is not None and not isinstance(self.bbox, str):
            document["bbox"] = list(self.bbox)
        if self.within is not None and not isinstance(self.within, dict):
            document["within"] = _read_json(self.within)
        for name, moment in (("since", self.since), ("until", self.until)):
            if isinstance(moment, datetime):
                document[name] = read_moment(moment).isoformat()
        return document

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Criteria:
        """Those that `document` wrote."""
        given = dict(document)
        if "near" in given:
            given["near"] = Coordinate(*given["near"])
        if isinstance(given.get("bbox"), list):
            given["bbox"] = tuple(given["bbox"])
        return cls(**given)

    @classmethod
    def from_filter(cls, where: Filter | None) -> Criteria:
        """Those that demand the same, so that a filter can be written as a document.

        Raises:
            ConfigError: they cannot demand it, as Not, Or of other things than polygons, and two
                circles.
        """
        given: dict[str, Any] = {}
        for part in _demands(where):
            said = _words_for(part)
            if not said or said.keys() & given.keys():
                raise ConfigError(
                    f"where: {'one more ' if said else ''}{type(part).__name__} cannot be sent; a "
                    "server takes a circle, a box, polygons, a country, a time span, a data set "
                    "and an author, each once and all together; ask for those, or run this where "
                    "the collection is"
                )
            given |= said
        return cls(**given)


def _demands(where: Filter | None) -> Iterator[Filter]:
    """What must all be true for a filter to match."""
    if isinstance(where, And):
        for part in where.parts:
            yield from _demands(part)
    elif where is not None:
        yield where


def _words_for(part: Filter) -> dict[str, Any]:
    """A filter as fields of `Criteria`; empty where they have no words for it."""
    match part:
        case Within(Circle(center, radius_km)):
            return {"near": center, "radius_km": radius_km}
        case Within(BoundingBox(west, south, east, north)):
            return {"bbox": (west, south, east, north)}
        case Within(Polygon() as polygon):
            return {"within": polygons_to_geojson([polygon])}
        case Or(parts):
            areas = [one.area for one in parts if isinstance(one, Within)]
            polygons = [area for area in areas if isinstance(area, Polygon)]
            return {"within": polygons_to_geojson(polygons)} if len(polygons) == len(parts) else {}
        case Country(code):
            return {"country": code}
        case TimeSpan(since, until):
            ends = {"since": since, "until": until}
            return {name: moment for name, moment in ends.items() if moment is not None}
        case Dataset(name):
            return {"dataset": name}
        case Author(name):
            return {"author": name}
    return {}


def read_areas(area: PathLike | dict[str, Any]) -> tuple[Polygon, ...]:
    """The polygons of a GeoJSON file or document.

    Raises:
        InvalidArea: not readable, not JSON, or no polygons.
    """
    return areas_from_geojson(area if isinstance(area, dict) else _read_json(area))


def _read_json(path: PathLike) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidArea(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArea(f"{path} is not JSON: {error}; give a GeoJSON file") from error


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
