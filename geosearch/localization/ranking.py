"""Features of the places in a pool: what a re-ranker decides by, in one fixed order.

Every feature can be computed for any gallery and encoder: gaps are relative to the channel's own
range. Absent channels are NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from geosearch.geo import Coordinate
from geosearch.localization.pool import CHANNELS, FUSED, LEARNED, Pool

RADII_KM = (1.0, 25.0, 200.0, 750.0)
"""Street, city, region, country: support is counted within each."""

Prior: TypeAlias = Callable[[Sequence[Coordinate]], NDArray[np.float64]]
"""How many photos of the gallery lie around each coordinate (n,)."""

CELL_DEG = 0.25
"""Photos are counted in cells of so many degrees and the eight around: some 40 km each way."""

_PER_CHANNEL = (
    "gap",
    "log_rank",
    "log_rank_in_city",
    *(f"within_{radius:g}_km" for radius in RADII_KM),
)
CITY_KM = 25.0
_OF_THE_PLACE = ("log_photos", "log_authors", "leading_channels", "country_share", "log_prior")
_OF_THE_QUERY = (
    "top_score",
    "score_range",
    "first_gap",
    "log_half_spread",
    "lead_of_places",
    f"{FUSED}_stands_out",
    f"{LEARNED}_stands_out",
)
FEATURES = (
    *(f"{channel}_{name}" for channel in CHANNELS for name in _PER_CHANNEL),
    *_OF_THE_PLACE,
    *_OF_THE_QUERY,
)
"""Names of the columns of `place_features`, in order."""


class GalleryPrior:
    """Photos around coordinates, counted once by cell; a `Prior`.

    Args:
        counts: (row, column, photos) of cells of `CELL_DEG`, as floor of lat and lon over it.
    """

    def __init__(self, counts: Iterable[tuple[int, int, int]]) -> None:
        self._counts = {(row, column): count for row, column, count in counts}
        self._without: Mapping[tuple[int, int], int] = {}

    def without(self, cells: Mapping[tuple[int, int], int]) -> GalleryPrior:
        """The same gallery less so many photos of some cells."""
        other = GalleryPrior(())
        other._counts, other._without = self._counts, cells
        return other

    def __call__(self, coordinates: Sequence[Coordinate]) -> NDArray[np.float64]:
        """How many photos lie in the cells around each coordinate (n,)."""
        found = np.zeros(len(coordinates))
        width = round(360.0 / CELL_DEG)
        for at, one in enumerate(coordinates):
            row, column = cell_of(one.lat, one.lon)
            for cell in ((row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                turned = (cell[0], (cell[1] + width // 2) % width - width // 2)
                found[at] += self._counts.get(turned, 0) - self._without.get(turned, 0)
        return found


def cell_of(lat: float, lon: float) -> tuple[int, int]:
    """The cell (row, column) of `CELL_DEG` that a coordinate lies in."""
    return int(lat // CELL_DEG), int(lon // CELL_DEG)


def place_features(pool: Pool, *, prior: Prior | None = None) -> NDArray[np.float64]:
    """What is known of each place of a pool, (places, len(FEATURES)) float64.

    For each channel the gap of the best member to the channel's best hit in units of the channel's
    range (0 is the best, -1 the last), the logarithm of its rank among all and among the places
    within 25 km, and the channel's weight within each of `RADII_KM`; then photos and authors at the
    place, how many channels it leads, the share of the weight that lies in its country, photos of
    the gallery around it, against the mean of the pool's places, so that the size of the gallery
    says nothing; then what all places of a query share: how good its best hit is, how far the rest
    stays behind, and by how many standard deviations the best hit of a channel exceeds its median.

    Args:
        pool: with one voice or more.
        prior: counts photos around coordinates; without it that column is NaN.
    """
    places, distances = pool.places, pool.distances_km
    masks = [(distances <= radius).astype(np.float64) for radius in RADII_KM]
    leaders = [place.members[0] for place in places]
    in_city = distances[:, leaders] <= CITY_KM  # (places, places)
    table = np.full((len(places), len(FEATURES)), np.nan)
    leads = np.zeros(len(places))
    for at, name in enumerate(CHANNELS):
        if name not in pool.scores:
            continue
        block = table[:, at * len(_PER_CHANNEL) : (at + 1) * len(_PER_CHANNEL)]
        gap, rank = _standing(pool, name)
        block[:, 0], block[:, 1] = gap, np.log1p(rank)
        block[:, 2] = np.log1p((in_city & (rank[None] < rank[:, None])).sum(axis=1))
        for column, mask in enumerate(masks):
            block[:, 3 + column] = np.einsum("ij,j->i", mask, pool.weights[name])
        leads += rank == 0.0
    start = len(CHANNELS) * len(_PER_CHANNEL)
    table[:, start : start + len(_OF_THE_PLACE)] = _of_the_places(pool, leads, prior)
    table[:, start + len(_OF_THE_PLACE) :] = _of_the_query(pool, table)
    return table


def _standing(pool: Pool, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gap to the channel's best and rank of each place's best member (places,)."""
    scores = pool.scores[name]
    found = np.flatnonzero(np.isfinite(scores))
    top, last = scores[found].max(), scores[found].min()
    spread = max(top - last, 1e-6)
    ranks = np.full(len(scores), float(len(found)))
    ranks[found[np.argsort(-scores[found], kind="stable")]] = np.arange(len(found))
    owner, best = pool.owners, np.full(len(pool.places), float(len(found)))
    held = found[owner[found] >= 0]
    np.minimum.at(best, owner[held], ranks[held])
    by_rank = scores[found[np.argsort(ranks[found])]]
    reached = best < len(found)
    gap = np.full(len(best), -1.0)
    gap[reached] = (by_rank[best[reached].astype(np.int64)] - top) / spread
    return gap, best


