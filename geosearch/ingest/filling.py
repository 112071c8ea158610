"""Puts photos of the record into one index, beside the one in use or not; changes no photo.

Recorded facts go in as they are. A photo is said to be in the index once its point is durable, so a
killed fill is taken up where it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

import numpy as np

from geosearch.catalogue.audit import Audit
from geosearch.catalogue.drafts import PhotoDraft
from geosearch.catalogue.indexes import Indexes
from geosearch.closing import Closing
from geosearch.errors import UnreadableImage
from geosearch.ingest.indexing import is_usable, payload_of
from geosearch.ingest.parts import Parts, Pixels
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.reconcile import expected_payload, same_facts
from geosearch.ingest.sources import PhotoSource, SourceUnreadable, path_of
from geosearch.records import PhotoState
from geosearch.store.base import VectorPoint, batched

PAGE = 256
CHECKPOINT_PHOTOS = 512
"""Photos between two confirmations; syncing so many takes a tenth of a second."""

_LABELLED = frozenset({PhotoState.PENDING, PhotoState.EMBEDDED, PhotoState.INDEXED})


@dataclass(slots=True)
class FillCounts:
    """What a filler did; `left_out` says of photos that cannot be in the index why."""

    indexed: int = 0
    updated: int = 0
    removed: int = 0
    left_out: dict[UUID, tuple[str, str]] = field(default_factory=dict)


class Filler(Closing):
    """Fills one index; used by one thread at a time.

    Args:
        parts: the catalogue, and store and encoder of the index.
        indexes: where its backlog is.
        audit: where photos are taken off it.
        progress: told how many photos were looked at since the last call.
    """

    def __init__(
        self,
        parts: Parts,
        indexes: Indexes,
        audit: Audit,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._parts = parts
        self._indexes = indexes
        self._audit = audit
        self._progress = progress
        self._reader = PhotoReader(parts.options.limits)
        self._pool = ThreadPoolExecutor(parts.options.threads, thread_name_prefix="fill")
        self.counts = FillCounts()

    def close(self) -> None:
        """Let go of threads and connections."""
        self._pool.shutdown(cancel_futures=True)
        self._reader.close()

    def fill(self) -> None:
        """Put in every indexed photo that is missing; what changes meanwhile is in the backlog.

        Raises:
            StorageFull, StoreError, CatalogueError: an engine refused; the same call goes on.
        """
        self._put_in(self._missing())

    def check(self) -> None:
        """Make an index that was filled before agree with the record, in both directions.

        Raises:
            StorageFull, StoreError, CatalogueError: an engine refused; the same call goes on.
        """
        parts, encoder = self._parts, self._parts.identity
        points = parts.store.scroll()
        while some := list(islice(points, 1000)):
            rows = self._audit.find([hit.id for hit in some], encoder=encoder)
            wanted = {i: p for i, row in rows.items() if (p := expected_payload(row)) is not None}
            self._remove({hit.id for hit in some} - wanted.keys())
            stale = {
                hit.id: wanted[hit.id]
                for hit in some
                if hit.id in wanted and not same_facts(hit.payload, wanted[hit.id])
            }
            if stale:
                parts.store.set_payload(stale)
                parts.store.flush()
                self.counts.updated += len(stale)
            unrecorded = {i for i in wanted if not rows[i].is_embedded}
            if unrecorded:
                self._indexes.mark_filled(unrecorded, encoder=encoder)
        after: UUID | None = None
        while ids := self._indexes.embedded(encoder, after=after):
            after = ids[-1]
            if lost := set(ids) - parts.store.existing(ids):
                self._audit.forget_embeddings(lost, encoder=encoder)

    def catch_up(self, *, forgets_unreadable: bool = False) -> None:
        """Let the index see every change in its backlog.

        Args:
            forgets_unreadable: whether changes of photos that cannot be read leave the backlog.

        Raises:
            StorageFull, StoreError, CatalogueError: an engine refused; the same call goes on.
        """
        encoder, after = self._parts.identity, 0
        while changes := self._indexes.backlog(encoder, after=after, limit=PAGE):
            after = changes[-1][0]
            self._see({photo_id for _, photo_id in changes})
            self._indexes.caught_up(
                encoder,
                [
                    serial
                    for serial, photo_id in changes
                    if forgets_unreadable or photo_id not in self.counts.left_out
                ],
            )

    def _see(self, ids: set[UUID]) -> None:
        parts = self._parts
        known = parts.catalogue.known_photos(ids, encoder=parts.identity, run_id=0)
        labelled = {
            i: photo
            for i, photo in known.items()
            if photo.draft.state in _LABELLED and photo.draft.label is not None
        }
        self._remove(ids - labelled.keys())
        present = parts.store.existing(labelled)
        if present:
            parts.store.set_payload({i: payload_of(labelled[i].draft) for i in present})
            parts.store.flush()
            self._indexes.mark_filled(present, encoder=parts.identity)
            self.counts.updated += len(present)
        # One that is still on its way comes again when it is indexed.
        self._put_in(
            photo.draft
            for i, photo in sorted(labelled.items())
            if i not in present and photo.draft.state is PhotoState.INDEXED
        )

    def _remove(self, ids: Collection[UUID]) -> None:
        present = self._parts.store.existing(ids)
        if present:
            self._parts.store.delete(present)
            self._parts.store.flush()
            self.counts.removed += len(present)
        self._audit.forget_embeddings(ids, encoder=self._parts.identity)

    def _missing(self) -> Iterator[PhotoDraft]:
        after: UUID | None = None
        catalogue, encoder = self._parts.catalogue, self._parts.identity
        while photos := catalogue.not_embedded(encoder=encoder, after=after, limit=PAGE):
            after = photos[-1].id
            yield from photos

    def _put_in(self, photos: Iterable[PhotoDraft]) -> None:
        """Read ahead with many threads; encode and write with this one."""
        batch: list[tuple[PhotoDraft, Pixels]] = []
        written: list[UUID] = []
        for photo, reading in self._read_ahead(photos):
            try:
                batch.append((photo, reading.result()))
            except (SourceUnreadable, UnreadableImage) as error:
                self._leave_out(photo, str(error))
            if len(batch) >= self._parts.options.batch_size:
                written += self._write(batch)
                batch = []
            if len(written) >= CHECKPOINT_PHOTOS:
                self._confirm(written)
                written = []
        written += self._write(batch)
        self._confirm(written)

    def _read_ahead(
        self, photos: Iterable[PhotoDraft]
    ) -> Iterator[tuple[PhotoDraft, Future[Pixels]]]:
        options = self._parts.options
        ahead: deque[tuple[PhotoDraft, Future[Pixels]]] = deque()
        for photo in photos:
            ahead.append((photo, self._pool.submit(self._pixels, photo)))
            if len(ahead) > 2 * options.batch_size + 2 * options.threads:
                yield ahead.popleft()
        yield from ahead

    def _pixels(self, photo: PhotoDraft) -> Pixels:
        content = self._reader.read(PhotoSource(photo.uri, path_of(photo.uri)))
        if content.sha256 != photo.sha256:
            raise SourceUnreadable("its file holds another photo now; take that in, and run again")
        return self._parts.encoder.prepare(content.data)

    def _write(self, batch: list[tuple[PhotoDraft, Pixels]]) -> list[UUID]:
        if not batch:
            return []
        vectors = self._parts.encoder.encode([pixels for _, pixels in batch])
        points = []
        for (photo, _), vector in zip(batch, vectors, strict=True):
            if is_usable(vector):
                points.append(VectorPoint(photo.id, vector.astype(np.float32), payload_of(photo)))
            else:
                self._leave_out(photo, "the encoder gave no finite vector for it")
        self._parts.store.upsert(points)
        self._tell(len(points))
        return [point.id for point in points]

    def _confirm(self, written: list[UUID]) -> None:
        if not written:
            return
        self._parts.store.flush()
        for some in batched(written):
            self._indexes.mark_filled(some, encoder=self._parts.identity)
        self.counts.indexed += len(written)
        for photo_id in written:
            self.counts.left_out.pop(photo_id, None)

    def _leave_out(self, photo: PhotoDraft, reason: str) -> None:
        self.counts.left_out[photo.id] = (photo.uri, reason)
        self._tell(1)

    def _tell(self, photos: int) -> None:
        if self._progress is not None:
            self._progress(photos)
