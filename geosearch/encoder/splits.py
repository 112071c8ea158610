"""Which photos train and which are held out: whole places or whole blocks of degrees, by seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.features import FeatureSet
from geosearch.errors import ConfigError


def split_rows(
    features: FeatureSet, *, share: float, seed: int, blocks_deg: float | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to train on and rows held out; no place, or no block, has rows on both sides.

    Args:
        features: with a `place` for every photo.
        share: of places or blocks that are held out, 0 to 1, both excluded.
        seed: another one holds out others.
        blocks_deg: hold out whole cells of so many degrees instead of single places.

    Returns:
        Two ascending arrays of row numbers, (n_train,) and (n_held_out,).

    Raises:
        ConfigError: a side would be empty or the training side has a single place.
    """
    if not 0.0 < share < 1.0:
        raise ConfigError(f"the share held out is {share:g}; it must be above 0 and below 1")
    groups = place_groups(features) if blocks_deg is None else block_groups(features, blocks_deg)
    count = int(groups.max()) + 1
    what = "places" if blocks_deg is None else f"blocks of {blocks_deg:g}°"
    if count < 3:
        raise ConfigError(
            f"the photos are of {count} {what}, and training needs 3 or more (two to tell apart, "
            "one to hold out); give more photos"
            + ("" if blocks_deg is None else ", or smaller blocks")
        )
    held_out = min(max(1, round(share * count)), count - 2)
    chosen = np.random.default_rng(seed).permutation(count)[:held_out]
    is_held_out = np.isin(groups, chosen)
    train = np.flatnonzero(~is_held_out)
    return train, np.flatnonzero(is_held_out)


def place_groups(features: FeatureSet) -> NDArray[np.intp]:
    """A number for each photo's place, (n,), from 0 without gaps."""
    numbers: NDArray[np.intp] = np.unique(np.array(features.place), return_inverse=True)[1]
    return numbers


def block_groups(features: FeatureSet, blocks_deg: float) -> NDArray[np.intp]:
    """A number for each photo's cell of so many degrees, (n,), from 0 without gaps.

    A place belongs to the cell of its first view, so that no place is cut in two.

    Raises:
        ConfigError: the blocks are not between 0 and 180 degrees.
    """
    if not 0.0 < blocks_deg <= 180.0:
        raise ConfigError(f"blocks of {blocks_deg:g}° cannot be; use 0 < degrees <= 180, as in 1")
    places = place_groups(features)
    first = np.unique(places, return_index=True)[1]
    row = np.floor((features.lat[first] + 90.0) / blocks_deg).astype(np.int64)
    # 180 and -180 are one meridian.
    column = np.floor((features.lon[first] + 180.0) % 360.0 / blocks_deg).astype(np.int64)
    cells = np.unique(row * 1_000_000 + column, return_inverse=True)[1]
    numbers: NDArray[np.intp] = cells[places]
    return numbers
