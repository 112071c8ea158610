"""Which photos are asked and which may be found: folds of whole places or of whole cells.

Pure functions of arrays. Rows are never split one by one: views of one place are near copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import ConfigError, InvalidInput

FOLDS = 5
"""Every photo is asked once, of a gallery that holds four fifths of the places."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from or to search in, and rows to ask; no place or cell is in both."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def place_folds(places: ArrayLike, *, folds: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """The fold (n,) of each photo, 0 to folds - 1; photos of one place (n,) share theirs.

    Raises:
        InvalidInput: there are fewer places than folds.
        ConfigError: fewer than 2 folds.
    """
    names, index = np.unique(np.asarray(places), return_inverse=True)
    return _deal(len(names), folds, seed, "place")[np.asarray(index).ravel()]


def block_folds(
    lat: ArrayLike,
    lon: ArrayLike,
    degrees: float,
    *,
    places: ArrayLike | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> NDArray[np.int64]:
    """The fold (n,) of each photo; photos of one cell of `degrees` x `degrees` share theirs.

    Args:
        lat: (n,) degrees.
        lon: (n,) degrees.
        degrees: size of the cells.
        places: (n,) names; a place whose views lie in two cells belongs to that of its first view.
        folds: how many.
        seed: another one deals out others.

    Raises:
        InvalidInput: there are fewer cells with photos than folds.
        ConfigError: fewer than 2 folds, or cells of no size or of more than 90 degrees.
    """
    cells = blocks(lat, lon, degrees)
    if places is not None:
        _, first, index = np.unique(np.asarray(places), return_index=True, return_inverse=True)
        cells = cells[first][np.asarray(index).ravel()]
    names, index = np.unique(cells, return_inverse=True)
    return _deal(len(names), folds, seed, f"cell of {degrees:g}°")[np.asarray(index).ravel()]


def blocks(lat: ArrayLike, lon: ArrayLike, degrees: float) -> NDArray[np.int64]:
    """The number of the cell (n,) that each coordinate lies in.

    ±180 is one meridian, and the pole belongs to the last row of cells.

    Raises:
        ConfigError: the cells have no size or more than 90 degrees.
    """
    if not 0.0 < degrees <= 90.0:
        raise ConfigError(f"cells of {degrees:g} degrees; give a size above 0 and up to 90")
    per_row = int(np.ceil(360.0 / degrees))
    rows = int(np.ceil(180.0 / degrees))
    row = np.floor((np.asarray(lat, dtype=np.float64) + 90.0) / degrees).astype(np.int64)
    lon = np.asarray(lon, dtype=np.float64)
    turned = np.mod(lon + 180.0, 360.0)
    # The last doubles below 180 round up to 360, and so to 0: they stay in the last column.
    turned = np.where((turned == 0.0) & (lon > 0.0) & (lon < 180.0), 360.0, turned)
    column = np.floor(turned / degrees).astype(np.int64)
    return np.minimum(row, rows - 1) * per_row + np.minimum(column, per_row - 1)


def split_of(folds: NDArray[np.int64], fold: int) -> Split:
    """One fold to ask, the others to learn from or to search in.

    Raises:
        InvalidInput: either side would be empty.
    """
    test, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
    if not len(test) or not len(train):
        side = "asked" if not len(test) else "left to search in"
        raise InvalidInput(
            f"no photo would be {side} in fold {fold}; the folds are "
            f"{', '.join(str(name) for name in np.unique(folds)) or 'none'}"
        )
    return Split(train, test)


def _deal(n_groups: int, folds: int, seed: int, name: str) -> NDArray[np.int64]:
    """The fold of each group, dealt out in random order so that folds differ by one at most."""
    if folds < 2:
        raise ConfigError(f"{folds} folds; give 2 or more, so that something is left to search in")
    if n_groups < folds:
        raise InvalidInput(
            f"there are {n_groups} groups of photos (by {name}) for {folds} folds, so a fold would "
            "be empty; give more places, smaller cells or fewer folds"
        )
    fold = np.empty(n_groups, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n_groups)] = np.arange(n_groups) % folds
    return fold
