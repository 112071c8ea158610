"""A shift: a worker does what messages name, then more of the same runs, until its time is over.

A message names photos, but the record says which are still to do. So a message may come twice or
not at all; who has done some looks for more of the same run, which fills batches across messages.
Photos that were in hand when a worker died are suspects and are read alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from geosearch.catalogue.leasing import LeasedSource, Leasing
from geosearch.errors import BrokerError, CatalogueError, ConfigError, StorageFull, StoreError

logger = logging.getLogger(__name__)

SHIFT_S = 60.0
"""A shift takes no new photos after so long, so that other messages have their turn."""

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long to wait after an engine refused, the last one again and again."""


class Watcher(Protocol):
    """What a shift tells while it works; `workers.metrics` counts it."""

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """A stage took so long for so many photos."""

    def ended(self, outcome: str, photos: int) -> None:
        """So many photos ended so."""

    def failed(self, kind: str) -> None:
        """Something of this kind went wrong."""


class InHand:
    """The sources that are being worked on, by URI; safe to share between threads."""

    def __init__(self) -> None:
        self._held: dict[str, LeasedSource] = {}
        self._lock = threading.Lock()

    def take(self, sources: Sequence[LeasedSource]) -> None:
        """Have these in hand."""
        with self._lock:
            self._held.update((source.uri, source) for source in sources)

    def find(self, uri: str) -> LeasedSource | None:
        """The source of this URI, if it is in hand."""
        with self._lock:
            return self._held.get(uri)

    def let_go(self, uri: str) -> None:
        """Have it no longer in hand."""
        with self._lock:
            self._held.pop(uri, None)

    def sources(self) -> list[LeasedSource]:
        """What is in hand."""
        with self._lock:
            return list(self._held.values())

    def ids(self) -> list[int]:
        """Ids of what is in hand."""
        return [source.id for source in self.sources()]


class Work(Protocol):
    """What is done with sources that were leased."""

    @property
    def claim(self) -> int:
        """How many are leased at once; few, because all are suspects when the worker dies."""

    def encoder_of(self, run_id: int) -> str:
        """The encoder that a run was asked for."""

    def do(self, run_id: int, sources: Iterator[LeasedSource], hand: InHand) -> str | None:
        """Work on sources of a run, letting each go once its end is on record.

        Whatever it raises, what is still in hand was not done.

        Returns:
            What was done, in words for the log; None if nothing was.
        """

    def give_up(self, source: LeasedSource, reason: str) -> None:
        """Record that a source is given up, and why."""


