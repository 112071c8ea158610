"""Parquet files, read and written row by row; the only importer of pyarrow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geosearch.errors import InvalidManifest, MissingDependency

BATCH_ROWS = 1024
"""Rows held in memory at once while reading, and in one row group while writing."""

_TIMES = frozenset({"captured_at"})
_NUMBERS = frozenset({"lat", "lon", "score", "distance_km", "radius_km_50", "radius_km_90"})


def read_rows(
    path: Path, columns_of: Callable[[Sequence[str]], list[str]]
) -> Iterator[Mapping[str, Any]]:
    """The rows of a file as mappings, in order, a stream.

    Args:
        path: the file.
        columns_of: gives the names to use for the names found.

    Raises:
        InvalidManifest: no Parquet file, or a damaged one.
        MissingDependency: without the extra `parquet`.
    """
    arrow = _arrow(f"reading {path.name}")
    try:
        table = arrow.parquet.ParquetFile(path)
        columns = columns_of(table.schema_arrow.names)
        for batch in table.iter_batches(batch_size=BATCH_ROWS):
            yield from batch.rename_columns(columns).to_pylist()
    except arrow.ArrowException as error:
        reason = str(error).splitlines()[0][:200]
        raise InvalidManifest(f"{path} is not a readable Parquet file: {reason}") from error


def write_rows(rows: Iterable[Mapping[str, object]], path: Path, *, columns: Sequence[str]) -> int:
    """Write rows as a Parquet file and return how many; the file appears whole or not at all.

    `lat` and `lon` are float64 degrees, `captured_at` a time stamp in UTC, all else text; what is
    missing is null.

    Raises:
        MissingDependency: without the extra `parquet`.
    """
    arrow = _arrow(f"writing {path.name}")
    schema = arrow.schema([(name, _kind(arrow, name)) for name in columns])
    draft = path.with_name(path.name + ".part")
    count = 0
    try:
        with arrow.parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            stream = iter(rows)
            while batch := list(itertools.islice(stream, BATCH_ROWS)):
                cells = [{name: _cell(row.get(name), name) for name in columns} for row in batch]
                writer.write_batch(arrow.RecordBatch.from_pylist(cells, schema=schema))
                count += len(batch)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _arrow(purpose: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependency("pyarrow", extra="parquet", purpose=purpose) from error
    return pyarrow


def _kind(arrow: Any, name: str) -> Any:
    if name in _NUMBERS:
        return arrow.float64()
    return arrow.timestamp("us", tz="UTC") if name in _TIMES else arrow.string()


def _cell(value: object, name: str) -> object:
    if value is None or name in _NUMBERS:
        return value
    if isinstance(value, datetime) and name in _TIMES:
        return value.astimezone(UTC)
    # A path with undecodable bytes carries lone surrogates, which UTF-8 cannot hold.
    return str(value).encode("utf-8", "replace").decode()
