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
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import Coordinate
from geosearch.localization import shortlist, wording
from geosearch.localization.candidates import DensitySettings, Neighbor
from geosearch.localization.pool import FUSED, LEARNED, VISUAL, Pointer, Pool, visual_query
from geosearch.localization.ranking import Prior
from geosearch.localization.reranker import Reranker
from geosearch.localization.retrieved import Retrieved
from geosearch.localization.steps import StepLog, Tell, silent
from geosearch.localization.trust import NEAR_KM, Reach, Trust
from geosearch.localization.uncertainty import FLOOR_KM, proposal_radii
from geosearch.localization.verification import Reasoned, Verdict, verify
from geosearch.records import Candidate, PhotoFact, Prediction, SearchHit

COMPLETED = 20
"""Nearest photos of which everything is looked up: those that advisers are shown."""


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
        negatives: the photos least like the query that are shown.
        floor_km: the smallest radius.
        density: how neighbours are weighed and joined to places.

    Raises:
        ConfigError: a value is out of range.
    """

    neighbors: int = 200
    min_score: float = 0.0
    max_spread_km: float | None = 8000.0
    evidence: int = 10
    negatives: int = 5
    floor_km: float = FLOOR_KM
    density: DensitySettings = field(default_factory=DensitySettings)

    def __post_init__(self) -> None:
        if self.neighbors < 1 or self.evidence < 1 or self.floor_km <= 0.0:
            raise ConfigError(
                f"neighbors is {self.neighbors}, evidence {self.evidence}, floor_km "
                f"{self.floor_km}; all must be above 0"
            )


def _none(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class MoreSources:
    """What a locator may look at besides the photos nearest to a query.

    Args:
        pointers: coordinates of the GPS gallery nearest to the query's location block.
        farthest: the photos least like a query, at most so many, farthest first.
        prior: photos of the gallery around coordinates.
        complete: photos with all that the catalogue knows, those that it does not know left out;
            only what is shown is completed.
        learned: finds photos for queries of the learned metric; what finds the others unless given.
    """

    pointers: Callable[[NDArray[np.float32]], Sequence[Pointer]] = _none
    farthest: Callable[[NDArray[np.float32], int], Sequence[Neighbor]] = _none
    prior: Prior | None = None
    complete: Callable[[Sequence[Neighbor]], Sequence[Neighbor]] = list
    learned: NeighborSource | None = None


class Locator:
    """Locates photos from the neighbours of their fused vectors.

    Args:
        neighbors: finds the gallery photos most like a query.
        place_name: names a coordinate in words.
        encoder: identity of the encoder that made the vectors, for the record.
        settings: how many neighbours, floors, density.
        background: the cosine that unrelated photos reach (`background_score`); a query whose best
            neighbour is no nearer gets no answer. None when it is not known.
        reranker: the learned one; the rule serves without.
        sources: further channels.
        clock: seconds, for the steps' durations.

    Raises:
        ConfigError: the re-ranker is of another encoder.
    """

    def __init__(
        self,
        neighbors: NeighborSource,
        place_name: Callable[[Coordinate], str],
        *,
        encoder: str,
        settings: LocatorSettings | None = None,
        background: float | None = None,
        reranker: Reranker | None = None,
        sources: MoreSources | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._neighbors = neighbors
        self._place_name = place_name
        self._encoder = encoder
        self._settings = settings if settings is not None else LocatorSettings()
        self._background = background
        if reranker is not None and reranker.encoder != encoder:
            raise ConfigError(
                f"this re-ranker is for the encoder {reranker.encoder}, and the vectors are of "
                f"{encoder}; run `geosearch train reranker`"
            )
        self._reranker = reranker
        self._sources = sources if sources is not None else MoreSources()
        by = "the rule" if reranker is None else f"the re-ranker {reranker.fingerprint()}"
        self._ranked_by = f"{by} on {encoder}"
        self._clock = clock

    def locate(self, query: NDArray[np.float32], *, image: str) -> Prediction:
        """Where the photo with the fused vector `query` (dim,) was taken; `image` names it.

        The answer is None, with a reason, when nothing supports one: no labelled neighbour, none
        nearer than unrelated photos are, or support scattered over the world.

        Raises:
            InvalidInput: a neighbour's score is not finite.
        """
        return self.decide(self.retrieve(query), image=image)

    def retrieve(self, query: NDArray[np.float32], tell: Tell = silent) -> Retrieved:
        """What the photos of the gallery say of a query (dim,): the first half of `locate`.

        Args:
            query: (dim,) float32.
            tell: told each step once it is done.

        Raises:
            InvalidInput: a neighbour's score is not finite.
        """
        log, settings = StepLog(self._clock, tell), self._settings
        photos, found = self._photos(query, log)
        farthest = self._sources.farthest(query, settings.negatives)
        log.note("search", wording.searched("farthest", farthest), None)
        pointers: Sequence[Pointer] | None = None
        said: tuple[str, str, Coordinate] | None = None
        while True:
            voices = photos[FUSED]
            reason = wording.why_nothing(found, voices, settings.min_score, self._background)
            candidates: tuple[Candidate, ...] = ()
            if reason is None:
                pointers = self._sources.pointers(query) if pointers is None else pointers
                pool = Pool(photos, pointers, density=settings.density)
                candidates, said = self._candidates(pool)
            weighed_s = log.lap()
            shown = voices[:COMPLETED]
            known = self._known([*shown, *farthest], candidates)
            gone = {one.photo.id for one in shown} - known.keys()
            if not gone:
                break
            # The catalogue has let go of them and the index not yet: nobody may hear them.
            for name, some in photos.items():
                photos[name] = [one for one in some if one.photo.id not in gone]
        complete = [*shortlist.photos_with_facts(shown, known), *voices[COMPLETED:]]
        log.note("retrieval", *wording.introduction(complete, len(found)))
        if said is not None and candidates:
            candidates = shortlist.candidates_with_facts(candidates, known)
            log.add(*said, weighed_s)
            log.note(*wording.uncertainty(candidates[0], self._reranker))
            reason = wording.why_scattered(
                candidates[0], settings.max_spread_km, self.is_calibrated
            )
        return Retrieved(
            neighbors=tuple(complete),
            candidates=candidates,
            steps=tuple(log.steps),
            reason=reason,
            seconds=log.seconds(),
            negatives=tuple(shortlist.photos_with_facts(farthest, known)),
            near_share=None if self._reranker is None else self._reranker.near_share,
            is_calibrated=self.is_calibrated,
            ranked_by=self._ranked_by,
        )

    @property
    def is_calibrated(self) -> bool:
        """Whether radii and probabilities were measured on held-out photos."""
        return self._reranker is not None and self._reranker.conformal is not None

    def _known(
        self, photos: Sequence[Neighbor], candidates: Sequence[Candidate]
    ) -> dict[UUID, PhotoFact]:
        """What is known of photos and of the evidence of candidates; one look-up for all."""
        shown = {one.photo.id: one for one in photos}
        for candidate in candidates:
            shown |= {i.photo.id: Neighbor(i.photo, i.score) for i in candidate.evidence}
        return {one.photo.id: one.photo for one in self._sources.complete([*shown.values()])}

    def _photos(
        self, query: NDArray[np.float32], log: StepLog
    ) -> tuple[dict[str, list[Neighbor]], list[Neighbor]]:
        """Channel to photos that can speak, best first; and all that the first channel found."""
        asked = {FUSED: query}
        if self._reranker is not None and self._reranker.metric is not None:
            asked[LEARNED] = self._reranker.metric.query(query)
        if (visual := visual_query(query)) is not None:
            asked[VISUAL] = visual
        found = {}
        for name, one in asked.items():
            found[name] = self._found(name, one)
            log.note("search", wording.searched(name, found[name]), None)
        # Scores of other channels are of their own kind: only the fused cosine has a floor.
        floors = {FUSED: self._settings.min_score}
        return {
            name: [one for one in some if _can_speak(one, floors.get(name, -math.inf))]
            for name, some in found.items()
        }, found[FUSED]

    def _found(self, channel: str, query: NDArray[np.float32]) -> list[Neighbor]:
        learned = self._sources.learned if channel == LEARNED else None
        source = learned if learned is not None else self._neighbors
        found = sorted(
            source(query, self._settings.neighbors),
            key=lambda item: (-item.score, item.photo.id),
        )
        if not all(math.isfinite(item.score) for item in found):
            raise InvalidInput("scores of neighbours must be finite numbers")
        return found

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
            trust: how often that adviser and the photos are right.
        """
        log = StepLog(self._clock)
        heard = reasoned if reasoned is not None else Reasoned()
        candidates, reason = list(retrieved.candidates), retrieved.reason
        steps = [*retrieved.steps, *heard.steps]
        if heard.proposals:
            usual = Trust(reach=Reach(retrieved.stated, retrieved.expected))
            verdicts = verify(retrieved.standings, heard.proposals, trust=trust or usual)
            candidates = self._verified(candidates, verdicts, log)
            steps += log.steps
            reason = None
        elif reason is not None:
            candidates = []
        return Prediction(
            image=image,
            best=candidates[0] if candidates else None,
            alternatives=tuple(candidates[1:]),
            steps=tuple(steps),
            encoder=self._encoder,
            reason=reason,
            cost_usd=heard.cost_usd,
            seconds=retrieved.seconds + sum(step.seconds for step in heard.steps) + log.seconds(),
            # An adviser's answers are not among those that the radii were measured on.
            is_calibrated=self.is_calibrated and not heard.proposals and bool(candidates),
            negatives=tuple(SearchHit(one.photo, one.score, None) for one in retrieved.negatives),
            models=heard.models,
            lmm=heard.state,
        )

    def _verified(
        self, candidates: Sequence[Candidate], verdicts: Sequence[Verdict], log: StepLog
    ) -> list[Candidate]:
        """Candidates and proposals, most probable first."""
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

    def _candidates(self, pool: Pool) -> tuple[tuple[Candidate, ...], tuple[str, str, Coordinate]]:
        """The places that the pool speaks for, with names and radii, best first; what to say."""
        density, floor_km = self._settings.density, self._settings.floor_km
        if self._reranker is None:
            entries = shortlist.rule_entries(pool, density, floor_km=floor_km)
            said = ("density", *wording.modes(pool, entries))
        else:
            entries = shortlist.ranked_entries(
                pool, self._reranker, density, prior=self._sources.prior, floor_km=floor_km
            )
            said = ("re-ranking", *wording.ranking(pool, entries))
        return tuple(
            shortlist.candidate_of(
                entry,
                pool,
                place=self._place_name(entry.coordinate),
                evidence=self._settings.evidence,
            )
            for entry in entries
        ), said


def _can_speak(neighbor: Neighbor, min_score: float) -> bool:
    return neighbor.photo.coordinate is not None and neighbor.score >= min_score
