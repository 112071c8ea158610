"""What one client may ask in a while, and what all may ask at once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import HTTPException

CLIENTS = 10_000
"""Clients that are remembered; who was idle longest is forgotten first."""


class RateLimit:
    """A bucket for each client that refills evenly and holds one minute's worth.

    Args:
        per_minute: requests; 0 for no limit.
        clock: seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Take one request of a client; 0 if it may pass, else seconds until one may."""
        if not self._per_minute:
            return 0.0
        rate = self._per_minute / 60.0
        with self._lock:
            now = self._clock()
            left, seen = self._buckets.pop(client, (float(self._per_minute), now))
            left = min(float(self._per_minute), left + (now - seen) * rate)
            passes = left >= 1.0
            self._buckets[client] = (left - 1.0 if passes else left, now)
            while len(self._buckets) > CLIENTS:
                self._buckets.popitem(last=False)
            return 0.0 if passes else (1.0 - left) / rate


class Turns:
    """At most so many at once; who waits too long is told when to come back.

    Args:
        at_once: how many.
        patience_s: the longest wait.
    """

    def __init__(self, at_once: int, *, patience_s: float) -> None:
        self._free = threading.BoundedSemaphore(at_once)
        self._patience_s = patience_s

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One turn.

        Raises:
            HTTPException: 503 with Retry-After, when none was free in time.
        """
        if not self._free.acquire(timeout=self._patience_s):
            raise HTTPException(
                503, "the server is busy; ask again later", headers={"Retry-After": "5"}
            )
        try:
            yield
        finally:
            self._free.release()
