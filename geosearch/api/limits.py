"""What one client may ask in a while, and what all may ask at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress

from fastapi import HTTPException

CLIENTS = 10_000
"""Clients that are remembered; who was idle longest is forgotten first."""

RETRY_AFTER_S = 5
"""When to come back after there was no turn."""


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
    """At most so many at once, in order of arrival; who cannot be served soon is told so.

    Requests wait in the event loop and hold no thread, so that what needs no turn is still answered
    while all turns are taken. A turn may be given back by any thread.

    Args:
        at_once: how many.
        patience_s: the longest wait of a request.
        most_waiting: how many may wait; whoever comes later is refused at once.
    """

    def __init__(self, at_once: int, *, patience_s: float, most_waiting: int = 1000) -> None:
        self._at_once = self._left = at_once
        self._patience_s = patience_s
        self._most_waiting = most_waiting
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a turn."""
        return self._left == self._at_once

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._waiting)

    async def take(self) -> None:
        """Wait for a turn, which must be given back.

        Raises:
            HTTPException: 503 with Retry-After: none was free in time, or too many wait.
        """
        place = self._queue(self._most_waiting)
        try:
            async with asyncio.timeout(self._patience_s):  # wait_for may swallow a cancellation
                await asyncio.wrap_future(place)
        except BaseException as error:  # also a client that went away: its turn must not be lost
            self._leave(place)
            if isinstance(error, TimeoutError):
                raise _busy() from None
            raise

    def give_back(self) -> None:
        """End a turn; the next in line has it."""
        with self._lock:
            while self._waiting:
                place = self._waiting.popleft()
                if place.set_running_or_notify_cancel():
                    place.set_result(None)
                    return
            self._left += 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One turn of a request; raises as `take` does."""
        await self.take()
        try:
            yield
        finally:
            self.give_back()

    @contextmanager
    def patient_turn(self) -> Iterator[None]:
        """One turn of a thread that nobody waits for, however long it takes to come."""
        place = self._queue(None)
        try:
            place.result()
            yield
        finally:
            self._leave(place)

    def _queue(self, most: int | None) -> Future[None]:
        place: Future[None] = Future()
        with self._lock:
            if self._left:
                self._left -= 1
                place.set_running_or_notify_cancel()
                place.set_result(None)
            elif most is not None and len(self._waiting) >= most:
                raise _busy()
            else:
                self._waiting.append(place)
        return place

    def _leave(self, place: Future[None]) -> None:
        """Give up a place in the line, or the turn that it has become meanwhile."""
        if not place.cancel():
            self.give_back()
            return
        with self._lock, suppress(ValueError):  # whoever gave a turn back may have dropped it
            self._waiting.remove(place)


def _busy() -> HTTPException:
    return HTTPException(
        503, "the server is busy; ask again later", headers={"Retry-After": str(RETRY_AFTER_S)}
    )
