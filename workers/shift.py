"""A shift: a worker takes photos in until there are no more or its time is over.

A message names photos, but the record says which are still to do. So a message may come twice or
not at all; who has taken some in looks for more of the same run, which fills batches across
messages. Photos that were being read when a worker died are suspects and are read alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from geosearch.catalogue.leases import Ending, LeasedSource, Leases
from geosearch.catalogue.repository import Catalogue
from geosearch.errors import BrokerError, CatalogueError, StorageFull, StoreError
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.parts import Settled
from geosearch.ingest.pipeline import Pipeline
from geosearch.ingest.registration import claims_from_json
from geosearch.ingest.sources import PhotoSource, path_of
from geosearch.records import PhotoState

logger = logging.getLogger(__name__)

SHIFT_S = 60.0
"""A shift takes no new photos after so long, so that other messages have their turn."""

CLAIM = 32
"""Photos leased at once; few, because all of them become suspects when the worker dies."""

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


@dataclass
class Ledger:
    """Sources in hand, and the pipeline's observer that finishes them."""

    leases: Leases
    watcher: Watcher
    held: dict[str, LeasedSource] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, sources: Sequence[LeasedSource]) -> None:
        """Have these in hand."""
        with self.lock:
            self.held.update((source.uri, source) for source in sources)

    def settled(self, sources: Sequence[Settled]) -> None:
        """Finish what is settled; first the catalogue, then our hands."""
        with self.lock:
            ended = [(done, self.held[done.uri]) for done in sources if done.uri in self.held]
        self.leases.finish(
            {leased.id: Ending(str(done.outcome), done.reason) for done, leased in ended}
        )
        with self.lock:
            for done, _ in ended:
                self.held.pop(done.uri, None)
        for done, leased in ended:
            self.watcher.ended(str(done.outcome), 1)
            if done.outcome is Outcome.FAIL:
                logger.warning(
                    "%s: %s",
                    done.uri,
                    done.reason,
                    extra={"run": leased.run_id, "photo": leased.id},
                )

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """Pass it on."""
        self.watcher.timed(stage, seconds, photos)

    def ids(self) -> list[int]:
        """Ids in hand."""
        with self.lock:
            return [source.id for source in self.held.values()]

    def clear(self) -> None:
        """Have nothing in hand."""
        with self.lock:
            self.held.clear()


