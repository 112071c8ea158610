"""Tables of labels: CSV and Parquet rows to photo sources, bad rows with number and reason."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO

from geosearch import parquet
from geosearch.errors import InvalidCoordinate, InvalidManifest
from geosearch.geo import Coordinate
from geosearch.ingest.sources import (
    MEMBER,
    BadSource,
    Claims,
    PhotoSource,
    is_url,
    split_member,
    uri_of,
)
from geosearch.times import local_time_to_utc, parse_date_time

ALIASES = {
    "latitude": "lat",
    "longitude": "lon",
    "lng": "lon",
    "long": "lon",
    "file": "path",
    "filename": "path",
    "licence": "license",
}
"""Other names under which tables carry our columns."""

COLUMNS = (
    "path", "url", "lat", "lon", "captured_at", "caption", "author", "license", "dataset",
)  # fmt: skip
TEXT_LIMIT = 10_000

_YEAR_OR_MONTH = re.compile(r"(\d{4})(?:-(\d{2}))?", re.ASCII)


def read_manifest(path: Path, *, dataset: str | None = None) -> Iterator[PhotoSource | BadSource]:
    """One source for each row, in order; relative paths count from the manifest's folder.

    Columns: `path` or `url`, `lat`, `lon`, optionally `captured_at`, `caption`, `author`,
    `license`, `dataset`; others become attributes. Blank cells say nothing.

    Args:
        path: `.parquet`, or text in UTF-8 with commas, semicolons, tabs or bars between columns.
        dataset: takes the place of the column.

    Raises:
        InvalidManifest: no table, or a column is missing.
        MissingDependency: Parquet without the extra `parquet`.
    """
    rows = _parquet_rows(path) if path.suffix.lower() in (".parquet", ".pq") else _csv_rows(path)
    for number, row in rows:
        yield _source(path, number, row, dataset)


def _source(
    manifest: Path, number: int, row: Mapping[str, Any] | str, dataset: str | None
) -> PhotoSource | BadSource:
    where = f"{manifest.name} row {number}"
    nameless = f"{uri_of(manifest)}#row={number}"
    if isinstance(row, str):
        return BadSource(nameless, f"{where}: {row}")
    name, url = _text(row.get("path")), _text(row.get("url"))
    if name is None and url is None:
        return BadSource(nameless, f"{where}: neither path nor url")
    name = name or url or ""
    if "\x00" in name:
        return BadSource(nameless, f"{where}: the path has a NUL in it")
    uri, file = name, None
    if not is_url(name):
        archive, member = split_member(name)
        file = manifest.parent / archive
        uri = uri_of(file)
        if member is not None:
            uri, file = uri + MEMBER + member, None
    try:
        claims = claims_of(row)
    except ValueError as error:
        return BadSource(uri, f"{where}: {error}")
    if dataset is not None:
        claims = replace(claims, dataset=dataset)
    return PhotoSource(uri, file, claims)


def claims_of(row: Mapping[str, Any]) -> Claims:
    """What a row says of its photo; columns that are not ours become attributes.

    Raises:
        ValueError: the coordinate is none, or half of one.
    """
    lat, lon = _number(row.get("lat"), "lat"), _number(row.get("lon"), "lon")
    if (lat is None) != (lon is None):
        raise ValueError(f"{'lat' if lat is None else 'lon'} is blank and the other is not")
    coordinate = None
    if lat is not None and lon is not None:
        if abs(lon) > 180.0:
            # In a table this is a slip and not a way of counting: refuse instead of wrapping.
            swapped = abs(lat) <= 180.0 and abs(lon) <= 90.0
            hint = "; latitude and longitude may be swapped" if swapped else ""
            raise InvalidCoordinate(f"longitude {lon:g} is outside -180..180{hint}")
        coordinate = Coordinate(lat, lon)
    captured_at = _moment(row.get("captured_at"), coordinate)
    attributes = {
        name: value
        for name, cell in row.items()
        if name not in COLUMNS and (value := _attribute(cell)) is not None
    }
    if captured_at is None and (written := _text(row.get("captured_at"))) is not None:
        attributes["captured_at"] = written  # "about 1910" is no time, and not lost either
    return Claims(
        coordinate=coordinate,
        captured_at=captured_at,
        author=_text(row.get("author")),
        license=_text(row.get("license")),
        caption=_text(row.get("caption")),
        dataset=_text(row.get("dataset")),
        attributes=attributes,
    )


def _number(cell: object, name: str) -> float | None:
    """A cell as a number, with decimal point or comma; a NaN is a mistake, a blank is none."""
    if cell is None or isinstance(cell, bool):
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return None
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            raise ValueError(
                f"{name} {cell[:40]!r} is not a number; write decimal degrees, as in 55.705"
            ) from None
    else:
        value = float(cell)  # type: ignore[arg-type]  # Parquet gives int, float or Decimal
    if not math.isfinite(value):
        raise ValueError(f"{name} {cell} is not a finite number; leave the cell blank if unknown")
    return value


def _moment(cell: object, coordinate: Coordinate | None) -> datetime | None:
    """A time in UTC; without a zone it is local time at the coordinate, else UTC."""
    moment: datetime | None
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, date):
        moment = datetime(cell.year, cell.month, cell.day)
    else:
        text = _text(cell) or ""
        # Archives often know the year or the month only: its beginning stands for it.
        partial = _YEAR_OR_MONTH.fullmatch(text)
        moment = parse_date_time(f"{partial[1]}-{partial[2] or '01'}-01" if partial else text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        local = None if coordinate is None else local_time_to_utc(moment, coordinate)
        return moment.replace(tzinfo=UTC) if local is None else local
    return moment.astimezone(UTC)


def _text(cell: object) -> str | None:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    # PostgreSQL refuses NUL, JSON refuses lone surrogates.
    text = str(cell).replace("\x00", "").encode("utf-8", "replace").decode().strip()
    return text[:TEXT_LIMIT] or None


def _attribute(cell: object) -> str | int | float | bool | None:
    if isinstance(cell, bool | int):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return _text(cell)


def column_of(name: str) -> str:
    """Our name of a column: aliases and capitals are ours too, other columns keep their names."""
    return ALIASES.get(name.lower(), name.lower() if name.lower() in COLUMNS else name)


def _columns(path: Path, header: Sequence[object]) -> list[str]:
    """Our names of the columns.

    Raises:
        InvalidManifest: one that is needed is missing, or one is there twice.
    """
    names = [str(name or "").strip() for name in header]
    columns = [column_of(name) for name in names]
    found = f"the columns found are: {', '.join(names)[:300] or 'none'}"
    missing = [name for name in ("lat", "lon") if name not in columns]
    if "path" not in columns and "url" not in columns:
        missing.insert(0, "path (or url)")
    if missing:
        raise InvalidManifest(f"{path}: the column {' and '.join(missing)} is missing; {found}")
    twice = {name for name in columns if name and columns.count(name) > 1}
    if twice:
        raise InvalidManifest(
            f"{path}: the column {', '.join(sorted(twice))} is there twice; {found}"
        )
    return columns


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Rows of a text table with their number in a spreadsheet: the header is row 1."""
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline(100_000)
        if not header.strip():
            raise InvalidManifest(f"{path} is empty; its first line must name the columns")
        # The separator is the one that yields most columns; names of columns hold none of them.
        separator = max(",;\t|", key=header.count)
        file.seek(0)
        reader = csv.reader(_without_nul(file), delimiter=separator)
        columns = _columns(path, next(reader))
        for number, cells in enumerate(reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                yield (
                    number,
                    f"{len(cells)} cells for {len(columns)} columns; put cells that hold a "
                    f"{separator!r}, such as decimal commas and captions, in double quotes",
                )
                continue
            yield number, dict(zip(columns, cells, strict=False))


def _without_nul(file: TextIO) -> Iterator[str]:
    return (line.replace("\x00", "") for line in itertools.chain(file))


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    with _readable(path):
        yield from enumerate(parquet.read_rows(path, lambda names: _columns(path, names)), start=2)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidManifest(f"{path}: no such manifest") from error
    except UnicodeDecodeError as error:
        raise InvalidManifest(
            f"{path} is not UTF-8 (it has a byte 0x{error.object[error.start]:02x} out of place); "
            "save it as 'CSV UTF-8'"
        ) from error
    except csv.Error as error:
        raise InvalidManifest(f"{path} is not a readable table: {error}") from error
    except OSError as error:
        raise InvalidManifest(f"{path} cannot be read: {error.strerror or error}") from error
