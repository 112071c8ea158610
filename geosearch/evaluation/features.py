"""Data sets that are features already: an NPZ of image features with coordinates and places."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.geo import Coordinate

NEEDED = ("image_features", "lat", "lon", "place")


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Labelled photos as features.

    Args:
        name: of the data set.
        image_features: (n, embed_dim) float32, L2-normalised.
        lat: (n,) degrees.
        lon: (n,) degrees.
        place: (n,) names; views of one place share theirs.
        author: (n,) names of photographers, None where the file has none.
    """

    name: str
    image_features: NDArray[np.float32]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    place: NDArray[np.str_]
    author: NDArray[np.str_] | None = None

    def __len__(self) -> int:
        return len(self.lat)

    def queries(self, *, fused: bool = False, rows: NDArray[np.int64] | None = None) -> Dataset:
        """Each photo as a query, or with `fused` all views of a place as one.

        Args:
            fused: one query a place.
            rows: only these, such as `Split.test`; all unless told.
        """
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows)
        views: list[tuple[int, ...]] = [(int(row),) for row in chosen]
        if fused:
            by_place: dict[str, list[int]] = {}
            for row in chosen:
                by_place.setdefault(str(self.place[row]), []).append(int(row))
            views = [tuple(members) for members in by_place.values()]
        notes = ("the views of a place were fused into one query",) if fused else ()
        return Dataset(self.name, tuple(self._query(one, fused) for one in views), notes=notes)

    def _query(self, rows: tuple[int, ...], fused: bool) -> Query:
        row = rows[0]
        author = None if self.author is None else str(self.author[row]) or None
        return Query(
            id=str(self.place[row]) if fused else f"{self.name}:{row}",
            coordinate=Coordinate(float(self.lat[row]), float(self.lon[row])),
            rows=rows,
            author=author,
            place=str(self.place[row]),
        )


def load_features(path: Path, *, dataset: str | None = None) -> FeatureSet:
    """Read an NPZ with `image_features`, `lat`, `lon`, `place`, maybe `dataset` and `author`.

    Args:
        path: the file.
        dataset: only rows of this data set; None for all.

    Raises:
        InvalidInput: not such a file, no such data set, or a row is not usable (it is named).
    """
    arrays = _arrays(path)
    rows = np.arange(len(arrays["lat"]))
    if dataset is not None:
        names = arrays.get("dataset")
        known = [] if names is None else sorted(set(names.tolist()))
        if names is None or dataset not in known:
            there = ", ".join(known) or "no names of any"
            raise InvalidInput(f"{path} has no data set {dataset!r}; it has {there}")
        rows = np.flatnonzero(names == dataset)
    if not len(rows):
        raise InvalidInput(f"{path} has no rows; give features of at least two places")
    features = arrays["image_features"][rows].astype(np.float32)
    lat, lon = (arrays[name][rows].astype(np.float64) for name in ("lat", "lon"))
    _check_rows(path, rows, features, lat, lon)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    author = arrays.get("author")
    return FeatureSet(
        name=dataset or path.stem,
        image_features=np.asarray(features / lengths, dtype=np.float32),
        lat=lat,
        lon=lon,
        place=arrays["place"][rows].astype(np.str_),
        author=None if author is None else author[rows].astype(np.str_),
    )


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of the file, of one length.

    Raises:
        InvalidInput: not an NPZ, an array is missing, or lengths differ.
    """
    try:
        # Without pickles: an NPZ from a stranger must not be able to run code.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise InvalidInput(f"{path} cannot be read as an NPZ of features: {error}") from error
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise InvalidInput(
            f"{path} has no {' and no '.join(missing)}; it has {', '.join(arrays) or 'nothing'}"
        )
    if arrays["image_features"].ndim != 2:
        shape = arrays["image_features"].shape
        raise InvalidInput(f"{path}: image_features is {shape}; it must be (photos, embed_dim)")
    n = len(arrays["image_features"])
    for name in (*NEEDED[1:], "dataset", "author"):
        if name in arrays and arrays[name].shape != (n,):
            raise InvalidInput(
                f"{path}: {name} is {arrays[name].shape} and image_features has {n} rows"
            )
    return arrays


def _check_rows(
    path: Path,
    rows: NDArray[np.int64],
    features: NDArray[np.float32],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
) -> None:
    """Refuse the first row that cannot be used.

    Raises:
        InvalidInput: a feature is not finite or all of them are 0, or a label is out of range.
    """
    checks = (
        (~np.isfinite(features).all(axis=1), "its features are not all finite numbers"),
        (~features.any(axis=1), "its features are all 0, so they point nowhere"),
        (~(np.abs(lat) <= 90.0), "its latitude is outside -90..90"),
        (~(np.abs(lon) <= 180.0), "its longitude is outside -180..180"),
    )
    for is_bad, reason in checks:
        if is_bad.any():
            at = int(is_bad.argmax())
            more = int(is_bad.sum()) - 1
            tail = f", and {more} more rows" if more else ""
            raise InvalidInput(f"{path} row {rows[at]} ({lat[at]:g}, {lon[at]:g}): {reason}{tail}")
