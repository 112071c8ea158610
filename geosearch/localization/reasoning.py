"""What a large multimodal model makes of a photo: several questions at once, put into proposals.

Without the photos found (an independent guess) and with 5, 10 and 15 of them; each as often as
wanted. Whatever goes wrong is said in a step and never a coordinate. Weighing is in
`verification.py`, single questions in `lmm/asker.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from geosearch.errors import (
    BudgetExceeded,
    ConfigError,
    LmmError,
    LmmRejected,
    UnreadableImage,
)
from geosearch.images import MAX_PIXELS
from geosearch.lmm.answers import Answer
from geosearch.lmm.asker import Advice, Asker
from geosearch.lmm.attempts import Question
from geosearch.lmm.pictures import DEFAULT_EDGE, prepare_picture
from geosearch.lmm.prompts import Sighting, augmented_prompt, zero_shot_prompt
from geosearch.localization import lmm_wording
from geosearch.localization.candidates import Neighbor
from geosearch.localization.learning import Learned, Observations, ProcessObservations
from geosearch.localization.retrieved import Retrieved
from geosearch.localization.search_area import SearchArea
from geosearch.localization.steps import Tell, silent
from geosearch.localization.trust import NEAR_KM, PRIOR, Trust
from geosearch.localization.verification import Proposal, Reasoned
from geosearch.records import LmmState, Observation, Pairing, Step, Tally

ZERO_SHOT = "zero-shot"
REST_S = 60.0
"""So long a model is left alone after it failed in a way that will not mend itself at once."""

FAILURES = 3
"""So many photos in a row without a reply, and the model is left alone for a while."""


@dataclass(frozen=True, slots=True)
class ReasoningSettings:
    """How a model is asked.

    Args:
        samples: how often each question is asked; answers differ from call to call.
        positives: of how many photos found the questions after the first one tell.
        concurrency: the most questions under way at a time, over all photos.
        limit_s: the most seconds for one photo, repetition included.
        edge: longer side of the picture that is sent, in pixels.
        max_pixels: as in `images.open_rgb`.

    Raises:
        ConfigError: a value is out of range.
    """

    samples: int = 1
    positives: tuple[int, ...] = (5, 10, 15)
    concurrency: int = 8
    limit_s: float = 120.0
    edge: int = DEFAULT_EDGE
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        least = min(self.samples, self.concurrency, self.edge, *self.positives)
        if least < 1 or self.limit_s <= 0.0:
            raise ConfigError(
                f"samples {self.samples}, positives {self.positives}, concurrency "
                f"{self.concurrency}, limit_s {self.limit_s}, edge {self.edge}: all must be above 0"
            )

    @property
    def calls(self) -> int:
        """Calls for one photo, if none is repeated."""
        return self.samples * (1 + len(self.positives))


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question and its answers to come."""

    origin: str
    saw_neighbors: bool
    answers: tuple[Future[Advice], ...]


