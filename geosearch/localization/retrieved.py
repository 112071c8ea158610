"""What the photos of the gallery say of one photo: between finding them and deciding."""

from __future__ import annotations

from dataclasses import dataclass

from geosearch.localization.candidates import Neighbor
from geosearch.localization.trust import EVEN, NEAR_KM, USUAL_REACH, rule_evidence
from geosearch.localization.verification import Standing
from geosearch.records import Candidate, Step


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What the gallery says of one photo, before any adviser is asked.

    Args:
        neighbors: photos with a place, most similar first.
        candidates: places they speak for, best first, apart from each other.
        steps: how it came to that.
        reason: why the photos alone support no answer, None where they do.
        seconds: how long it took.
        negatives: the photos least similar, farthest first.
        near_share: part of best candidates that were right to 25 km when the re-ranker was trained;
            None without one.
        is_calibrated: whether the candidates' probabilities were measured on held-out photos.
        ranked_by: what put the candidates in order.
    """

    neighbors: tuple[Neighbor, ...]
    candidates: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    reason: str | None
    seconds: float
    negatives: tuple[Neighbor, ...] = ()
    near_share: float | None = None
    is_calibrated: bool = False
    ranked_by: str = ""

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Its candidates as verification takes them: probabilities, else what their support says.

        Also where they are too scattered to answer alone: with somebody else they may do.
        """
        return tuple(Standing(one.coordinate, self._probability(one)) for one in self.candidates)

    def _probability(self, candidate: Candidate) -> float:
        if (measured := candidate.within.get(int(NEAR_KM))) is not None:
            return measured
        # Shares are sums of weights, and all of them may sum to a little more than 1.
        share = min(1.0, candidate.share)
        return rule_evidence(share) if self.near_share is None else share

    @property
    def stated(self) -> float:
        """The share of right answers that the probabilities of `standings` assume."""
        return self.near_share if self.is_calibrated and self.near_share is not None else EVEN

    @property
    def expected(self) -> float:
        """The share of right answers to be expected before anything is learned."""
        return USUAL_REACH if self.near_share is None else self.near_share
