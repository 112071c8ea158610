"""Last stage: one thread that encodes and writes the index, in batches, as decoding delivers.

The catalogue is told `embedded` after a point is written and `indexed` after it is durable.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.catalogue.drafts import PhotoDraft
from geosearch.errors import UnreadableImage
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.parts import Observer, Parts, Pixels, Settled, timing
from geosearch.store.base import PointPayload, VectorPoint


@dataclass(frozen=True, slots=True)
class Work:
    """A recorded photo on its way into the index; no pixels when only its facts changed."""

    draft: PhotoDraft
    uri: str
    outcome: Outcome
    pixels: Future[Pixels] | None


class Indexer:
    """The one thread that encodes and writes the index.

    Args:
        parts: engines and sizes.
        count: told the outcome of each source as soon as it is known.
        observer: told once that is durable.
    """

    def __init__(
        self, parts: Parts, count: Callable[[Outcome, str, str | None], None], observer: Observer
    ) -> None:
        self._parts = parts
        self._count = count
        self._observer = observer
        self._batch_size = parts.options.batch_size
        # Enough decoded photos to keep the encoder busy, few enough to bound memory.
        self._work: queue.Queue[Work | None] = queue.Queue(
            maxsize=4 * self._batch_size + 4 * parts.options.threads
        )
        self._batch: list[tuple[Work, Pixels]] = []
        self._updates: list[Work] = []
        self._unconfirmed: dict[UUID, Work] = {}
        self._wrote = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="index", daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Queue work; waits while the queue is full."""
        self._work.put(work)

    def check(self) -> None:
        """Raise what stopped the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def stop(self, *, raise_failure: bool) -> None:
        """Finish everything queued and confirm it."""
        self._work.put(None)
        self._thread.join()
        if raise_failure:
            self.check()

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            if self._failure is None:
                self._guard(self._take, work)
        if self._failure is None:
            self._guard(self._finish)

    def _guard(self, step: Callable[..., None], *arguments: Work) -> None:
        try:
            step(*arguments)
        except BaseException as error:  # handed to the thread that waits, which raises it
            self._failure = error

    def _take(self, work: Work) -> None:
        if work.pixels is None:
            self._updates.append(work)
            if len(self._updates) >= self._batch_size:
                self._update()
            return
        try:
            pixels = work.pixels.result()
        except UnreadableImage as error:
            self._fail(work, str(error))
            return
        if work.outcome is Outcome.UNLABELLED:
            self._count(Outcome.UNLABELLED, work.uri, None)
            self._observer.settled([Settled(work.uri, Outcome.UNLABELLED)])
            return
        self._batch.append((work, pixels))
        if len(self._batch) >= self._batch_size:
            self._encode()
        if len(self._unconfirmed) >= self._parts.options.checkpoint_photos:
            self._confirm()

    def _fail(self, work: Work, reason: str) -> None:
        self._parts.catalogue.mark_failed({work.draft.id: reason})
        self._count(Outcome.FAIL, work.uri, reason)
        self._observer.settled([Settled(work.uri, Outcome.FAIL, reason)])

    def _encode(self) -> None:
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self._parts.give_way()
        with timing(self._observer, "encode", len(batch)):
            vectors = self._parts.encoder.encode([pixels for _, pixels in batch])
        points = []
        written = []
        for (work, _), vector in zip(batch, vectors, strict=True):
            if is_usable(vector):
                points.append(VectorPoint(work.draft.id, vector, payload_of(work.draft)))
                written.append(work)
            else:
                # Of one photo alone; a store would refuse the whole batch for it.
                self._fail(work, "the encoder gave no finite vector for it")
        if not points:
            return
        with timing(self._observer, "upsert", len(points)):
            self._parts.store.upsert(points)
        with timing(self._observer, "mark", len(points)):
            self._parts.catalogue.mark_embedded(
                [point.id for point in points], encoder=self._parts.identity
            )
        self._settle(written)

    def _update(self) -> None:
        if not self._updates:
            return
        self._parts.store.set_payload(
            {work.draft.id: payload_of(work.draft) for work in self._updates}
        )
        self._settle(self._updates)
        self._updates = []

    def _settle(self, written: list[Work]) -> None:
        self._wrote = True
        self._unconfirmed.update((work.draft.id, work) for work in written)
        for work in written:
            self._count(work.outcome, work.uri, None)

    def _confirm(self) -> None:
        if not self._unconfirmed:
            return
        confirmed, self._unconfirmed = self._unconfirmed, {}
        self._parts.store.flush()
        ids = agreed(self._parts, {i: payload_of(work.draft) for i, work in confirmed.items()})
        with timing(self._observer, "mark", len(ids)):
            self._parts.catalogue.mark_indexed(ids, encoder=self._parts.identity)
        self._observer.settled([Settled(work.uri, work.outcome) for work in confirmed.values()])

    def _finish(self) -> None:
        self._encode()
        self._update()
        self._confirm()
        if self._wrote and self._parts.options.optimizes:
            self._parts.store.optimize()


def agreed(parts: Parts, written: dict[UUID, PointPayload]) -> set[UUID]:
    """Make the index say of these photos what the record says, and return those with a label.

    Another process may have recorded newer facts of the same bytes while this one wrote older ones
    to the index. Who writes the index reads the record afterwards, so the last word recorded is
    also the last one written: whoever recorded it writes it later, or it is seen here.
    """
    while True:
        known = parts.catalogue.known_photos(written, encoder=parts.identity, run_id=0)
        recorded = {
            i: payload_of(photo.draft)
            for i, photo in known.items()
            if photo.draft.label is not None
        }
        newer = {i: payload for i, payload in recorded.items() if written.get(i) != payload}
        if not newer:
            return set(recorded)
        parts.store.set_payload(newer)
        parts.store.flush()
        written = {i: written[i] for i in recorded} | newer


def payload_of(photo: PhotoDraft) -> PointPayload:
    """What the index keeps of a labelled photo."""
    if photo.label is None:
        raise ValueError(f"photo {photo.id} has no label and so no place in the index")
    return PointPayload(
        coordinate=photo.label.coordinate,
        captured_at=photo.captured_at,
        dataset=photo.dataset,
        country=None if photo.place is None else photo.place.country,
        author=photo.author,
    )


def is_usable(vector: NDArray[np.float32]) -> bool:
    """Whether a store takes a vector: finite, and not zero."""
    return bool(np.isfinite(vector).all() and np.any(vector))