class Shift:
    """Does one kind of work for one worker, one call at a time.

    Args:
        leases: of this worker.
        work: what is done.
        encoder: name of the encoder; runs that ask for another one are left alone.
        former: encoders whose runs are taken all the same: they had the index in use before.
        max_attempts: as often a photo may kill or fail a worker.
        lease_s: what the leases hold for.
        watcher: told what happens.
        shift_s: take no new photos after so long.
        wait: sleeps for so many seconds.
    """

    def __init__(
        self,
        leases: Leasing,
        work: Work,
        *,
        encoder: str,
        former: Collection[str] = (),
        max_attempts: int,
        lease_s: float,
        watcher: Watcher,
        shift_s: float = SHIFT_S,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._leases = leases
        self._work = work
        self._encoder = encoder
        self._former = {encoder, *former}
        self._max_attempts = max_attempts
        self._lease_s = lease_s
        self._watcher = watcher
        self._shift_s = shift_s
        self._wait = wait
        self._pauses = 0

    def do(self, ids: Collection[int]) -> None:
        """Work on these, then on more of their runs."""
        deadline = time.monotonic() + self._shift_s
        for run_id in self._runs(ids):
            while not self._run(run_id, ids, deadline):
                if time.monotonic() > deadline:
                    return  # a sweep asks again

    def _runs(self, ids: Collection[int]) -> list[int]:
        runs = []
        for run_id in self._leases.runs_of(ids):
            wanted = self._work.encoder_of(run_id)
            if wanted in self._former:
                runs.append(run_id)
            else:
                logger.error(
                    "run %d asks for the encoder %r and this worker has %r; start one with "
                    "GEOSEARCH_ENCODER=%s", run_id, wanted, self._encoder, wanted.split()[0],
                    extra={"run": run_id},
                )  # fmt: skip
        return runs

    def _run(self, run_id: int, ids: Collection[int], deadline: float) -> bool:
        """Work on a run; whether it went well until there was no more or time was over."""
        if not self._done(run_id, self._fresh(run_id, ids, deadline)):
            return False
        while time.monotonic() < deadline:
            suspect = self._leases.claim_suspect(run_id)
            if suspect is None:
                break
            if suspect.attempts > self._max_attempts:
                self._give_up(suspect, f"it ended its worker {self._max_attempts} times")
            elif not self._done(run_id, iter([[suspect]])):
                return False
        return True

    def _fresh(
        self, run_id: int, ids: Collection[int], deadline: float
    ) -> Iterator[list[LeasedSource]]:
        yield self._leases.claim(run_id, limit=len(ids), ids=ids)
        while time.monotonic() < deadline:
            found = self._leases.claim(run_id, limit=self._work.claim)
            if not found:
                return
            yield found

    def _done(self, run_id: int, groups: Iterator[list[LeasedSource]]) -> bool:
        """Work on groups together; False if an engine refused and it is worth trying again."""
        hand = InHand()

        def sources() -> Iterator[LeasedSource]:
            for group in groups:
                hand.take(group)
                yield from group

        start = time.monotonic()
        try:
            with self._renewing(hand):
                said = self._work.do(run_id, sources(), hand)
        except (StorageFull, StoreError, CatalogueError, BrokerError) as error:
            self._pause(hand, error)
            return False
        except Exception as error:
            if isinstance(error, ConfigError) and not hand.ids():
                raise  # this worker cannot do it at all, and no photo is to blame
            self._suspect(hand, error)  # a defect that some photo brings out: find out which
            return True
        self._pauses = 0
        if said is not None:
            logger.info("%s in %.1f s", said, time.monotonic() - start, extra={"run": run_id})
        return True

    def _pause(self, hand: InHand, error: Exception) -> None:
        """Wait for an engine; nothing that was in hand is to blame."""
        while True:
            seconds = PAUSES_S[min(self._pauses, len(PAUSES_S) - 1)]
            self._pauses += 1
            self._watcher.failed(type(error).__name__)
            logger.warning("%s; trying again in %.1f s", error, seconds)
            self._wait(seconds)
            try:
                self._leases.release(hand.ids(), forgive=True)
            except (CatalogueError, StorageFull) as again:
                error = again
            else:
                return

    def _suspect(self, hand: InHand, error: Exception) -> None:
        """Have what was in hand read alone; the one that was read alone is told from the others."""
        self._watcher.failed(type(error).__name__)
        held = hand.sources()
        logger.exception("working failed", extra={"photos": [source.id for source in held]})
        if len(held) == 1 and held[0].attempts >= self._max_attempts:
            reason = f"it failed {self._max_attempts} times: {type(error).__name__}: {error}"
            self._give_up(held[0], reason)
        else:
            self._leases.release(hand.ids(), forgive=False)

    def _give_up(self, source: LeasedSource, reason: str) -> None:
        logger.error(
            "%s is given up: %s", source.uri, reason,
            extra={"run": source.run_id, "photo": source.id},
        )  # fmt: skip
        self._work.give_up(source, reason)
        self._watcher.ended("failed", 1)

    @contextmanager
    def _renewing(self, hand: InHand) -> Iterator[None]:
        """Say now and then that this worker is alive, while the block runs."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lease_s / 4.0):
                try:
                    self._leases.renew(hand.ids())
                except CatalogueError as error:
                    logger.warning("cannot renew leases: %s", error)

        thread = threading.Thread(target=renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
