"""Searches go before an ingest in the same process: it gives way, the graph is built later."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from geosearch.api.limits import Turns
from geosearch.errors import GeosearchError
from geosearch.services import Services

logger = logging.getLogger(__name__)

INGEST_SHARE = 0.3
"""Of the time, for beginning pieces of an ingest while there are searches."""

CYCLE_S = 0.5

LOOK_S = 0.02
"""How often a waiting ingest looks whether the searches are over."""

BATCH_ON_CPU = 8
"""Photos that are encoded together while serving: a search by photo waits for one batch at most."""

QUIET_S = 5.0
"""After so long without a change the graph of the index is brought up to date."""

MOST_UNBUILT = 20_000
"""Or when so many photos were written since the last time: those are compared one by one."""


class Precedence:
    """Holds the threads of an ingest back while there are searches, but never for long.

    Args:
        searching: turns of the searches.
        clock: seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        searching: Turns,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._searching = searching
        self._clock = clock
        self._sleep = sleep

    def give_way(self) -> None:
        """Return at once when nobody searches, else when it is the ingest's part of a cycle.

        All threads of an ingest share the cycle: between two parts the searches have the machine.
        """
        while not self._searching.is_idle and self._clock() % CYCLE_S > INGEST_SHARE * CYCLE_S:
            self._sleep(LOOK_S)


def build_graph(services: Services) -> None:
    """Bring the graph of the index in use up to date."""
    with services.borrowed_index(is_current=True) as index:
        index.store.optimize()


class Upkeep:
    """Brings the graph of the index up to date when nothing changes any more.

    Building it blocks every search of an embedded index, so it is not done after each upload.

    Args:
        build: brings the graph up to date.
        changing: turns of what writes the index.
        quiet_s: seconds without a change after which it is done.
    """

    def __init__(
        self, build: Callable[[], None], changing: Turns, quiet_s: float = QUIET_S
    ) -> None:
        self._build_graph = build
        self._changing = changing
        self._quiet_s = quiet_s
        self._unbuilt = 1  # nobody knows what the last process left; it costs nothing if nothing
        self._touched = threading.Event()
        self._touched.set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="upkeep", daemon=True)
        self._thread.start()

    def wrote(self, photos: int) -> None:
        """Photos were written to the index."""
        self._unbuilt += photos
        self._touched.set()

    def stop(self) -> None:
        """End; what is not built yet is built after the next start."""
        self._stopping.set()
        self._touched.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._touched.wait()
            while not self._stopping.is_set() and self._unbuilt < MOST_UNBUILT:
                self._touched.clear()
                if not self._touched.wait(self._quiet_s):
                    break
            if self._unbuilt and not self._stopping.is_set():
                self._build()

    def _build(self) -> None:
        with self._changing.patient_turn():
            self._unbuilt = 0
            try:
                self._build_graph()
            except GeosearchError:  # searches work without it; the next change tries again
                logger.exception("the graph of the index cannot be built now")
