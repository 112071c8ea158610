"""Which photos are learned from, which held out and asked: whole places or whole cells, by seed.

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
    """Ascending rows to learn from or to search in, and rows to ask; no group is in both."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]


def place_groups(places: ArrayLike) -> NDArray[np.int64]:
    """The number of each photo's place (n,), from 0 without gaps."""
    return _numbered(np.asarray(places))


def block_groups(
    lat: ArrayLike, lon: ArrayLike, degrees: float, *, places: ArrayLike | None = None
) -> NDArray[np.int64]:
    """The number of each photo's cell of `degrees` x `degrees` (n,), from 0 without gaps.

    Args:
        lat: (n,) degrees.
        lon: (n,) degrees.
        degrees: size of the cells.
        places: (n,) names; a place whose views lie in two cells belongs to that of its first view.

    Raises:
        ConfigError: cells of no size or of more than 90 degrees.
    """
    cells = blocks(lat, lon, degrees)
    if places is not None:
        _, first, index = np.unique(np.asarray(places), return_index=True, return_inverse=True)
        cells = cells[first][np.asarray(index).ravel()]
    return _numbered(cells)


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


def held_out_split(groups: NDArray[np.int64], *, share: float, seed: int, name: str) -> Split:
    """Hold out a share of the groups, two being left to tell apart.

    Args:
        groups: (n,) as from `place_groups` or `block_groups`.
        share: of the groups, 0 to 1, both excluded.
        seed: another one holds out others.
        name: what a group is, in the plural, for messages.

    Raises:
        ConfigError: a side would be empty or the training side has a single group.
    """
    if not 0.0 < share < 1.0:
        raise ConfigError(f"the share held out is {share:g}; it must be above 0 and below 1")
    count = int(groups.max(initial=-1)) + 1
    if count < 3:
        raise ConfigError(
            f"the photos are of {count} {name}, and training needs 3 or more (two to tell apart, "
            "one to hold out); give photos of more places, or make the cells smaller"
        )
    held_out = min(max(1, round(share * count)), count - 2)
    chosen = np.random.default_rng(seed).permutation(count)[:held_out]
    is_held_out = np.isin(groups, chosen)
    return Split(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))


def place_folds(places: ArrayLike, *, folds: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """The fold (n,) of each photo, 0 to folds - 1; photos of one place (n,) share theirs.

    Raises:
        InvalidInput: there are fewer places than folds.
        ConfigError: fewer than 2 folds.
    """
    return _deal(place_groups(places), folds, seed, "place")


def block_folds(
    lat: ArrayLike,
    lon: ArrayLike,
    degrees: float,
    *,
    places: ArrayLike | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> NDArray[np.int64]:
    """The fold (n,) of each photo; photos of one group of `block_groups` share theirs.

    Args:
        lat: (n,) degrees.
        lon: (n,) degrees.
        degrees: size of the cells.
        places: (n,) names, not to be cut in two.
        folds: how many.
        seed: another one deals out others.

    Raises:
        InvalidInput: there are fewer cells with photos than folds.
        ConfigError: fewer than 2 folds, or cells of no size or of more than 90 degrees.
    """
    groups = block_groups(lat, lon, degrees, places=places)
    return _deal(groups, folds, seed, f"cell of {degrees:g}°")


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


def _numbered(names: NDArray[np.generic]) -> NDArray[np.int64]:
    _, index = np.unique(names, return_inverse=True)
    return np.asarray(index, dtype=np.int64).ravel()


def _deal(groups: NDArray[np.int64], folds: int, seed: int, name: str) -> NDArray[np.int64]:
    """The fold of each photo, its group dealt out in random order: folds differ by one at most."""
    count = int(groups.max(initial=-1)) + 1
    if folds < 2:
        raise ConfigError(f"{folds} folds; give 2 or more, so that something is left to search in")
    if count < folds:
        raise InvalidInput(
            f"there are {count} groups of photos (by {name}) for {folds} folds, so a fold would "
            "be empty; give more places, smaller cells or fewer folds"
        )
    fold = np.empty(count, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(count)] = np.arange(count) % folds
    return fold[groups]
