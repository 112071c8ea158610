"""What the steps of locating one photo were, and how long each took."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from geosearch.geo import Coordinate
from geosearch.records import Step

Tell: TypeAlias = Callable[[Step], None]
"""Is told each step once it is done, in the thread that did it."""


def silent(step: Step) -> None:
    """For who waits for the answer only."""


class StepLog:
    """Steps as they happen, each with the seconds since the one before.

    Args:
        clock: seconds.
        tell: told each step when it is added.
    """

    def __init__(self, clock: Callable[[], float], tell: Tell = silent) -> None:
        self.steps: list[Step] = []
        self._clock, self._tell = clock, tell
        self._started = self._last = clock()

    def lap(self) -> float:
        """Seconds since the last lap."""
        now = self._clock()
        seconds, self._last = now - self._last, now
        return seconds

    def note(self, name: str, summary: str, coordinate: Coordinate | None) -> None:
        """A step that took since the last lap."""
        self.add(name, summary, coordinate, self.lap())

    def add(self, name: str, summary: str, coordinate: Coordinate | None, seconds: float) -> None:
        """A step that took so many seconds."""
        step = Step(name, summary, coordinate, seconds)
        self.steps.append(step)
        self._tell(step)

    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._started
