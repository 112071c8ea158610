"""What is believed of a model, kept up with the observations of every process that asks it.

Beliefs are made from observations when they are needed and never stored: what may be concluded
from them (`trust.py`) can change with a version, what was observed cannot.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from geosearch.localization.trust import PRIOR, Belief, Trust
from geosearch.records import Observation, Pairing, Tally

SLACK = 200
"""So many observations may count after they were dropped; then all are heard anew, in 0.1 s."""


class Observations(Protocol):
    """Where observations are kept; safe to use from many threads and processes."""

    def add(self, pairing: Pairing, observation: Observation, *, is_repeated: bool = False) -> None:
        """Keep one more; a repeated one, whose like is kept already, counts once."""

    def since(
        self, pairing: Pairing, number: int = 0
    ) -> tuple[Sequence[tuple[int, Observation]], int]:
        """Numbered observations after a number, oldest first; how many up to it are still kept."""


class ProcessObservations:
    """The `Observations` of one process, forgotten at its end; for tests and trials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Pairing, list[Observation]] = {}

    def add(self, pairing: Pairing, observation: Observation, *, is_repeated: bool = False) -> None:
        """Keep one more; a repeated one, whose like is kept already, counts once."""
        with self._lock:
            kept = self._kept.setdefault(pairing, [])
            if not (is_repeated and observation in kept):
                kept.append(observation)

    def since(
        self, pairing: Pairing, number: int = 0
    ) -> tuple[Sequence[tuple[int, Observation]], int]:
        """Numbered observations after a number, oldest first; how many up to it are still kept."""
        with self._lock:
            kept = self._kept.get(pairing, [])
            return list(enumerate(kept[number:], number + 1)), min(number, len(kept))


class Learned:
    """Beliefs about one model, one for each ranking of photos; safe to share between threads.

    Args:
        observations: where they are kept.
        known: what is known of the model's answers besides.
    """

    def __init__(self, observations: Observations, *, known: Tally = PRIOR) -> None:
        self._observations, self._known = observations, known
        self._lock = threading.Lock()
        self._heard: dict[Pairing, _Heard] = {}

    def trust(self, pairing: Pairing) -> Trust:
        """How far model and photos are believed after all that was observed up to now."""
        with self._lock:
            heard = self._heard.get(pairing) or self._anew(pairing)
            new, kept = self._observations.since(pairing, heard.last)
            if heard.count - kept > SLACK or (heard.count and not kept):  # too old, or reset
                heard = self._anew(pairing)
                new, _ = self._observations.since(pairing)
            for number, observation in new:
                heard.belief.hear(observation.probability, agreed=observation.agreed)
                heard.last, heard.count = number, heard.count + 1
            return heard.belief.trust()

    def observe(
        self, pairing: Pairing, observation: Observation, *, is_repeated: bool = False
    ) -> None:
        """Keep one more observation, for every process."""
        self._observations.add(pairing, observation, is_repeated=is_repeated)

    def _anew(self, pairing: Pairing) -> _Heard:
        belief = Belief(stated=pairing.stated, expected=pairing.expected, model=self._known)
        made = self._heard[pairing] = _Heard(belief)
        return made


class _Heard:
    """A belief, the number of the last observation in it and how many there were."""

    def __init__(self, belief: Belief) -> None:
        self.belief, self.last, self.count = belief, 0, 0
