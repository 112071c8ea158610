"""Locating photos: what a shift does for `geosearch locate`, and how its command asks and fetches.

Answers wait in PostgreSQL until the command has them; the broker carries ids alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from geosearch.catalogue.leasing import LeasedSource
from geosearch.catalogue.locating import LocateLeases
from geosearch.client import GeoSearch
from geosearch.client.wishes import LmmWishes
from geosearch.criteria import Criteria
from geosearch.exports import prediction_to_dict
from geosearch.exports.reading import prediction_from_dict
from geosearch.ingest.sources import BadSource, PhotoSource, path_of
from geosearch.records import Prediction
from geosearch.services import Services
from workers.app import LOCATE
from workers.broker import IDS_PER_MESSAGE, Broker
from workers.shift import InHand, Watcher

logger = logging.getLogger(__name__)

BATCH_ROWS = 1000
POLL_S = 0.5

SILENCE_S = 30.0
"""After so long without an answer, say that perhaps no worker is running."""

NOBODY_ASKED = LmmWishes(no_lmm=True)


class Locating:
    """Locates photos, one after the other, as `GeoSearch.locate` does.

    Args:
        geosearch: the collection whose photos speak.
        leases: of this worker.
        watcher: told what happens.
    """

    claim = 8

    def __init__(self, geosearch: GeoSearch, leases: LocateLeases, *, watcher: Watcher) -> None:
        self._geosearch = geosearch
        self._leases = leases
        self._watcher = watcher

    def encoder_of(self, run_id: int) -> str:
        """The encoder that a run was asked for."""
        return self._leases.encoder_of(run_id)

    def do(self, run_id: int, sources: Iterator[LeasedSource], hand: InHand) -> str | None:
        """Locate sources, and keep each answer at once.

        Raises:
            ConfigError: this worker cannot ask the model that the run asks for.
        """
        located = unanswered = 0
        found = (_found(leased) for leased in sources)
        wishes = _wishes(self._leases.lmm(run_id))
        where = Criteria.of(self._leases.criteria(run_id)).filter()
        for prediction in self._geosearch.locate_sources(found, wishes, where=where):
            leased = hand.find(prediction.image)
            if leased is None:
                raise RuntimeError(f"{prediction.image} was located and never leased")
            self._leases.answer(leased.id, prediction_to_dict(prediction))
            hand.let_go(leased.uri)
            self._watcher.timed("locate", prediction.seconds, 1)
            has_answer = prediction.best is not None
            self._watcher.ended("located" if has_answer else "unanswered", 1)
            located, unanswered = located + has_answer, unanswered + (not has_answer)
        if not located + unanswered:
            return None
        return f"{located + unanswered} photos: {located} located, {unanswered} without an answer"

    def give_up(self, source: LeasedSource, reason: str) -> None:
        """Answer that there is no answer."""
        bad = [BadSource(source.uri, reason)]
        for prediction in self._geosearch.locate_sources(bad, NOBODY_ASKED):
            self._leases.answer(source.id, prediction_to_dict(prediction))


def _wishes(lmm: Mapping[str, Any] | None) -> LmmWishes:
    """What a run asks of a large multimodal model, whatever this worker's settings say."""
    if not lmm:
        return NOBODY_ASKED
    return LmmWishes(model=lmm["model"], samples=lmm["samples"], hint=lmm["hint"])


def _found(leased: LeasedSource) -> PhotoSource | BadSource:
    reason = leased.claims.get("reason")
    if reason is not None:
        return BadSource(leased.uri, reason)
    return PhotoSource(leased.uri, path_of(leased.uri))


class Asker:
    """Has workers locate photos, and fetches their answers.

    Args:
        services: only the catalogue is opened, neither encoder nor index.
        broker: where messages go.
        wait: sleeps for so many seconds.
    """

    def __init__(
        self, services: Services, broker: Broker, *, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._runs = services.locate_runs
        self._encoder = services.encoder_name
        self._limit = services.settings.queue_limit
        self._broker = broker
        self._wait = wait

    def send(
        self,
        token: UUID,
        sources: Iterable[PhotoSource | BadSource],
        *,
        lmm: Mapping[str, Any] | None = None,
        criteria: Mapping[str, Any] | None = None,
    ) -> int:
        """Register sources and send them to workers; the number of the run.

        Killed at any moment, the same call with the same token goes on: nothing is registered
        twice, answers stay, and what waits is sent again.

        Args:
            token: names the run.
            sources: what to locate; read once, as a stream.
            lmm: the large multimodal model to ask, as `client.reasoning.conditions` says; None or
                empty for none.
            criteria: what photos of the collection must match, as `Criteria.document` says.

        Raises:
            BrokerError, CatalogueError, StorageFull: one of them refused.
        """
        run_id = self._runs.open(token, encoder=self._encoder, lmm=lmm, criteria=criteria)
        stream = iter(sources)
        while batch := list(islice(stream, BATCH_ROWS)):
            named = [(one.uri, one.reason if isinstance(one, BadSource) else None) for one in batch]
            self._broker.locate(self._runs.register(run_id, named))
            while IDS_PER_MESSAGE * self._broker.messages(LOCATE) >= self._limit:
                self._wait(POLL_S)
        return run_id

    def fetch(
        self, run_id: int, *, progress: Callable[[int], None] | None = None
    ) -> Iterator[Prediction]:
        """Answers in the order the photos were sent, as they are ready, until all are there.

        An answer is forgotten once the next one is asked for, so keep each before. At the end the
        run is forgotten too.

        Args:
            run_id: from `send`.
            progress: told how many answers are there that were not fetched yet.

        Raises:
            CatalogueError: PostgreSQL refuses.
        """
        before, last_change = -1, time.monotonic()
        while True:
            waiting, answered = self._runs.progress(run_id)
            if progress is not None:
                progress(answered)
            while answers := self._runs.answers(run_id):
                for answer in answers:
                    yield prediction_from_dict(answer.document)
                self._runs.forget(run_id, up_to=answers[-1].id)
            if not waiting:
                self._runs.drop(run_id)
                return
            if waiting != before:
                before, last_change = waiting, time.monotonic()
            elif time.monotonic() - last_change > SILENCE_S:
                last_change = time.monotonic()
                logger.warning(
                    "%d photos wait and none was located in the last %.0f s; is a worker running? "
                    "start one with: geosearch worker", waiting, SILENCE_S,
                )  # fmt: skip
            self._wait(POLL_S)
