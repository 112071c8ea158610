"""Deciding over every proposal at once: what photos say of places, and what anyone else says.

The seam for large multimodal models and other advisers. Retrieval gives places, each with the
probability that the photo was taken within `NEAR_KM` of it (`Standing`); an adviser gives
coordinates with votes (`Proposal`); ::

    verify(standings: Sequence[Standing], proposals: Sequence[Proposal], *,
           trust: Trust = Trust(), retrieval_at: Callable[[Coordinate], float] | None = None)
        -> tuple[Verdict, ...]          # best first; probabilities sum to at most 1

Pure functions; nothing here asks a model or an index. `Locator.decide` calls it with the proposals
of a `Reasoned`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from geosearch.errors import InvalidInput
from geosearch.geo import Coordinate
from geosearch.localization.trust import CHANCE, NEAR_KM, Reach, Trust
from geosearch.records import LmmState, Step

SWAYED = 0.1
"""What a vote counts that only repeats a place which the adviser was shown. Whole votes would let
photos be heard twice: once themselves, and once through an adviser that believes them."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A coordinate that an adviser proposes.

    Args:
        coordinate: where.
        origin: who says so and from what, as `lmm zero-shot` or `lmm with 10 neighbours`.
        votes: how many of its answers were this one.
        saw_neighbors: whether the adviser was shown the photos that retrieval found. Agreeing with
            what one was shown is weak evidence; agreeing without having seen it is strong.

    Raises:
        InvalidInput: there are no votes.
    """

    coordinate: Coordinate
    origin: str
    votes: int = 1
    saw_neighbors: bool = False

    def __post_init__(self) -> None:
        if self.votes < 1:
            raise InvalidInput(f"{self.origin} proposes with {self.votes} votes; give 1 or more")


@dataclass(frozen=True, slots=True)
class Reasoned:
    """What an adviser made of one photo: proposals, its steps in words, models, cost.

    Refusals and failures are steps without a coordinate, never proposals; `state` sums them up.
    """

    proposals: tuple[Proposal, ...] = ()
    steps: tuple[Step, ...] = ()
    models: tuple[str, ...] = ()
    cost_usd: float = 0.0
    state: LmmState = LmmState.NOT_ASKED


@dataclass(frozen=True, slots=True)
class Standing:
    """A place that photos speak for, and the probability (0 to 1) that it is within `NEAR_KM`."""

    coordinate: Coordinate
    probability: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise InvalidInput(f"a probability of {self.probability}; it must be from 0 to 1")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A place after everything was heard.

    Args:
        coordinate: of retrieval where it has one for the place, else of the proposal with most
            votes; never an average.
        probability: that the photo was taken within `NEAR_KM` of it, 0 to 1.
        before: the probability that retrieval alone gave it.
        votes: of all proposals for it.
        origins: who spoke for it, `retrieval` first.
        standing: index into the standings, None where only proposals are for it.
    """

    coordinate: Coordinate
    probability: float
    before: float
    votes: int
    origins: tuple[str, ...]
    standing: int | None

    def __str__(self) -> str:
        parts = [f"{self.coordinate}: {self.probability:.0%}"]
        if self.votes:
            parts.append(f"{self.votes} votes")
        parts.append(f"retrieval alone {self.before:.0%}")
        return ", ".join(parts)


