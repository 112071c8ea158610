"""From the fused vector of a photo to a prediction, or to a reason why there is none.

Composes retrieval, density and uncertainty; knows neither store nor catalogue, only the two
callables that it is given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import Coordinate
from geosearch.localization.candidates import (
    DensitySettings,
    Neighbor,
    PlaceSupport,
    find_places,
    neighbor_weights,
)
from geosearch.localization.uncertainty import FLOOR_KM, proposal_radii, support_radii
from geosearch.localization.verification import (
    NEAR_KM,
    Reasoned,
    Standing,
    Trust,
    Verdict,
    verify,
)
from geosearch.records import Candidate, Evidence, Prediction, Step


class NeighborSource(Protocol):
    """Whatever can find the gallery photos most like a query."""

    def __call__(self, query: NDArray[np.float32], limit: int, /) -> Sequence[Neighbor]:
        """At most `limit` photos nearest to `query` (dim,) by cosine, in any order."""


@dataclass(frozen=True, slots=True)
class LocatorSettings:
    """How a photo is located from its neighbours alone; defaults come from measurement.

    Args:
        neighbors: how many photos are asked for.
        min_score: photos below this cosine support nothing, whatever the encoder.
        max_spread_km: when half the support lies farther than this from the best place, the
            neighbours are scattered over the world and no answer is given; None always answers.
        evidence: photos shown for each candidate.
        floor_km: the smallest radius.
        density: how neighbours are weighed and joined to places.

    Raises:
        ConfigError: a value is out of range.
    """

    neighbors: int = 200
    min_score: float = 0.0
    max_spread_km: float | None = 8000.0
    evidence: int = 10
    floor_km: float = FLOOR_KM
    density: DensitySettings = field(default_factory=DensitySettings)

    def __post_init__(self) -> None:
        if self.neighbors < 1 or self.evidence < 1 or self.floor_km <= 0.0:
            raise ConfigError(
                f"neighbors is {self.neighbors}, evidence {self.evidence}, floor_km "
                f"{self.floor_km}; all must be above 0"
            )


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
    """

    neighbors: tuple[Neighbor, ...]
    candidates: tuple[Candidate, ...]
    steps: tuple[Step, ...]
    reason: str | None
    seconds: float
    negatives: tuple[Neighbor, ...] = ()


