"""Photos of a collection as files: CSV, Parquet, GeoJSON, KML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from geosearch import exports, parquet
from geosearch.errors import ConfigError

SUFFIXES = {
    ".csv": "csv", ".geojson": "geojson", ".json": "geojson", ".kml": "kml",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
"""What a name ends in, and the form that is meant."""

_TEXTS = {
    "csv": exports.photos_to_csv,
    "geojson": exports.photos_to_geojson,
    "kml": exports.photos_to_kml,
}

FORMS = (*_TEXTS, "parquet")


def form_of(file: Path) -> str:
    """The form that the name of a file asks for; CSV where it says nothing."""
    return SUFFIXES.get(file.suffix.lower(), "csv")


def write_photos(rows: Iterable[dict[str, Any]], file: Path, form: str | None = None) -> int:
    """Write photos to a file and return how many.

    Raises:
        ConfigError: there is no such form.
        MissingDependency: Parquet without the extra `parquet`.
    """
    form = form_of(file) if form is None else form
    if form not in FORMS:
        raise ConfigError(f"{form!r} is no form of an export; choose from {', '.join(FORMS)}")
    if form == "parquet":
        columns = (*exports.PHOTO_COLUMNS, "label_source")
        return parquet.write_rows(rows, file, columns=columns)
    with file.open("w", encoding="utf-8", newline="") as out:
        return write_text(rows, out, form)


def write_text(rows: Iterable[Mapping[str, object]], out: TextIO, form: str) -> int:
    """Write photos to an open text file and return how many; `form` is one of text."""
    return _TEXTS[form](rows, out)
