"""What requests share: the collection, one ingest at a time, answers to be opened again."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from geosearch.api.limits import Turns
from geosearch.api.metrics import Metrics
from geosearch.client import GeoSearch
from geosearch.errors import InvalidInput
from geosearch.results import LocatedPhoto

if TYPE_CHECKING:
    from geosearch.api.jobs import JobRunner

AT_ONCE = 4
"""Searches that may be worked on: they hold Python's lock, so that more only share one core."""

PATIENCE_S = 20.0

KEPT_ANSWERS = 500
"""Answers that a link opens again; older ones are forgotten, all of them when the server stops."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A prediction, and the photo as a small JPEG without metadata."""

    prediction: LocatedPhoto
    picture: bytes | None


class Shared:
    """State of one application."""

    def __init__(self, geosearch: GeoSearch, jobs: JobRunner) -> None:
        self.geosearch = geosearch
        self.jobs = jobs
        self.metrics = Metrics()
        self.turns = Turns(AT_ONCE, patience_s=PATIENCE_S)
        self.ingesting = threading.Lock()
        self._answers: OrderedDict[str, KeptAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, answer: KeptAnswer) -> str:
        """Remember an answer and return a name that nobody can guess."""
        name = secrets.token_urlsafe(12)
        with self._lock:
            self._answers[name] = answer
            while len(self._answers) > KEPT_ANSWERS:
                self._answers.popitem(last=False)
        return name

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
