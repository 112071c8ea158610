"""Numbers that the page states: medians, ratios with their spread, growth. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, and the least and the most of them."""

    median: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """As JSON holds it."""
        return {"median": self.median, "low": self.low, "high": self.high}


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most; raises ValueError when there is nothing or anything not finite."""
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"rounds must be finite numbers, one at least, not {list(values)}")
    return Spread(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Round by round, ours over theirs, so that what slows a whole round cancels out.

    Raises:
        ValueError: the rounds are not as many, or one of theirs is not above zero.
    """
    if len(ours) != len(theirs) or any(value <= 0.0 for value in theirs):
        raise ValueError(f"cannot compare rounds {list(ours)} with {list(theirs)}")
    return spread([one / other for one, other in zip(ours, theirs, strict=True)])


def log_log_slope(costs: Mapping[int, float]) -> float:
    """Exponent b of cost = a * n^b, by least squares on logarithms of {n: cost}.

    1 is growth in proportion to the number, 0 none at all.

    Raises:
        ValueError: fewer than two sizes, or a cost that is not above zero.
    """
    if len(costs) < 2 or any(n <= 0 or cost <= 0.0 for n, cost in costs.items()):
        raise ValueError(f"a slope needs two sizes with costs above zero, not {dict(costs)}")
    sizes, values = np.log(list(costs)), np.log(list(costs.values()))
    centered = sizes - sizes.mean()
    return float(centered @ (values - values.mean()) / (centered @ centered))


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Part of the true neighbours that were found, on average over queries.

    Args:
        found: (queries, k) ids, -1 where nothing was found.
        truth: (queries, k) ids, -1 where there are no k neighbours; queries without any are left
            out.

    Raises:
        ValueError: the shapes differ, or no query has a true neighbour.
    """
    if found.shape != truth.shape:
        raise ValueError(f"found {found.shape} ids, the truth has {truth.shape}")
    shares = []
    for mine, right in zip(found.tolist(), truth.tolist(), strict=True):
        wanted = {one for one in right if one >= 0}
        if wanted:
            shares.append(len(wanted & set(mine)) / len(wanted))
    if not shares:
        raise ValueError("no query has a true neighbour")
    return statistics.fmean(shares)
