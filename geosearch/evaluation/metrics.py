"""How good answers are: shares within a distance, GeoScore, errors, recall; with intervals.

Pure functions of arrays. An unanswered photo has an infinite error: it stays in every denominator,
is within no distance, and scores 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import Coordinate, haversine_km

BANDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country, continent, as in every table of this field since IM2GPS."""

QUANTILES = (0.25, 0.5, 0.75, 0.9)
RECALL_KS = (1, 5, 10, 50, 100)
RECALL_RADII_KM = (1.0, 25.0, 200.0)

GEOSCORE_BEST = 5000.0
GEOSCORE_SCALE_KM = 1492.7

LEVEL = 0.95
"""Of the intervals, all of them."""

_CHUNK = 1 << 22  # weights held at once by the bootstrap of a quantile


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval at 95 %; infinite where it lies among the unanswered photos."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is more than noise."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What one method reached: percentages are of all photos asked, the unanswered included.

    `within_percent` is keyed by kilometres, `error_km` by quantile (0.5 is the median).
    """

    queries: int
    groups: int
    unanswered_percent: Estimate
    within_percent: dict[float, Estimate]
    geoscore: Estimate
    error_km: dict[float, Estimate]


@dataclass(frozen=True, slots=True)
class Recall:
    """How often one of the first `k` photos found lies within `radius_km` of the truth."""

    k: int
    radius_km: float
    percent: Estimate


def errors_km(
    truths: Sequence[Coordinate], answers: Sequence[Coordinate | None]
) -> NDArray[np.float64]:
    """Great-circle error of each answer (n,), infinite where there is none.

    Raises:
        InvalidInput: there are not as many answers as truths.
    """
    if len(truths) != len(answers):
        raise InvalidInput(
            f"{len(answers)} answers for {len(truths)} photos; give one for each, None for none"
        )
    error = np.full(len(truths), np.inf)
    answered = [row for row, answer in enumerate(answers) if answer is not None]
    given = [answer for answer in answers if answer is not None]
    if answered:
        error[answered] = haversine_km(
            [truths[row].lat for row in answered],
            [truths[row].lon for row in answered],
            [answer.lat for answer in given],
            [answer.lon for answer in given],
        )
    return error


def geoscore(error_km: ArrayLike) -> NDArray[np.float64]:
    """5000 · exp(-error / 1492.7 km), from 5000 for a hit to 0 for no answer.

    Source: Haas, Skreta, Alberti, Finn (2024), PIGEON, arXiv 2307.05845 (the decay constant of the
        game's world map); as a metric, Astruc et al. (2024), OpenStreetView-5M, arXiv 2404.18873.
    """
    error = np.asarray(error_km, dtype=np.float64)
    return np.asarray(GEOSCORE_BEST * np.exp(-error / GEOSCORE_SCALE_KM), dtype=np.float64)


class GroupBootstrap:
    """Intervals by drawing whole groups (photographers, places) with replacement, never rows.

    Photos of one photographer or place succeed and fail together; drawn one by one they would
    pretend to be independent and the intervals would be too narrow. The same draws serve every
    figure, so differences between methods are paired.

    Args:
        groups: (n,) a name or number of each photo's group.
        resamples: how often is drawn.
        seed: of the draws.

    Raises:
        InvalidInput: there is no photo, or only one group.
        ConfigError: fewer than 1 resample.

    Source: Efron and Tibshirani (1993), An Introduction to the Bootstrap, section 13.3 (percentile
        interval); clusters as in Field and Welsh (2007), JRSS B 69(3).
    """

    def __init__(
        self,
        groups: Sequence[object] | NDArray[np.generic],
        *,
        resamples: int = 1000,
        seed: int = 0,
    ) -> None:
        if resamples < 1:
            raise ConfigError(f"{resamples} resamples; an interval needs 1 or more")
        if len(groups) == 0:
            raise InvalidInput("there is no photo to evaluate: the split or the data set is empty")
        names, index = np.unique(np.asarray(groups), return_inverse=True)
        self.groups = len(names)
        if self.groups < 2:
            raise InvalidInput(
                f"all {len(groups)} photos belong to one place or photographer ({names[0]}); "
                "an interval needs two or more"
            )
        self._index = np.asarray(index, dtype=np.int64).ravel()
        self._sizes = np.bincount(self._index, minlength=self.groups).astype(np.float64)
        generator = np.random.default_rng(seed)
        drawn = generator.integers(0, self.groups, size=(resamples, self.groups))
        drawn += np.arange(resamples)[:, None] * self.groups
        self._draws = (
            np.bincount(drawn.ravel(), minlength=resamples * self.groups)
            .reshape(resamples, self.groups)
            .astype(np.float64)
        )  # (resamples, groups): how often each group was drawn

    def means(self, values: ArrayLike) -> list[Estimate]:
        """The mean of each column of `values` (n, m), every photo counting once."""
        table = np.asarray(values, dtype=np.float64)
        sums = np.stack(
            [np.bincount(self._index, column, self.groups) for column in table.T], axis=-1
        )  # (groups, m)
        figures = (self._draws @ sums) / (self._draws @ self._sizes)[:, None]  # (resamples, m)
        low, high = _bounds(figures)
        return [
            Estimate(float(value), float(a), float(b))
            for value, a, b in zip(table.mean(axis=0), low, high, strict=True)
        ]

    def mean(self, values: ArrayLike) -> Estimate:
        """The mean of `values` (n,)."""
        return self.means(np.asarray(values, dtype=np.float64)[:, None])[0]

    def ratio(self, hits: ArrayLike, of: ArrayLike) -> Estimate:
        """The part that `hits` (n,) are of `of` (n,), such as hits among the answered photos.

        Raises:
            InvalidInput: `of` sums to 0.
        """
        parts = np.stack([np.asarray(hits, np.float64), np.asarray(of, np.float64)], axis=-1)
        if not parts[:, 1].any():
            raise InvalidInput("there is nothing that a ratio could be taken of")
        sums = np.stack(
            [np.bincount(self._index, column, self.groups) for column in parts.T], axis=-1
        )
        drawn = self._draws @ sums  # (resamples, 2)
        drawn = drawn[drawn[:, 1] > 0.0]  # a resample without any says nothing of the ratio
        low, high = _bounds((drawn[:, 0] / drawn[:, 1])[:, None])
        value = parts[:, 0].sum() / parts[:, 1].sum()
        return Estimate(float(value), float(low[0]), float(high[0]))

    def quantiles(self, values: ArrayLike, levels: Sequence[float]) -> list[Estimate]:
        """Quantiles of `values` (n,), which may be infinite.

        Each is the least value that so large a part of all values does not exceed (the inverse of
        the distribution function): nothing is averaged, so infinity stays apart from numbers.
        """
        data = np.asarray(values, dtype=np.float64)
        order = np.argsort(data, kind="stable")
        ranked, group = data[order], self._index[order]
        wanted = np.asarray(levels, dtype=np.float64)
        rows = max(1, _CHUNK // len(data))
        parts = [
            _weighted_quantiles(ranked, self._draws[start : start + rows, group], wanted)
            for start in range(0, len(self._draws), rows)
        ]
        point = _weighted_quantiles(ranked, np.ones((1, len(data))), wanted)[0]
        low, high = _bounds(np.concatenate(parts))
        return [
            Estimate(float(value), float(a), float(b))
            for value, a, b in zip(point, low, high, strict=True)
        ]


def measure(error_km: NDArray[np.float64], bootstrap: GroupBootstrap) -> Accuracy:
    """All figures of one method from its errors (n,), infinite for the unanswered.

    Raises:
        InvalidInput: an error is not a number.
    """
    if np.isnan(error_km).any():
        raise InvalidInput(f"the error of photo {int(np.isnan(error_km).argmax())} is not a number")
    hits = [100.0 * (error_km <= band) for band in BANDS_KM]
    unanswered, score, *within = bootstrap.means(
        np.stack([100.0 * np.isinf(error_km), geoscore(error_km), *hits], axis=-1)
    )
    return Accuracy(
        queries=len(error_km),
        groups=bootstrap.groups,
        unanswered_percent=unanswered,
        within_percent=dict(zip(BANDS_KM, within, strict=True)),
        geoscore=score,
        error_km=dict(zip(QUANTILES, bootstrap.quantiles(error_km, QUANTILES), strict=True)),
    )


def gains(
    error_km: NDArray[np.float64], reference_km: NDArray[np.float64], bootstrap: GroupBootstrap
) -> dict[float, Estimate]:
    """Percentage points within each band above a reference on the same photos (n,), paired."""
    differences = [
        100.0 * ((error_km <= band).astype(np.float64) - (reference_km <= band))
        for band in BANDS_KM
    ]
    return dict(zip(BANDS_KM, bootstrap.means(np.stack(differences, axis=-1)), strict=True))


def recall_at_k(
    distances_km: NDArray[np.float64],
    bootstrap: GroupBootstrap,
    *,
    ks: Sequence[int] = RECALL_KS,
    radii_km: Sequence[float] = RECALL_RADII_KM,
) -> tuple[Recall, ...]:
    """How often the gallery's first photos hold one that was taken near the truth.

    Args:
        distances_km: (n, k_max) from the truth to the photos found, best first, infinite where
            fewer were found.
        bootstrap: of the n photos asked.
        ks: those above k_max are left out.
        radii_km: what counts as near.
    """
    nearest = np.minimum.accumulate(distances_km, axis=1)  # (n, k_max)
    pairs = [(k, radius) for k in ks if k <= nearest.shape[1] for radius in radii_km]
    if not pairs:
        return ()
    hits = np.stack([100.0 * (nearest[:, k - 1] <= radius) for k, radius in pairs], axis=-1)
    return tuple(
        Recall(k, radius, percent)
        for (k, radius), percent in zip(pairs, bootstrap.means(hits), strict=True)
    )


def _weighted_quantiles(
    ranked: NDArray[np.float64], weights: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of sorted values (n,) under each row of weights (r, n): (r, levels)."""
    mass = np.cumsum(weights, axis=1)  # (r, n)
    wanted = mass[:, -1:] * levels - 1e-9  # (r, levels)
    rows = [np.searchsorted(one, want) for one, want in zip(mass, wanted, strict=True)]
    return np.asarray(ranked[np.minimum(np.stack(rows), len(ranked) - 1)], dtype=np.float64)


def _bounds(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Low and high end of the interval of each column of (resamples, m): (2, m)."""
    tail = (1.0 - LEVEL) / 2.0
    # Between a number and infinity there is nothing to interpolate.
    return np.asarray(
        np.quantile(figures, [tail, 1.0 - tail], axis=0, method="inverted_cdf"), dtype=np.float64
    )


def finite_or_none(value: float) -> float | None:
    """A figure for JSON, which has no infinity."""
    return value if math.isfinite(value) else None