def _of_the_places(
    pool: Pool, leads: NDArray[np.float64], prior: Prior | None
) -> NDArray[np.float64]:
    columns = np.full((len(pool.places), len(_OF_THE_PLACE)), np.nan)
    photos = [
        [pool.neighbors[row].photo for row in place.members if row < len(pool.neighbors)]
        for place in pool.places
    ]
    columns[:, 0] = np.log1p([len(some) for some in photos])
    columns[:, 1] = np.log1p([len({one.author for one in some if one.author}) for some in photos])
    columns[:, 2] = leads
    support: Counter[str] = Counter()
    for weight, one in zip(pool.voices.tolist(), pool.neighbors, strict=False):
        if one.photo.country:
            support[one.photo.country] += weight
    for at, some in enumerate(photos):
        countries = [one.country for one in some if one.country]
        if countries:
            columns[at, 3] = support[countries[0]]
    if prior is not None:
        around = np.log1p(prior([place.coordinate for place in pool.places]))
        columns[:, 4] = around - around.mean()
    return columns


def _of_the_query(pool: Pool, table: NDArray[np.float64]) -> NDArray[np.float64]:
    channel = FUSED if FUSED in pool.scores else pool.channels[0]
    scores = np.sort(pool.scores[channel][np.isfinite(pool.scores[channel])])[::-1]
    spread = max(float(scores[0] - scores[-1]), 1e-6)
    near_city = FEATURES.index(f"{channel}_within_25_km")
    best = int(np.nanargmax(table[:, near_city]))
    order = np.argsort(pool.distances_km[best])
    half = int(np.searchsorted(np.cumsum(pool.voices[order]), 0.5))
    half_km = float(pool.distances_km[best][order[min(half, len(order) - 1)]])
    ranked = np.sort(table[:, near_city])[::-1]
    return np.array(
        [
            scores[0],
            spread,
            (scores[0] - scores[min(1, len(scores) - 1)]) / spread,
            np.log1p(half_km),
            ranked[0],
            _stands_out(pool, FUSED),
            _stands_out(pool, LEARNED),
        ]
    )


def _stands_out(pool: Pool, name: str) -> float:
    """The best hit of a channel over its median, in standard deviations; NaN for no such channel.

    What tells best whether the place is in the gallery at all: where it is not, the first hit is
    one of many.
    """
    if name not in pool.scores:
        return float("nan")
    scores = pool.scores[name][np.isfinite(pool.scores[name])]
    return float((scores.max() - np.median(scores)) / max(float(scores.std()), 1e-6))
