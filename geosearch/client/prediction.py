"""Bytes in, predictions out: encoder, locator and, where there is one, a large multimodal model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from time import perf_counter as clock
from typing import TYPE_CHECKING

from geosearch.client.arguments import image_bytes
from geosearch.errors import InvalidInput, UnreadableImage
from geosearch.ingest.sources import BadSource, PhotoSource
from geosearch.localization.locator import Locator
from geosearch.localization.reasoning import Reasoner, Reasoning
from geosearch.localization.search_area import SearchArea
from geosearch.localization.steps import Tell, silent
from geosearch.records import Step
from geosearch.results import LocatedPhoto

if TYPE_CHECKING:
    from geosearch.encoder.embedder import Embedder


class Predictor:
    """Predicts where photos were taken, under one filter and with one adviser or none.

    Args:
        embedder: makes the vectors.
        locator: finds and weighs places.
        reasoner: asks a model.
        area: where photos are known to be, for the model.
        hint: what is known or supposed of the place, for the model.
    """

    def __init__(
        self,
        embedder: Embedder,
        locator: Locator,
        reasoner: Reasoner | None = None,
        *,
        area: SearchArea | None = None,
        hint: str | None = None,
    ) -> None:
        self._embedder, self._locator, self._reasoner = embedder, locator, reasoner
        self._area, self._hint = area, hint

    def predict_all(self, sources: Iterable[PhotoSource | BadSource]) -> Iterator[LocatedPhoto]:
        """A prediction for each photo, in order; while a model is waited for, more begin."""
        ahead = 0 if self._reasoner is None else self._reasoner.photos_ahead
        waiting: deque[Callable[[], LocatedPhoto]] = deque()
        for source in sources:
            waiting.append(self._begin(source))
            if len(waiting) > ahead:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()

    def begin(
        self, data: bytes, name: str, on_step: Tell | None = None
    ) -> Callable[[], LocatedPhoto]:
        """Retrieve for a photo and put the model's questions on their way.

        Args:
            data: the photo's bytes.
            name: what to call it.
            on_step: called with each step once it is done.

        Returns:
            What waits for the model, decides and gives the prediction.
        """
        start, tell = clock(), on_step or silent
        try:
            vector = self._embedder.embed(data)
        except (UnreadableImage, InvalidInput) as error:
            return partial(self._unanswered, name, str(error), start)
        encoding = Step("encoding", "the photo is decoded and encoded", None, clock() - start)
        tell(encoding)
        retrieved = self._locator.retrieve(vector, tell)
        retrieved = replace(
            retrieved,
            steps=(encoding, *retrieved.steps),
            seconds=encoding.seconds + retrieved.seconds,
        )
        reasoning: Reasoning | None = None
        if self._reasoner is not None:
            reasoning = self._reasoner.begin(data, retrieved, hint=self._hint, area=self._area)

        def finish() -> LocatedPhoto:
            if self._reasoner is None or reasoning is None:
                prediction, told = self._locator.decide(retrieved, image=name), 0
            else:
                trust = self._reasoner.trust(retrieved)  # of the photos before, not of this one
                reasoned = reasoning.result(tell)
                told = len(reasoned.steps)
                prediction = self._locator.decide(
                    retrieved, image=name, reasoned=reasoned, trust=trust
                )
            for step in prediction.steps[len(retrieved.steps) + told :]:
                tell(step)
            return LocatedPhoto.of(prediction)

        return finish

    def _begin(self, source: PhotoSource | BadSource) -> Callable[[], LocatedPhoto]:
        start = clock()
        if isinstance(source, BadSource):
            return partial(self._unanswered, source.uri, source.reason, start)
        try:
            data = image_bytes(source.path or source.uri)
        except UnreadableImage as error:
            return partial(self._unanswered, source.uri, str(error), start)
        return self.begin(data, source.uri)

    def _unanswered(self, image: str, reason: str, start: float) -> LocatedPhoto:
        return LocatedPhoto.without_answer(
            image, reason, encoder=str(self._embedder.identity), seconds=clock() - start
        )