class Reasoner:
    """Asks one model about photos; safe to share between threads.

    Args:
        asker: puts single questions.
        model: the model's name in lmm.yaml.
        settings: how it is asked.
        known: what is known of its answers; more is learned from agreement with the photos.
        observations: where that agreement is kept; for this process alone unless given.
        clock: seconds, monotonic; the same as the asker's.

    Raises:
        ConfigError: the model cannot be asked: unknown, without a key, blind, or without a price
            although there is a limit.
    """

    def __init__(
        self,
        asker: Asker,
        model: str | None = None,
        *,
        settings: ReasoningSettings | None = None,
        known: Tally = PRIOR,
        observations: Observations | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asker, self._clock = asker, clock
        self.model = asker.check(model)
        self.settings = settings if settings is not None else ReasoningSettings()
        self._pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="lmm")
        self._lock = threading.Lock()
        self._learned = Learned(
            ProcessObservations() if observations is None else observations, known=known
        )
        self._failures = 0
        self._rests_until = float("-inf")
        self._why_resting = ""

    def trust(self, retrieved: Retrieved) -> Trust:
        """How far model and photos are believed, by labelled photos and by agreement so far.

        Raises:
            CatalogueError: what was observed cannot be read.
        """
        return self._learned.trust(self._pairing(retrieved))

    def _pairing(self, retrieved: Retrieved) -> Pairing:
        """Whose agreement teaches: this model's and that of the photos as they are ranked now."""
        return Pairing(
            self.model,
            self._asker.deployments(self.model),
            retrieved.ranked_by,
            retrieved.stated,
            retrieved.expected,
        )

    @property
    def photos_ahead(self) -> int:
        """How many further photos keep the calls at their limit while one is waited for."""
        return max(1, self.settings.concurrency // self.settings.calls)

    def close(self) -> None:
        """Wait for calls under way, which are paid for, and begin no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(
        self,
        data: bytes,
        retrieved: Retrieved,
        *,
        hint: str | None = None,
        area: SearchArea | None = None,
    ) -> Reasoning:
        """Put every question about a photo on its way, and return at once.

        Args:
            data: the photo's bytes; only its pixels are sent, made smaller.
            retrieved: what the photos found say; their places, names and likeness are told.
            hint: what the user knows or supposes.
            area: where the photo is known to be; answers elsewhere are left out.
        """
        reasoning = Reasoning(self, retrieved, area, clock=self._clock)
        with self._lock:
            if self._clock() < self._rests_until:
                reasoning.give_up(f"not asked again yet: {self._why_resting}")
                return reasoning
        settings = self.settings
        try:
            picture = prepare_picture(data, edge=settings.edge, max_pixels=settings.max_pixels)
        except UnreadableImage as error:
            reasoning.give_up(f"the photo cannot be sent: {error}")
            return reasoning
        deadline = self._clock() + settings.limit_s
        for origin, text, saw in self._questions(retrieved, hint, area):
            question = Question(picture, text, origin)
            reasoning.expect(origin, self._put(question, deadline), saw_neighbors=saw)
        return reasoning

    def _put(self, question: Question, deadline: float) -> tuple[Future[Advice], ...]:
        return tuple(
            self._pool.submit(
                self._asker.ask, question, self.model, sample=sample, deadline=deadline
            )
            for sample in range(self.settings.samples)
        )

    def _questions(
        self, retrieved: Retrieved, hint: str | None, area: SearchArea | None
    ) -> list[tuple[str, str, bool]]:
        """Name, prompt, and whether it tells of photos found; none twice."""
        words = None if area is None else area.words
        asked = [(ZERO_SHOT, zero_shot_prompt(hint=hint, area=words), False)]
        if not retrieved.candidates:
            return asked  # photos that support no place would only mislead
        found = [_sighting(one) for one in retrieved.neighbors if one.photo.coordinate is not None]
        negatives = [_sighting(one) for one in retrieved.negatives if one.photo.coordinate]
        for count in sorted({min(count, len(found)) for count in self.settings.positives} - {0}):
            prompt = augmented_prompt(found[:count], negatives, hint=hint, area=words)
            asked.append((f"with {count} photos found", prompt, True))
        return asked

    def learn(
        self,
        retrieved: Retrieved,
        reasoned: Reasoned,
        errors: Sequence[LmmError],
        *,
        independent: Sequence[Advice] = (),
    ) -> None:
        """Learn from what came of a photo: trust from agreement, rest from failures.

        Args:
            retrieved: what the photos said.
            reasoned: what the model said.
            errors: what kept it from saying more.
            independent: what came of the question that told of no photos.
        """
        with self._lock:
            self._rest(reasoned, errors)
        guess = next((one for one in reasoned.proposals if not one.saw_neighbors), None)
        if guess is None or not retrieved.standings:
            return
        if any(advice.model != self.model for advice in independent):
            return  # what a fallback says teaches nothing of the model
        best = retrieved.standings[0]
        agreed = guess.coordinate.distance_km(best.coordinate) <= NEAR_KM
        self._learned.observe(
            self._pairing(retrieved),
            Observation(best.probability, agreed),
            is_repeated=bool(independent) and all(advice.is_cached for advice in independent),
        )

    def _rest(self, reasoned: Reasoned, errors: Sequence[LmmError]) -> None:
        """Leave a model alone that refuses every request, or that has not replied for long."""
        if reasoned.state is not LmmState.FAILED or not errors:
            self._failures = 0
            return
        self._failures += 1
        rejected = [
            error
            for error in errors
            if isinstance(error, LmmRejected) and error.status in (401, 403, 404)
        ]
        if rejected or self._failures >= FAILURES:
            self._rests_until = self._clock() + REST_S
            self._why_resting = str(rejected[0] if rejected else errors[-1])


class Reasoning:
    """One photo while a model is asked about it; made by `Reasoner.begin`."""

    def __init__(
        self,
        reasoner: Reasoner,
        retrieved: Retrieved,
        area: SearchArea | None,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._reasoner, self._retrieved, self._area = reasoner, retrieved, area
        self._clock = clock
        self._asked: list[_Asked] = []
        self._given_up: str | None = None
        self._last = clock()

    def expect(
        self, origin: str, answers: tuple[Future[Advice], ...], *, saw_neighbors: bool
    ) -> None:
        """A question that has been put."""
        self._asked.append(_Asked(origin, saw_neighbors, answers))

    def give_up(self, why: str) -> None:
        """No question is put, for this reason."""
        self._given_up = why

    def result(self, tell: Tell = silent) -> Reasoned:
        """Wait for the answers.

        Args:
            tell: told each step once it is done, in this thread.

        Raises:
            ConfigError: lmm.yaml is wrong in a way that shows in a call only.
            CatalogueError: costs, answers and observations cannot be recorded.
        """
        proposals: list[Proposal] = []
        steps: list[Step] = []
        models: dict[str, None] = {}
        advices: list[Advice] = []
        errors: list[LmmError] = []
        independent: list[Advice] = []
        for asked in self._asked:
            heard, failed = _outcomes(asked)
            independent += () if asked.saw_neighbors else heard
            advices += heard
            errors += failed
            models |= dict.fromkeys(map(_model_words, heard))
            some, outside = self._proposals(asked, heard)
            proposals += some
            steps.append(self._step(asked, heard, failed, some, outside))
            tell(steps[-1])
        state = _state(proposals, advices, errors)
        if not proposals:
            steps.append(self._alone(state))
            tell(steps[-1])
        reasoned = Reasoned(
            proposals=tuple(proposals),
            steps=tuple(steps),
            models=tuple(models) or (self._reasoner.model,),
            cost_usd=sum(advice.cost_usd or 0.0 for advice in advices),
            state=state,
        )
        self._reasoner.learn(self._retrieved, reasoned, errors, independent=independent)
        return reasoned

    def _proposals(
        self, asked: _Asked, heard: Sequence[Advice]
    ) -> tuple[list[Proposal], list[Answer]]:
        """Answers as proposals, and those that lie outside the area."""
        proposals, outside = [], []
        for advice in heard:
            answer = advice.outcome
            if not isinstance(answer, Answer):
                continue
            if self._area is not None and answer.coordinate not in self._area:
                outside.append(answer)
                continue
            origin = f"{advice.model} {asked.origin}"
            proposals.append(Proposal(answer.coordinate, origin, saw_neighbors=asked.saw_neighbors))
        return proposals, outside

    def _step(
        self,
        asked: _Asked,
        heard: Sequence[Advice],
        failed: Sequence[LmmError],
        proposals: Sequence[Proposal],
        outside: Sequence[Answer],
    ) -> Step:
        summary = lmm_wording.advice(heard, failed, outside)
        at = proposals[0].coordinate if proposals else None
        return Step(f"lmm {asked.origin}", summary, at, self._lap())

    def _alone(self, state: LmmState) -> Step:
        summary = self._given_up or lmm_wording.no_proposal(self._reasoner.model, state)
        return Step("lmm", f"{summary}; the photos decide alone", None, self._lap())

    def _lap(self) -> float:
        """Seconds since the step before, so that the steps' sum is what the user has waited."""
        now = self._clock()
        seconds, self._last = now - self._last, now
        return seconds


def _outcomes(asked: _Asked) -> tuple[list[Advice], list[LmmError]]:
    heard: list[Advice] = []
    failed: list[LmmError] = []
    for answer in asked.answers:
        try:
            heard.append(answer.result())
        except LmmError as error:
            failed.append(error)
    return heard, failed


def _state(
    proposals: Sequence[Proposal], advices: Sequence[Advice], errors: Sequence[LmmError]
) -> LmmState:
    if proposals:
        return LmmState.ANSWERED
    if advices:
        return LmmState.REFUSED
    if any(isinstance(error, BudgetExceeded) for error in errors):
        return LmmState.OVER_BUDGET
    return LmmState.FAILED


def _model_words(advice: Advice) -> str:
    if advice.answered_by in ("", advice.model):
        return advice.model
    return f"{advice.model} ({advice.answered_by})"


def _sighting(neighbor: Neighbor) -> Sighting:
    coordinate = neighbor.photo.coordinate
    assert coordinate is not None  # the callers leave out photos without a place
    return Sighting(coordinate, neighbor.photo.place, neighbor.score)
