"""What requests share: the collection, turns at its engines, jobs, answers to be opened again."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import Depends, Request

from geosearch.api.limits import Turns
from geosearch.api.metrics import Metrics
from geosearch.api.precedence import BATCH_ON_CPU, Precedence, Upkeep, build_graph
from geosearch.client import GeoSearch
from geosearch.errors import InvalidInput
from geosearch.results import LocatedPhoto

if TYPE_CHECKING:
    from geosearch.api.runner import JobRunner

AT_ONCE = 4
"""Searches that may be worked on: they hold Python's lock, so that more only share one core."""

SHOWN_AT_ONCE = 4
"""Photos that may be decoded to be shown: each may take four bytes a pixel."""

LOCATED_AT_ONCE = 8
"""Photos that may be located; most of the time they wait for a model elsewhere, if one is asked."""

PATIENCE_S = 20.0
"""How long a request waits for its turn before it is told to come back."""

KEPT_ANSWERS = 500
"""Answers that a link opens again; older ones are forgotten, all of them when the server stops."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A prediction, the photo as a small JPEG without metadata, the sha256 (hex) of its file."""

    prediction: LocatedPhoto
    picture: bytes | None
    sha256: str

    def is_about(self, photo_id: UUID, sha256: str) -> bool:
        """Whether it was asked with a photo of the collection, or shows it as evidence."""
        prediction = self.prediction
        places = (*filter(None, [prediction.best]), *prediction.alternatives)
        shown = {item.photo.id for place in places for item in place.evidence}
        shown |= {hit.photo.id for hit in prediction.negatives}
        return self.sha256 == sha256 or photo_id in shown


class Shared:
    """State of one application.

    `searching` and `locating` are turns at reading the index, `changing` at writing it: one at a
    time, because a pipeline does one run at a time; `showing` at decoding pictures. `promising` is
    held while a job is recorded. The pipeline of the collection gives way to searches from now on.
    """

    jobs: JobRunner

    def __init__(self, geosearch: GeoSearch) -> None:
        self.geosearch = geosearch
        self.metrics = Metrics()
        self.searching = Turns(AT_ONCE, patience_s=PATIENCE_S)
        self.locating = Turns(LOCATED_AT_ONCE, patience_s=PATIENCE_S)
        self.changing = Turns(1, patience_s=PATIENCE_S)
        self.showing = Turns(SHOWN_AT_ONCE, patience_s=PATIENCE_S)
        services = geosearch.services
        batch = services.settings.batch_size
        if str(services.embedder.device) == "cpu":
            batch = min(batch, BATCH_ON_CPU)
        services.put_searches_first(
            Precedence(self.searching).give_way, batch_size=batch, optimizes=False
        )
        self.upkeep = Upkeep(partial(build_graph, services), self.changing)
        self.promising = threading.Lock()
        self._answers: OrderedDict[str, KeptAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Finish what is at hand of the jobs; the caller closes the collection afterwards."""
        self.jobs.stop()
        self.upkeep.stop()

    def keep(self, answer: KeptAnswer) -> str:
        """Remember an answer and return a name that nobody can guess."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._answers[name] = answer
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return name

    def forget(self, photo_id: UUID, sha256: str) -> None:
        """Forget answers that show a photo or were asked with it."""
        with self._lock:
            for name in [n for n, a in self._answers.items() if a.is_about(photo_id, sha256)]:
                del self._answers[name]

    def answer(self, name: str) -> KeptAnswer | None:
        """An answer by its name, None when it is forgotten."""
        with self._lock:
            return self._answers.get(name)


def shared_of(request: Request) -> Shared:
    """The state of the application that a request came to."""
    shared = request.app.state.shared
    if not isinstance(shared, Shared):
        raise InvalidInput("the application has no collection")
    return shared


SharedState = Annotated[Shared, Depends(shared_of)]


async def _search_turn(shared: SharedState) -> AsyncIterator[None]:
    async with shared.searching.turn():
        yield


async def _change_turn(shared: SharedState) -> AsyncIterator[None]:
    async with shared.changing.turn():
        yield


async def _show_turn(shared: SharedState) -> AsyncIterator[None]:
    async with shared.showing.turn():
        yield


# The scope ends a turn when the work is done, not when a slow client has read the answer.
SEARCH_TURN = Depends(_search_turn, scope="function")
CHANGE_TURN = Depends(_change_turn, scope="function")
SHOW_TURN = Depends(_show_turn, scope="function")
