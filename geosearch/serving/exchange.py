"""Which index this process works with, and the move to another one that was switched to.

A query borrows an index and finishes with it, whatever is switched meanwhile; the old one is closed
when the last borrower gives it back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geosearch.errors import GeosearchError
from geosearch.records import IndexRecord
from geosearch.serving.opened import OpenIndex

logger = logging.getLogger(__name__)

RETRY_S = 10.0
"""After an index could not be opened, how long to go on with the one at hand before trying again.
"""


class Exchange:
    """The index in use, opened when first asked for.

    Args:
        active: which index the catalogue says is in use.
        open_index: opens an index; None before the first one.
    """

    def __init__(
        self,
        active: Callable[[], IndexRecord | None],
        open_index: Callable[[IndexRecord | None], OpenIndex],
    ) -> None:
        self._active = active
        self._open_index = open_index
        self._lock = threading.Lock()  # for what is below; never held while something is opened
        self._opening = threading.Lock()
        self._current: OpenIndex | None = None
        self._borrowed: Counter[OpenIndex] = Counter()
        self._not_before = 0.0
        self._move: threading.Thread | None = None
        self._is_closed = False

    @property
    def at_hand(self) -> OpenIndex | None:
        """The index that is open, None before the first."""
        return self._current

    @property
    def current(self) -> OpenIndex:
        """The index that this process works with now; to be borrowed by who outlives a switch."""
        with self._lock:
            if self._current is not None:
                return self._current
        self._open_active()
        assert self._current is not None
        return self._current

    @contextmanager
    def borrowed(self, *, is_current: bool = False) -> Iterator[OpenIndex]:
        """The index in use, kept open while the block runs.

        A switch is noticed here. Opening another encoder takes a while, and queries go on with the
        old index, which is whole, until it is open.

        Args:
            is_current: wait until the index that was switched to is open.

        Raises:
            GeosearchError: no index can be opened.
        """
        _ = self.current
        if self.is_outdated():
            if is_current:
                self._open_active()
            else:
                self._open_behind()
        with self._lock:
            assert self._current is not None
            index = self._current
            self._borrowed[index] += 1
        try:
            yield index
        finally:
            with self._lock:
                self._borrowed[index] -= 1
                is_left = self._borrowed[index] == 0
                if is_left:
                    del self._borrowed[index]
                is_left = is_left and (index is not self._current)
            if is_left:
                index.close()

    def is_outdated(self) -> bool:
        """Whether another index was switched to than the one at hand."""
        active, at_hand = self._active(), self._current
        return active is not None and at_hand is not None and active.encoder != at_hand.identity

    def hand_over(self, index: OpenIndex, *, switch: Callable[[], bool]) -> bool:
        """Work with an index that is open already, from the moment it is switched to.

        Args:
            index: that index.
            switch: switches to it; what it returns is returned, and False leaves all as it is.
        """
        with self._opening:  # nobody else opens it in between
            if not switch():
                return False
            self._put(index)
        return True

    def _put(self, index: OpenIndex) -> None:
        with self._lock:
            old, self._current = self._current, index
            is_left = old is not None and old is not index and not self._borrowed[old]
        if is_left and old is not None:
            old.close()

    def close(self) -> None:
        """Close every index; nothing may be borrowed any more."""
        with self._lock:
            self._is_closed = True
            move = self._move
        if move is not None:
            move.join()
        with self._lock:
            still_open = {*self._borrowed} | ({self._current} if self._current else set())
            self._borrowed.clear()
            self._current = None
        for index in still_open:
            index.close()

    def _open_active(self) -> None:
        with self._opening:
            if self._current is None or self.is_outdated():
                self._put(self._open_index(self._active()))

    def _open_behind(self) -> None:
        """Open the index in a thread of its own, unless one is at it or it has just failed."""
        with self._lock:
            is_at_it = self._move is not None and self._move.is_alive()
            if is_at_it or self._is_closed or time.monotonic() < self._not_before:
                return
            self._move = threading.Thread(target=self._open_or_tell, name="index-switch")
            self._move.start()

    def _open_or_tell(self) -> None:
        try:
            self._open_active()
        except GeosearchError as error:
            self._not_before = time.monotonic() + RETRY_S
            logger.error("another index was switched to and cannot be opened: %s", error)
