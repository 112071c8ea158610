"""Label files of the public benchmarks, as they are published: rows with coordinate and author.

Nothing here looks for images. Two dialects are read: tables with a header (`IMG_ID, AUTHOR, LAT,
LON, …`, of the project GeoEstimation) and the bare lines of YFCC100M, longitude before latitude.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geosearch.errors import InvalidCoordinate, InvalidInput
from geosearch.geo import Coordinate

COLUMNS = {
    "id": ("img_id", "photo_id", "image_id", "id", "filename", "file", "name", "path"),
    "lat": ("lat", "latitude"),
    "lon": ("lon", "longitude", "lng"),
    "author": ("author", "user_nsid", "user_id"),
}
"""Names of the columns in published tables and their copies, without regard to case."""

YFCC_ID, YFCC_AUTHOR, YFCC_LON, YFCC_LAT = 1, 3, 12, 13
"""Positions in a line of YFCC100M after its line number, as `yfcc4k.txt` (also called `info.txt`)
has them: longitude stands before latitude.

Source: Vo, Jacobs, Hays (2017), Revisiting IM2GPS, the archive yfcc4k.zip; read in the same way by
    github.com/gastruc/osv5m, data/data.py, `load_yfcc4k`.
"""

_FLICKR_NAME = re.compile(r"\d+_[0-9a-f]+_\d+_(\d+@N\d\d)(?:\.\w+)?$")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One labelled photo of a table; `number` counts lines of the file from 1."""

    number: int
    id: str
    coordinate: Coordinate
    author: str | None


@dataclass(frozen=True, slots=True)
class Labels:
    """A label file and what was noticed while it was read."""

    rows: tuple[LabelRow, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Cells:
    number: int
    id: str
    lat: str
    lon: str
    author: str


def read_labels(path: Path) -> Labels:
    """The rows of a label file, in order.

    Raises:
        InvalidInput: no such file, neither dialect, no row, or a label is no place on Earth (its
            row is named).
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as a label file: {error}") from error
    if not any(line.strip() for line in lines):
        raise InvalidInput(f"{path} is empty; give the label file of the benchmark")
    cells, lon_is_first = _cells(path, lines)
    notes: list[str] = []
    if lon_is_first and _is_mislabelled(cells):
        # The first published im2gps3k_places365.csv (GeoEstimation, commit 3487c535) writes
        # "LON,LAT" over columns that hold latitude, longitude; later copies have the header right.
        cells = [_Cells(one.number, one.id, one.lon, one.lat, one.author) for one in cells]
        notes.append(
            f"the header of {path.name} calls latitude LON and longitude LAT, as the first "
            "published copy did; its columns were read as lat, lon"
        )
    return Labels(tuple(_row(path, one) for one in cells), tuple(notes))


def author_of(photo: str, author: str | None) -> str | None:
    """The photographer of a photo: of a Flickr file name its end, else what the table says.

    The table of IM2GPS has `9f05b2251e_1292_8504005@N07` for photos whose name begins with a
    place; the file name has the photographer right.
    """
    match = _FLICKR_NAME.search(photo)
    return match[1] if match else (author or None)


def _cells(path: Path, lines: Sequence[str]) -> tuple[list[_Cells], bool]:
    """The cells of every row, and whether longitude stands before latitude under a header."""
    first = next(line for line in lines if line.strip())
    header = [cell.strip().lower() for cell in next(csv.reader([first]))]
    found = {
        name: next((header.index(alias) for alias in aliases if alias in header), None)
        for name, aliases in COLUMNS.items()
    }
    photo, lat, lon = found["id"], found["lat"], found["lon"]
    if photo is not None and lat is not None and lon is not None:
        author = found["author"]
        wanted = (photo, lat, lon, len(header) if author is None else author)
        return list(_table_rows(path, lines, wanted)), lon < lat
    if first.count("\t") >= YFCC_LAT:
        return list(_yfcc_rows(path, lines)), False
    raise InvalidInput(
        f"{path} has neither columns such as IMG_ID, LAT, LON (found: {', '.join(header)[:200]}) "
        "nor the tab-separated lines of YFCC100M"
    )


def _table_rows(
    path: Path, lines: Sequence[str], wanted: tuple[int, int, int, int]
) -> Iterator[_Cells]:
    photo, lat, lon, author = wanted
    reader = csv.reader(lines)
    next(row for row in reader if any(cell.strip() for cell in row))  # the header
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(photo, lat, lon):
            raise InvalidInput(f"{path} row {reader.line_num}: {len(row)} cells are too few")
        name = row[author].strip() if author < len(row) else ""
        yield _Cells(reader.line_num, row[photo].strip(), row[lat], row[lon], name)


def _yfcc_rows(path: Path, lines: Sequence[str]) -> Iterator[_Cells]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) <= YFCC_LAT:
            raise InvalidInput(f"{path} row {number}: {len(cells)} cells are too few for YFCC100M")
        yield _Cells(
            number, cells[YFCC_ID].strip(), cells[YFCC_LAT], cells[YFCC_LON], cells[YFCC_AUTHOR]
        )


def _is_mislabelled(cells: Sequence[_Cells]) -> bool:
    """Whether "latitudes" are out of range and "longitudes" would all do as latitudes."""
    try:
        lat = [abs(float(one.lat)) for one in cells]
        lon = [abs(float(one.lon)) for one in cells]
    except ValueError:
        return False  # `_row` names the row
    return any(value > 90.0 for value in lat) and all(value <= 90.0 for value in lon)


def _row(path: Path, cells: _Cells) -> LabelRow:
    try:
        lat, lon = float(cells.lat), float(cells.lon)
    except ValueError:
        raise InvalidInput(
            f"{path} row {cells.number} ({cells.id}): {cells.lat[:40]!r}, {cells.lon[:40]!r} are "
            "no coordinate; write decimal degrees"
        ) from None
    if abs(lon) > 180.0:
        raise InvalidInput(
            f"{path} row {cells.number} ({cells.id}): longitude {lon:g} is outside -180..180"
        )
    try:
        coordinate = Coordinate(lat, lon)
    except InvalidCoordinate as error:
        raise InvalidInput(f"{path} row {cells.number} ({cells.id}): {error}") from error
    return LabelRow(cells.number, cells.id, coordinate, author_of(cells.id, cells.author.strip()))
