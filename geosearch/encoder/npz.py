"""Features that were made elsewhere, in a file of `numpy.savez`: the one reader of such files."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.features import WORDS, FeatureSet, check_encoder, place_key
from geosearch.errors import ConfigError, InvalidInput


def read_npz(path: Path, *, encoder: str | None = None, dataset: str | None = None) -> FeatureSet:
    """Features made elsewhere: `image_features`, `lat`, `lon`, and more columns if there.

    Known besides: `text_features`, `place`, `author`, `country`, `dataset`, `license`,
    `caption`, and `encoder`, the identity that made the features. Photos without a `place`
    share one when they are within some 100 m of each other.

    Args:
        path: a file of `numpy.savez`.
        encoder: the identity that the features must have, or are said to have if the file
            does not tell; None takes them from any.
        dataset: only photos of this data set.

    Raises:
        ConfigError: no such file, another encoder, or no photo of the data set.
        InvalidInput: not an NPZ, a column is missing, or its values cannot be used.
    """
    columns = _columns(path)
    made_by = str(columns["encoder"]) if "encoder" in columns else encoder or ""
    if encoder is not None:
        check_encoder(path, made_by, encoder)
    n = len(columns["image_features"])
    try:
        lat, lon = (np.asarray(columns[name], dtype=np.float64) for name in ("lat", "lon"))
    except ValueError as error:
        raise InvalidInput(f"{path}: lat and lon must be numbers in degrees") from error
    words = {name: _words(columns[name]) if name in columns else ("",) * n for name in WORDS}
    if "place" not in columns:
        words["place"] = tuple(place_key(*pair) for pair in zip(lat, lon, strict=False))
    try:
        found = FeatureSet(
            made_by, columns["image_features"], columns.get("text_features"), lat, lon, **words
        )
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
    if dataset is None:
        return found
    rows = [row for row, name in enumerate(found.dataset) if name == dataset]
    if not rows:
        known = ", ".join(sorted(set(found.dataset) - {""})) or "no names of any"
        raise ConfigError(f"{path} has no photo of the data set {dataset!r}; it has: {known}")
    return found.select(rows)


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    known = {field.name for field in fields(FeatureSet)}
    try:
        # Opened here, because numpy leaves the file open when it is no archive. Without pickles:
        # an NPZ from a stranger must not be able to run code.
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InvalidInput(f"{path} is a single array; save several with numpy.savez")
            columns = {name: file[name] for name in file.files if name in known}
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file of features") from error
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"{path} is no NPZ file, or truncated ({str(error)[:120]}); write it with numpy.savez"
        ) from error
    for name in ("image_features", "lat", "lon"):
        if name not in columns:
            raise InvalidInput(
                f"{path} has no column {name!r}; it needs image_features, lat and lon, and has: "
                f"{', '.join(sorted(columns)) or 'none of ours'}"
            )
    for name, column in columns.items():
        if column.ndim == 0 and name != "encoder":
            raise InvalidInput(f"{path}: {name} is a single value; every photo needs one")
        if column.ndim > 0 and name == "encoder":
            raise InvalidInput(f"{path}: encoder has {len(column)} values; one made all features")
    return columns


def _words(column: NDArray[Any]) -> tuple[str, ...]:
    if column.dtype.kind == "S":
        column = np.char.decode(column, "utf-8", "replace")
    return tuple(map(str, column))
