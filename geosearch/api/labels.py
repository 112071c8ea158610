"""What an upload says of its photos: rows as a manifest has them, by file name or in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from geosearch.api.bodies import strict_json
from geosearch.errors import InvalidInput
from geosearch.ingest.manifest import claims_of, column_of
from geosearch.ingest.sources import Claims

Row: TypeAlias = dict[str, Any]

SIDECAR = "xmp"
"""The key under which a row carries the text of the XMP file beside a photo."""


def read_labels(text: str | None, names: Sequence[str]) -> list[Row]:
    """One row for each file, in order, with our names of columns; empty where nothing is said.

    Args:
        text: JSON, an object of rows by file name, or an array with a row or null for each file.
        names: of the files, as they were sent.

    Raises:
        InvalidInput: not that, a name that is no file's, or a row that a manifest could not have.
    """
    if not text:
        return [{} for _ in names]
    try:
        document = strict_json(text)
    except InvalidInput as error:
        raise InvalidInput(f"labels: {error}") from None
    match document:
        case dict():
            strangers = [name for name in document if name not in names]
            if strangers:
                raise InvalidInput(
                    f"labels name {strangers[0][:80]!r}, which is not among the files; "
                    f"they are {', '.join(names[:5])[:300]}"
                )
            rows = [document.get(name) for name in names]
        case list():
            if len(document) != len(names):
                raise InvalidInput(
                    f"labels have {len(document)} rows for {len(names)} files; give one row or "
                    "null for each file, in order"
                )
            rows = document
        case _:
            raise InvalidInput(
                "labels must be an object of rows by file name, or an array of rows in order"
            )
    return [_row(row, name) for row, name in zip(rows, names, strict=True)]


def claims_of_row(row: Mapping[str, Any], dataset: str | None) -> Claims:
    """What a row that `read_labels` gave says of its photo; `dataset` stands in for its own."""
    claims = claims_of({name: cell for name, cell in row.items() if name != SIDECAR})
    return claims if claims.dataset is not None else replace(claims, dataset=dataset)


def _row(raw: object, name: str) -> Row:
    if raw is None:
        return {}
    where = f"labels of {name[:80]!r}"
    if not isinstance(raw, dict):
        raise InvalidInput(f'{where} must be an object, as in {{"lat": 55.7, "lon": 13.2}}')
    row: Row = {}
    for column, cell in raw.items():
        ours = column_of(column)
        if ours in row:
            raise InvalidInput(f"{where} say {ours} twice")
        if "\0" in column or (isinstance(cell, str) and "\0" in cell):
            raise InvalidInput(f"{where} hold a NUL character, which no catalogue keeps")
        if isinstance(cell, dict | list):
            raise InvalidInput(f"{where}: {column[:40]} must be text, a number, true or false")
        row[ours] = cell
    if not isinstance(row.get(SIDECAR, ""), str):
        raise InvalidInput(f"{where}: {SIDECAR} must be the text of an XMP file")
    try:
        claims_of_row(row, None)
    except ValueError as error:
        raise InvalidInput(f"{where}: {error}") from None
    return row