def verify(
    standings: Sequence[Standing],
    proposals: Sequence[Proposal],
    *,
    trust: Trust | None = None,
    retrieval_at: Callable[[Coordinate], float] | None = None,
) -> tuple[Verdict, ...]:
    """All places that retrieval or an adviser names, with what is left of each after both.

    Bayes' rule over places. The prior is retrieval's probability; what it leaves over is for all
    other places on Earth. All proposals together are one witness: answers of one model repeat each
    other's mistakes. It names the true place with `trust.rate` times its share of the votes, and a
    wrong one by chance (`CHANCE`), or, as far as it was shown the photos, as often as retrieval
    holds it for likely. So a confident retrieval is not outvoted, an unsure one is, and two that
    agree independently are nearly certain.

    Args:
        standings: places of retrieval in their order, more than `NEAR_KM` apart; their
            probabilities sum to at most 1 (more is scaled down).
        proposals: of advisers, in any order; none leaves the standings as they are.
        trust: how often these advisers are right, and how retrieval's probabilities are taken.
        retrieval_at: retrieval's probability of a place that is not among the standings.

    Returns:
        Verdicts, most probable first; equal ones in the order given, standings first.
    """
    believed = trust if trust is not None else Trust()
    places = [
        _Place(standing.coordinate, probability, at)
        for at, (standing, probability) in enumerate(
            zip(standings, _priors(standings, believed.reach), strict=True)
        )
    ]
    named = sorted(proposals, key=lambda one: (-one.votes, one.origin, one.coordinate))
    for proposal in named:
        place = _nearest(places, proposal.coordinate)
        if place is None:
            before = 0.0 if retrieval_at is None else retrieval_at(proposal.coordinate)
            place = _Place(proposal.coordinate, before, None)
            places.append(place)
        place.add(proposal)
    elsewhere = max(0.0, 1.0 - sum(place.before for place in places))
    all_weight = sum(place.weight for place in places)
    weights = []
    for place in places:
        prior = max(place.before, elsewhere * CHANCE if place.votes else 0.0)
        weights.append(prior * _likelihood_ratio(place, all_weight, believed.rate))
    scale = sum(weights) + elsewhere
    verdicts = [
        place.verdict(weight / scale if scale > 0.0 else 0.0)
        for place, weight in zip(places, weights, strict=True)
    ]
    return tuple(sorted(verdicts, key=lambda verdict: -verdict.probability))


def _priors(standings: Sequence[Standing], reach: Reach | None) -> list[float]:
    """Probabilities of retrieval for the photos asked now, summing to at most 1."""
    stated = [standing.probability for standing in standings]
    if reach is None or not stated:
        total = max(1.0, sum(stated))
        return [probability / total for probability in stated]
    # The first answers are what calibration measured. The others stay behind it until somebody else
    # is heard; where it is wrong the short list has the place every other time at most.
    best = float(reach.adjusted(np.array(stated[0])))
    others = [best * min(1.0, one / max(stated[0], 1e-12)) for one in stated[1:]]
    scale = min(1.0, (1.0 - best) / 2.0 / max(sum(others), 1e-12))
    return [best, *(other * scale for other in others)]


def _likelihood_ratio(place: _Place, all_weight: float, rate: float) -> float:
    """How much likelier these votes are if the place is true than if it is not."""
    if not place.votes:
        return 1.0
    shown = place.shown / place.votes
    by_chance = (1.0 - shown) * CHANCE + shown * max(CHANCE, place.before)
    share = place.weight / all_weight
    return (rate * share + (1.0 - rate) * by_chance) / ((1.0 - rate) * by_chance)


class _Place:
    """A place while proposals are gathered for it."""

    def __init__(self, coordinate: Coordinate, before: float, standing: int | None) -> None:
        self.coordinate, self.before, self.standing = coordinate, before, standing
        self.votes = self.shown = 0
        self.origins: list[str] = [] if standing is None else ["retrieval"]

    @property
    def weight(self) -> float:
        """Its votes, those less that repeat what the adviser was shown."""
        repeated = 0 if self.standing is None else self.shown
        return self.votes - (1.0 - SWAYED) * repeated

    def add(self, proposal: Proposal) -> None:
        self.votes += proposal.votes
        self.shown += proposal.votes if proposal.saw_neighbors else 0
        if proposal.origin not in self.origins:
            self.origins.append(proposal.origin)

    def verdict(self, probability: float) -> Verdict:
        return Verdict(
            self.coordinate,
            min(1.0, probability),
            self.before,
            self.votes,
            tuple(self.origins),
            self.standing,
        )


def _nearest(places: Iterable[_Place], coordinate: Coordinate) -> _Place | None:
    """The place within `NEAR_KM` of a coordinate that is nearest to it."""
    near = [(place.coordinate.distance_km(coordinate), place) for place in places]
    near = [item for item in near if item[0] <= NEAR_KM]
    return min(near, key=lambda item: item[0])[1] if near else None