class Shift:
    """Takes photos in for one worker, one call at a time.

    Args:
        pipeline: with `resumes`.
        catalogue: the record.
        leases: of this worker.
        encoder: name of the encoder; runs that ask for another one are left alone.
        max_attempts: as often a photo may kill or fail a worker.
        lease_s: what the leases hold for.
        watcher: told what happens.
        shift_s: take no new photos after so long.
        wait: sleeps for so many seconds.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        catalogue: Catalogue,
        leases: Leases,
        *,
        encoder: str,
        max_attempts: int,
        lease_s: float,
        watcher: Watcher,
        shift_s: float = SHIFT_S,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pipeline = pipeline
        self._catalogue = catalogue
        self._leases = leases
        self._encoder = encoder
        self._max_attempts = max_attempts
        self._lease_s = lease_s
        self._watcher = watcher
        self._shift_s = shift_s
        self._wait = wait
        self._pauses = 0

    def take_in(self, ids: Collection[int]) -> None:
        """Take these in, then more of their runs."""
        deadline = time.monotonic() + self._shift_s
        for run_id in self._runs(ids):
            while not self._run(run_id, ids, deadline):
                if time.monotonic() > deadline:
                    return  # a sweep asks again

    def _runs(self, ids: Collection[int]) -> list[int]:
        runs = []
        for run_id in self._leases.runs_of(ids):
            wanted = self._leases.encoder_of(run_id)
            if wanted == self._encoder:
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
        if not self._work(run_id, self._fresh(run_id, ids, deadline)):
            return False
        while time.monotonic() < deadline:
            suspect = self._leases.claim_suspect(run_id)
            if suspect is None:
                break
            if suspect.attempts > self._max_attempts:
                self._park(suspect, f"it ended its worker {self._max_attempts} times")
            elif not self._work(run_id, iter([[suspect]])):
                return False
        return True

    def _fresh(
        self, run_id: int, ids: Collection[int], deadline: float
    ) -> Iterator[list[LeasedSource]]:
        yield self._leases.claim(run_id, limit=len(ids), ids=ids)
        while time.monotonic() < deadline:
            found = self._leases.claim(run_id, limit=CLAIM)
            if not found:
                return
            yield found

    def _work(self, run_id: int, groups: Iterator[list[LeasedSource]]) -> bool:
        """Take groups in together; False if an engine refused and it is worth trying again."""
        ledger = Ledger(self._leases, self._watcher)

        def sources() -> Iterator[PhotoSource]:
            for group in groups:
                ledger.take(group)
                for leased in group:
                    claims = claims_from_json(leased.claims)
                    yield PhotoSource(leased.uri, path_of(leased.uri), claims)

        start = time.monotonic()
        try:
            with self._renewing(ledger):
                report = self._pipeline.work(sources(), run_id=run_id, observer=ledger)
        except (StorageFull, StoreError, CatalogueError, BrokerError) as error:
            self._pause(ledger, error)
            return False
        except Exception as error:  # a defect that some photo brings out: find out which
            self._suspect(ledger, error)
            return True
        self._pauses = 0
        if report.scanned:
            logger.info(
                "%d photos in %.1f s: %d indexed, %d failed", report.scanned,
                time.monotonic() - start, report.indexed, report.failed, extra={"run": run_id},
            )  # fmt: skip
        return True

    def _pause(self, ledger: Ledger, error: Exception) -> None:
        """Wait for an engine; nothing that was in hand is to blame."""
        while True:
            seconds = PAUSES_S[min(self._pauses, len(PAUSES_S) - 1)]
            self._pauses += 1
            self._watcher.failed(type(error).__name__)
            logger.warning("%s; trying again in %.1f s", error, seconds)
            self._wait(seconds)
            try:
                self._leases.release(ledger.ids(), forgive=True)
            except (CatalogueError, StorageFull) as again:
                error = again
            else:
                return

    def _suspect(self, ledger: Ledger, error: Exception) -> None:
        """Have what was in hand read alone; the one that was read alone is told from the others."""
        self._watcher.failed(type(error).__name__)
        in_hand = list(ledger.held.values())
        logger.exception("taking in failed", extra={"photos": [source.id for source in in_hand]})
        given_up = len(in_hand) == 1 and in_hand[0].attempts >= self._max_attempts
        if given_up:
            reason = f"it failed {self._max_attempts} times: {type(error).__name__}: {error}"
            self._park(in_hand[0], reason)
        else:
            self._leases.release(ledger.ids(), forgive=False)

    def _park(self, source: LeasedSource, reason: str) -> None:
        """Give a source up; first its photo, then its place in the queue."""
        logger.error(
            "%s is given up: %s", source.uri, reason,
            extra={"run": source.run_id, "photo": source.id},
        )  # fmt: skip
        known = self._catalogue.known_sources(
            [source.uri], encoder=self._encoder, run_id=source.run_id
        )
        photo = known[source.uri].photo if source.uri in known else None
        if photo is None:
            self._catalogue.refuse_source(source.uri, reason, run_id=source.run_id)
        elif photo.draft.state is not PhotoState.INDEXED:
            self._catalogue.mark_failed({photo.draft.id: reason})
        self._leases.finish({source.id: Ending(str(Outcome.FAIL), reason)})
        self._watcher.ended(str(Outcome.FAIL), 1)

    @contextmanager
    def _renewing(self, ledger: Ledger) -> Iterator[None]:
        """Say now and then that this worker is alive, while the block runs."""
        done = threading.Event()

        def renew() -> None:
            while not done.wait(self._lease_s / 4.0):
                try:
                    self._leases.renew(ledger.ids())
                except CatalogueError as error:
                    logger.warning("cannot renew leases: %s", error)

        thread = threading.Thread(target=renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