class Locator:
    """Locates photos from the neighbours of their fused vectors.

    Args:
        neighbors: finds the gallery photos most like a query.
        place_name: names a coordinate in words.
        encoder: identity of the encoder that made the vectors, for the record.
        settings: how many neighbours, floors, density.
        background: the cosine that unrelated photos reach (`background_score`); a query whose best
            neighbour is no nearer gets no answer. None when it is not known.
        clock: seconds, for the steps' durations.
    """

    def __init__(
        self,
        neighbors: NeighborSource,
        place_name: Callable[[Coordinate], str],
        *,
        encoder: str,
        settings: LocatorSettings | None = None,
        background: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._neighbors = neighbors
        self._place_name = place_name
        self._encoder = encoder
        self._settings = settings if settings is not None else LocatorSettings()
        self._background = background
        self._clock = clock

    def locate(self, query: NDArray[np.float32], *, image: str) -> Prediction:
        """Where the photo with the fused vector `query` (dim,) was taken; `image` names it.

        The answer is None, with a reason, when nothing supports one: no labelled neighbour, none
        nearer than unrelated photos are, or support scattered over the world.

        Raises:
            InvalidInput: a neighbour's score is not finite.
        """
        return self.decide(self.retrieve(query), image=image)

    def retrieve(self, query: NDArray[np.float32]) -> Retrieved:
        """What the photos of the gallery say of a query (dim,): the first half of `locate`.

        Raises:
            InvalidInput: a neighbour's score is not finite.
        """
        log, settings = _StepLog(self._clock), self._settings
        found = sorted(
            self._neighbors(query, settings.neighbors),
            key=lambda item: (-item.score, item.photo.id),
        )
        if not all(math.isfinite(item.score) for item in found):
            raise InvalidInput("scores of neighbours must be finite numbers")
        voices = _Voices(
            [item for item in found if _can_speak(item, settings.min_score)], settings.density
        )
        log.note("retrieval", *voices.introduction(len(found)))
        reason = _why_nothing(found, voices.neighbors, settings.min_score, self._background)
        candidates: list[Candidate] = []
        if reason is None:
            candidates = self._candidates(voices, log)
            reason = _why_scattered(candidates[0], settings.max_spread_km)
        return Retrieved(
            neighbors=tuple(voices.neighbors),
            candidates=tuple(candidates),
            steps=tuple(log.steps),
            reason=reason,
            seconds=log.seconds(),
        )

    def decide(
        self,
        retrieved: Retrieved,
        *,
        image: str,
        reasoned: Reasoned | None = None,
        trust: Trust | None = None,
    ) -> Prediction:
        """The answer after everything was heard: the second half of `locate`.

        Args:
            retrieved: what the photos say.
            image: its name.
            reasoned: what an adviser, such as a large multimodal model, proposes. Without any
                proposal the photos decide alone.
            trust: how often that adviser is right.
        """
        log = _StepLog(self._clock)
        heard = reasoned if reasoned is not None else Reasoned()
        candidates, reason = list(retrieved.candidates), retrieved.reason
        if reason is not None:
            candidates = []
        steps = [*retrieved.steps, *heard.steps]
        if heard.proposals:
            candidates = self._verified(candidates, heard, trust, log)
            steps += log.steps
            reason = None
        return Prediction(
            image=image,
            best=candidates[0] if candidates else None,
            alternatives=tuple(candidates[1:]),
            steps=tuple(steps),
            encoder=self._encoder,
            reason=reason,
            cost_usd=heard.cost_usd,
            seconds=retrieved.seconds + sum(step.seconds for step in heard.steps) + log.seconds(),
            models=heard.models,
        )

    def _verified(
        self, candidates: list[Candidate], heard: Reasoned, trust: Trust | None, log: _StepLog
    ) -> list[Candidate]:
        """Candidates and proposals, most probable first."""
        standings = [Standing(one.coordinate, _probability(one)) for one in candidates]
        verdicts = verify(standings, heard.proposals, trust=trust)
        log.note(
            "verification",
            "; ".join(str(verdict) for verdict in verdicts[:3]),
            verdicts[0].coordinate,
        )
        return [
            self._after(verdict, None if verdict.standing is None else candidates[verdict.standing])
            for verdict in verdicts
        ]

    def _after(self, verdict: Verdict, candidate: Candidate | None) -> Candidate:
        """A candidate with what verification made of it, or one that only an adviser proposes."""
        spoken = tuple(name for name in verdict.origins if name != "retrieval")
        if candidate is None:
            return Candidate(
                coordinate=verdict.coordinate,
                share=0.0,
                place=self._place_name(verdict.coordinate),
                radius_km=proposal_radii(verdict.probability, near_km=NEAR_KM),
                evidence=(),
                within={int(NEAR_KM): verdict.probability},
                origins=spoken,
            )
        return replace(
            candidate,
            within=candidate.within | {int(NEAR_KM): verdict.probability},
            origins=candidate.origins + spoken,
        )

    def _candidates(self, voices: _Voices, log: _StepLog) -> list[Candidate]:
        """The places that the neighbours speak for, with names and radii, best first."""
        places = find_places(voices.lat, voices.lon, voices.weights, self._settings.density)
        best = places[0]
        log.note(
            "density",
            f"{len(best.members)} of {len(voices.neighbors)} photos, with {best.share:.0%} of the "
            f"support, agree on one place; {len(places) - 1} alternatives",
            best.coordinate,
        )
        candidates = [self._candidate(place, voices) for place in places]
        radius_km = candidates[0].radius_km
        log.note(
            "uncertainty",
            f"half the support lies within {radius_km[50]:.3g} km, "
            f"90 % within {radius_km[90]:.3g} km",
            best.coordinate,
        )
        return candidates

    def _candidate(self, place: PlaceSupport, voices: _Voices) -> Candidate:
        evidence = []
        for index in place.members[: self._settings.evidence]:
            neighbor = voices.neighbors[index]
            distance_km = place.coordinate.distance_km(voices.coordinates[index])
            evidence.append(Evidence(neighbor.photo, neighbor.score, distance_km))
        return Candidate(
            coordinate=place.coordinate,
            share=place.share,
            place=self._place_name(place.coordinate),
            radius_km=support_radii(
                place.coordinate,
                voices.lat,
                voices.lon,
                voices.weights,
                floor_km=self._settings.floor_km,
            ),
            evidence=tuple(evidence),
        )


class _Voices:
    """Neighbours that have a place, as arrays: lat, lon, weights, each (n,)."""

    def __init__(self, neighbors: Sequence[Neighbor], density: DensitySettings) -> None:
        self.neighbors = neighbors
        self.coordinates = [
            neighbor.photo.coordinate
            for neighbor in neighbors
            if neighbor.photo.coordinate is not None
        ]
        self.lat = np.array([coordinate.lat for coordinate in self.coordinates])
        self.lon = np.array([coordinate.lon for coordinate in self.coordinates])
        scores = [neighbor.score for neighbor in neighbors]
        self.weights = (
            neighbor_weights(self.lat, self.lon, scores, density) if neighbors else np.empty(0)
        )

    def introduction(self, n_found: int) -> tuple[str, Coordinate | None]:
        """What retrieval says, and the place of the nearest photo."""
        summary = f"{n_found} photos found, {len(self.neighbors)} of them with a place and a score"
        if not self.neighbors:
            return summary, None
        nearest = self.neighbors[0]
        summary += f"; the nearest ({nearest.score:.3f}) is {nearest.photo.path}"
        return summary, self.coordinates[0]


class _StepLog:
    """Steps as they happen, each with the seconds since the one before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps: list[Step] = []
        self._clock = clock
        self._started = self._last = clock()

    def note(self, name: str, summary: str, coordinate: Coordinate | None) -> None:
        now = self._clock()
        self.steps.append(Step(name, summary, coordinate, now - self._last))
        self._last = now

    def seconds(self) -> float:
        return self._clock() - self._started


def _probability(candidate: Candidate) -> float:
    """That a candidate is right to `NEAR_KM`: what was measured, else its share of the support."""
    return candidate.within.get(int(NEAR_KM), candidate.share)


def _can_speak(neighbor: Neighbor, min_score: float) -> bool:
    return neighbor.photo.coordinate is not None and neighbor.score >= min_score


def _why_nothing(
    found: Sequence[Neighbor],
    voices: Sequence[Neighbor],
    min_score: float,
    background: float | None,
) -> str | None:
    """The reason why these neighbours support no answer at all, None when they may."""
    if not found:
        return "no photo to compare with: the gallery, or the part searched, is empty"
    if not voices:
        return (
            f"none of the {len(found)} photos found has both a place and a similarity of at least "
            f"{min_score:g} (the best has {found[0].score:.3f})"
        )
    top = voices[0].score
    if background is not None and top <= background:
        return (
            f"the most similar photo ({top:.3f}) is no nearer than unrelated photos of the "
            f"gallery are to each other ({background:.3f})"
        )
    return None


def _why_scattered(best: Candidate, limit_km: float | None) -> str | None:
    """The reason why the support is too scattered for an answer, None when it is not."""
    if limit_km is None or best.radius_km[50] <= limit_km:
        return None
    return (
        f"the most similar photos are scattered over the world: only {best.share:.0%} of their "
        f"support is at the best place, half of it is more than {best.radius_km[50]:.0f} km away"
    )
