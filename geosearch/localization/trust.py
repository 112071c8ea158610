"""How far a model and the photos are believed, and how that is learned without labels.

Two shares of the photos asked: of how many the model is right (`rate`), and of how many the photos
found lead to within 25 km (`Reach.share`). The latter is needed because probabilities of a
re-ranker are made for one mixture of known and unknown places; photos of a region that the
collection lacks are another one. Without calibrated probabilities the share of the support stands
in for them. Pure numbers; deciding is in `verification.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import ConfigError, InvalidInput
from geosearch.records import Tally

CHANCE = 0.005
"""How often a wrong answer lies within 25 km of a given place by chance. Guesses go where people
are, so it is far above the part of the Earth's surface (4e-6). Learning it from answers to other
photos changed nothing beyond the noise, not even where all photos are of 24 cities."""

PRIOR = Tally(1.2, 4.0)
"""What is believed of a model that nobody has tried: as if 1.2 of 4 answers had been right.
Published models answer 25 to 45 % of photos at this scale (IM2GPS3k, YFCC4k)."""

PRIOR_PHOTOS = 2.0
"""What a re-ranker's own share of right answers counts against that of the photos asked."""

USUAL_REACH = 0.3
"""Share of right answers expected of photos found where nothing was measured. The rule gives 0.13
of street views and 0.37 of postcards, asked as often with their surroundings as without."""

NEAR_KM = 25.0
"""Two proposals so near to each other are for one place: a city."""

EVEN = 0.5
"""The share of right answers that shares of the support assume, taken as probabilities."""

RULE_SLOPE = 1.35
RULE_SHIFT = 0.2
"""Log-odds of the rule's share of the support to log-odds of being right to 25 km, were half of all
answers right. Measured on photos asked with and without their surroundings: 1.35 and 0.12 on 5,696
street views, 1.42 and 0.32 on 336 postcards (1.29 and 0.27 with another seed), by
`benchmarks/lmm_verification.py --fit-rule`."""

_TINY = 1e-4


@dataclass(frozen=True, slots=True)
class Reach:
    """How often the photos found lead to a place, against what their probabilities were made for.

    Args:
        stated: share of right answers that the probabilities assume, between 0 and 1.
        share: share of right answers among the photos asked now, between 0 and 1.

    Raises:
        InvalidInput: a share is out of range.
    """

    stated: float
    share: float

    def __post_init__(self) -> None:
        if not (0.0 < self.stated < 1.0 and 0.0 < self.share < 1.0):
            raise InvalidInput(f"{self}: shares lie between 0 and 1")

    def adjusted(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """What probabilities of being right become for the photos asked now; any shape, 0 to 1.

        Source: Saerens, Latinne and Decaestecker (2002), Neural Computation 14(1), equation 2.4.
        """
        right = self.share * _ratio(probability, self.stated)
        return np.asarray(right / (right + 1.0 - self.share), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Trust:
    """What is believed while one photo is decided on.

    Args:
        rate: share of photos that the adviser locates within 25 km, between 0 and 1.
        reach: how the probabilities of retrieval are to be taken; as they are without it.

    Raises:
        ConfigError: the rate is that of somebody who is never or always right.
    """

    rate: float = PRIOR.hits / PRIOR.asked
    reach: Reach | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.rate < 1.0:
            raise ConfigError(
                f"an adviser that is right for {self.rate:g} of its photos; give a share above 0 "
                "and below 1"
            )


class Belief:
    """What is known of a model's rate and of the photos' reach: a density over both, on a grid.

    Without labels two things teach. How probable retrieval's answers look says how many are right.
    How often the model agrees with them says how many both have right: if one of the two is wrong
    they agree by chance alone.

    Args:
        stated: share of right answers that retrieval's probabilities assume.
        expected: the share to begin with; `stated` unless given.
        model: what is known of the model's answers before.
    """

    def __init__(
        self, *, stated: float, expected: float | None = None, model: Tally = PRIOR
    ) -> None:
        self.stated = stated
        self.expected = stated if expected is None else expected
        self._share = _shares(-6.5, 4.5)[:, None]
        self._rate = _shares(-5.0, 5.0)[None, :]
        # Beta densities, as densities of the log-odds, in which the grid is even.
        self._log = _log_beta(
            self._share, PRIOR_PHOTOS * self.expected, PRIOR_PHOTOS * (1.0 - self.expected)
        ) + _log_beta(self._rate, model.hits, model.asked - model.hits)

    def hear(self, probability: float, *, agreed: bool) -> None:
        """One more photo of which nobody knows the truth.

        Args:
            probability: that retrieval's best place is right, as it was stated.
            agreed: whether the model's independent answer is within `NEAR_KM` of it.

        Raises:
            InvalidInput: that is no probability.
        """
        if not 0.0 <= probability <= 1.0:
            raise InvalidInput(f"a probability of {probability}; it must be from 0 to 1")
        found = self._share * _ratio(np.array(probability), self.stated)
        both = self._rate + (1.0 - self._rate) * CHANCE
        if agreed:
            likelihood = found * both + (1.0 - self._share) * CHANCE
        else:
            likelihood = found * (1.0 - both) + (1.0 - self._share) * (1.0 - CHANCE)
        self._log = self._log + np.log(likelihood)
        self._log -= self._log.max()

    def trust(self) -> Trust:
        """The means of what is believed."""
        weight = np.exp(self._log)
        weight /= weight.sum()
        rate, share = (float((weight * one).sum()) for one in (self._rate, self._share))
        return Trust(rate, Reach(self.stated, share))


def rule_evidence(share: float) -> float:
    """What a share of the rule's support says: a probability of being right to 25 km.

    Not to be shown: it holds where half of all answers are right (`EVEN`), and how many are has to
    be learned. What a share says by itself differs little between collections; how often a share of
    0.5 is right differs from 0.1 to 0.8.

    Args:
        share: 0 to 1.
    """
    kept = min(max(share, _TINY), 1.0 - _TINY)
    log_odds = RULE_SHIFT + RULE_SLOPE * math.log(kept / (1.0 - kept))
    return 1.0 / (1.0 + math.exp(-log_odds))


def _ratio(probability: NDArray[np.float64], stated: float) -> NDArray[np.float64]:
    """How much likelier a right answer looks like this than a wrong one."""
    kept = np.clip(probability, _TINY, 1.0 - _TINY)
    return np.asarray(kept / (1.0 - kept) * (1.0 - stated) / stated, dtype=np.float64)


def _shares(low: float, high: float) -> NDArray[np.float64]:
    """Shares (101,) whose log-odds are even steps."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.linspace(low, high, 101))), dtype=np.float64)


def _log_beta(share: NDArray[np.float64], hits: float, misses: float) -> NDArray[np.float64]:
    return np.asarray(hits * np.log(share) + misses * np.log1p(-share), dtype=np.float64)
