"""One ingest run: read, record, decode, encode, index, in that order and all at once.

The catalogue is written first and the index second; a photo counts as indexed only after the
index has confirmed it. So a run may die at any moment and the same command finishes the job.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.catalogue.repository import (
    Catalogue,
    KnownPhoto,
    KnownSource,
    PhotoDraft,
    SourceDraft,
)
from geosearch.errors import UnreadableImage
from geosearch.geo import Coordinate
from geosearch.ingest.decisions import Decision, Outcome, decide_known, decide_new
from geosearch.ingest.reader import PhotoReader, ReadLimits
from geosearch.ingest.sources import (
    BadSource,
    Content,
    PhotoSource,
    SourceUnreadable,
    path_of,
    signature_of_source,
)
from geosearch.records import IngestError, IngestReport, PhotoState, Place, photo_id
from geosearch.store.base import PointPayload, VectorPoint, VectorStore

logger = logging.getLogger(__name__)

Progress = Callable[[IngestReport], None]
Pixels = NDArray[np.uint8]

CHUNK_SOURCES = 32
"""Sources that are recorded in one transaction."""

CHUNK_BYTES = 128_000_000
"""Files of a chunk wait in memory together; large ones make the chunk shorter."""

CHECKPOINT_PHOTOS = 2048
"""Photos between two confirmations by the index (a sync to disk)."""

MAX_ERRORS = 10_000
"""Reasons kept in a report; the catalogue keeps all."""


class PhotoEncoder(Protocol):
    """What the pipeline needs of `encoder.embedder.Embedder`."""

    def prepare(self, data: bytes) -> Pixels:
        """Bytes of an image file to pixels (size, size, 3); raises UnreadableImage."""

    def encode(self, pixels: list[Pixels]) -> NDArray[np.float32]:
        """Pixels of n photos to vectors (n, dim)."""


PlaceLookup = Callable[[list[Coordinate]], list[Place | None]]


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Sizes and limits; `threads` read and decode, `batch_size` photos are encoded together."""

    threads: int = 2
    batch_size: int = 32
    limits: ReadLimits = ReadLimits()


@dataclass(frozen=True, slots=True)
class _Looked:
    """A source after a look at its file: unchanged since `known`, impossible, or to be read."""

    source: PhotoSource
    known: KnownPhoto | None = None
    problem: str | None = None


class Pipeline:
    """Takes photos in; one run at a time.

    Args:
        catalogue: the record.
        store: the index of `identity`.
        encoder: makes the vectors.
        identity: the encoder identity as text.
        places: names of coordinates, None where there is no place near.
        options: sizes and limits.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        store: VectorStore,
        encoder: PhotoEncoder,
        *,
        identity: str,
        places: PlaceLookup,
        options: PipelineOptions = PipelineOptions(),  # frozen
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._encoder = encoder
        self._identity = identity
        self._places = places
        self._options = options

    def run(
        self,
        sources: Iterable[PhotoSource | BadSource],
        *,
        inputs: Mapping[str, Any],
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Take in every source; each ends in exactly one count of the report.

        Args:
            sources: photos to take in, and entries that name none.
            inputs: what the run is recorded to have been asked for.
            dry_run: only say what would happen; pixels are not decoded.
            progress: called after each chunk, in this thread.

        Raises:
            StorageFull: no room left; what is recorded stays and the same call goes on.
            CatalogueError, StoreError: an engine refused.
        """
        start = time.monotonic()
        if dry_run:
            run_id = 0  # the ids of runs begin with 1
        else:
            self._recover()
            run_id = self._catalogue.begin_run(self._identity, inputs)
        run = _Run(self, run_id, dry_run=dry_run, progress=progress)
        report = run.take(sources)
        report.seconds = time.monotonic() - start
        if not dry_run:
            self._catalogue.finish_run(run_id, report)
        return report

    def retry(self, *, failed: bool, progress: Progress | None = None) -> IngestReport:
        """Take in again what earlier runs left pending, and with `failed` what they gave up."""
        states = [PhotoState.PENDING, PhotoState.FAILED] if failed else [PhotoState.PENDING]
        return self.run(self._recorded(states), inputs={"retry": [*states]}, progress=progress)

    def reindex(self, *, progress: Progress | None = None) -> IngestReport:
        """Take in what the catalogue holds and the index of this encoder does not."""

        def missing() -> Iterator[PhotoSource]:
            after: UUID | None = None
            while photos := self._catalogue.not_embedded(encoder=self._identity, after=after):
                after = photos[-1].id
                yield from (PhotoSource(photo.uri, path_of(photo.uri)) for photo in photos)

        return self.run(missing(), inputs={"reindex": self._identity}, progress=progress)

    def _recorded(self, states: list[PhotoState]) -> Iterator[PhotoSource]:
        after: UUID | None = None
        while photos := self._catalogue.unfinished(states, after=after):
            after = photos[-1].id
            # The signature would say "unchanged, and failed": forget it.
            self._catalogue.forget_signatures([photo.uri for photo in photos])
            yield from (PhotoSource(photo.uri, path_of(photo.uri)) for photo in photos)

    def _recover(self) -> None:
        """Mend what a killed run left between catalogue and index."""
        while photos := self._catalogue.unfinished([PhotoState.EMBEDDED]):
            present = self._store.existing({photo.id for photo in photos})
            written = [photo for photo in photos if photo.id in present]
            if written:
                self._store.set_payload({photo.id: _payload(photo) for photo in written})
                self._store.flush()
                self._catalogue.mark_indexed({photo.id for photo in written})
            lost = {photo.id for photo in photos} - present
            if lost:
                self._catalogue.mark_pending(lost, encoder=self._identity)


class _Run:
    """The moving parts of one run: readers, this thread that records, one thread that indexes."""

    def __init__(
        self, pipeline: Pipeline, run_id: int, *, dry_run: bool, progress: Progress | None
    ) -> None:
        self._p = pipeline
        self._options = pipeline._options
        self._run_id = run_id
        self._dry_run = dry_run
        self._progress = progress
        self._report = IngestReport()
        self._lock = threading.Lock()  # the report is counted by two threads
        # Photos of the last chunks: the record was asked about the next one before it knew them.
        self._recent: OrderedDict[UUID, None] = OrderedDict()
        self._pool = ThreadPoolExecutor(self._options.threads, thread_name_prefix="decode")
        self._reader = PhotoReader(pipeline._options.limits)
        self._indexer = _Indexer(pipeline, self._count)

    def take(self, sources: Iterable[PhotoSource | BadSource]) -> IngestReport:
        """Work through all sources, reading one chunk ahead of recording."""
        with self._reader:
            return self._take(sources)

    def _take(self, sources: Iterable[PhotoSource | BadSource]) -> IngestReport:
        self._indexer.start()
        try:
            ahead: list[tuple[_Looked, Future[Content] | None]] = []
            for chunk in self._chunks(sources):
                # Reads of this chunk queue up before the decoding of the last one does.
                reading = [self._start_reading(looked) for looked in chunk]
                self._finish_chunk(ahead)
                ahead = reading
            self._finish_chunk(ahead)
        except BaseException:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._indexer.stop(raise_failure=False)
            raise
        self._indexer.stop(raise_failure=True)
        self._pool.shutdown(wait=True)
        self._tell()
        return self._report

    def _chunks(self, sources: Iterable[PhotoSource | BadSource]) -> Iterator[list[_Looked]]:
        """Sources in groups, each looked up in the record in one go."""
        group: list[PhotoSource] = []
        size = 0
        for source in sources:
            with self._lock:
                self._report.scanned += 1
            if isinstance(source, BadSource):
                self._refuse(source.uri, source.reason)
                continue
            group.append(source)
            size += _size(source)
            if len(group) >= CHUNK_SOURCES or size >= CHUNK_BYTES:
                yield self._look_up(group)
                group, size = [], 0
        if group:
            yield self._look_up(group)

    def _look_up(self, group: list[PhotoSource]) -> list[_Looked]:
        known = self._p._catalogue.known_sources(
            [source.uri for source in group], encoder=self._p._identity, run_id=self._run_id
        )
        return [self._look(source, known.get(source.uri)) for source in group]

    def _look(self, source: PhotoSource, known: KnownSource | None) -> _Looked:
        try:
            signature = signature_of_source(source)
        except SourceUnreadable as error:
            return _Looked(source, problem=str(error))
        if known is None or known.photo is None or signature is None:
            return _Looked(source)
        if known.signature != signature:
            return _Looked(source)
        if decide_known(source, known.photo, None).outcome is Outcome.ENCODE:
            return _Looked(source)  # what is to be encoded has to be read, changed or not
        return _Looked(source, known.photo)

    def _start_reading(self, looked: _Looked) -> tuple[_Looked, Future[Content] | None]:
        if looked.known is not None or looked.problem is not None:
            return looked, None
        return looked, self._pool.submit(self._reader.read, looked.source)

    def _finish_chunk(self, chunk: list[tuple[_Looked, Future[Content] | None]]) -> None:
        """Decide about a chunk, record it, and only then hand it to the indexer."""
        if not chunk:
            return
        read: list[tuple[_Looked, Content | None]] = []
        for looked, future in chunk:
            try:
                if looked.problem is not None:
                    raise SourceUnreadable(looked.problem)
                read.append((looked, None if future is None else future.result()))
            except SourceUnreadable as error:
                self._refuse(looked.source.uri, str(error))
        decisions = self._decide(read)
        decisions = self._named(decisions)
        self._record(decisions)
        for looked, content, decision in decisions:
            self._dispatch(looked.source, content, decision)
        self._indexer.check()
        self._tell()

    def _decide(
        self, read: list[tuple[_Looked, Content | None]]
    ) -> list[tuple[_Looked, Content | None, Decision]]:
        by_content = self._p._catalogue.known_photos(
            {photo_id(content.sha256) for _, content in read if content is not None},
            encoder=self._p._identity,
            run_id=self._run_id,
        )
        decisions = []
        for looked, content in read:
            if content is not None:
                identity = photo_id(content.sha256)
                known = by_content.get(identity)
            elif looked.known is not None:
                identity, known = looked.known.draft.id, looked.known
            else:
                raise AssertionError("a source is either read or known")
            if identity in self._recent:
                decision = Decision(Outcome.DUPLICATE)
            elif known is not None:
                decision = decide_known(looked.source, known, content)
            elif content is not None:
                decision = decide_new(looked.source, content)
            self._recent[identity] = None
            decisions.append((looked, content, decision))
        while len(self._recent) > 4 * CHUNK_SOURCES:
            self._recent.popitem(last=False)
        return decisions

    def _named(
        self, decisions: list[tuple[_Looked, Content | None, Decision]]
    ) -> list[tuple[_Looked, Content | None, Decision]]:
        """Place names for the labels that are about to be written."""
        coordinates = [
            decision.draft.label.coordinate
            for _, _, decision in decisions
            if decision.draft is not None and decision.draft.label is not None
        ]
        names = iter(self._p._places(coordinates) if coordinates else [])
        return [
            (looked, content, replace(decision, draft=replace(decision.draft, place=next(names))))
            if decision.draft is not None and decision.draft.label is not None
            else (looked, content, decision)
            for looked, content, decision in decisions
        ]

    def _record(self, decisions: list[tuple[_Looked, Content | None, Decision]]) -> None:
        if self._dry_run:
            return
        drafts = {d.draft.id: d.draft for _, _, d in decisions if d.draft is not None}
        sources = [
            SourceDraft(looked.source.uri, content.signature, photo_id(content.sha256))
            for looked, content, _ in decisions
            if content is not None
        ]
        unchanged = [looked.source.uri for looked, content, _ in decisions if content is None]
        self._p._catalogue.record(list(drafts.values()), sources, run_id=self._run_id)
        if unchanged:
            self._p._catalogue.touch_sources(unchanged, run_id=self._run_id)

    def _dispatch(self, source: PhotoSource, content: Content | None, decision: Decision) -> None:
        """Count what is settled; send to the indexer what is not."""
        draft = decision.draft
        if self._dry_run or draft is None:
            self._count(decision.outcome, source.uri, decision.reason)
        elif decision.outcome is Outcome.UPDATE:
            self._indexer.submit(_Work(draft, source.uri, Outcome.UPDATE, None))
        elif content is not None and decision.outcome in (Outcome.ENCODE, Outcome.UNLABELLED):
            # What has no label is decoded too: a broken file must not pass for a photo.
            pixels = self._pool.submit(self._p._encoder.prepare, content.data)
            self._indexer.submit(_Work(draft, source.uri, decision.outcome, pixels))
        else:
            self._count(decision.outcome, source.uri, decision.reason)

    def _refuse(self, uri: str, reason: str) -> None:
        self._count(Outcome.FAIL, uri, reason)
        if not self._dry_run:
            self._p._catalogue.refuse_source(uri, reason, run_id=self._run_id)

    def _count(self, outcome: Outcome, uri: str, reason: str | None = None) -> None:
        with self._lock:
            report = self._report
            setattr(report, outcome, getattr(report, outcome) + 1)
            if outcome is Outcome.FAIL and len(report.errors) < MAX_ERRORS:
                report.errors.append(IngestError(uri, reason or "failed before"))

    def _tell(self) -> None:
        if self._progress is not None:
            with self._lock:
                snapshot = replace(self._report, errors=[])
            self._progress(snapshot)


@dataclass(frozen=True, slots=True)
class _Work:
    """A recorded photo on its way into the index; no pixels when only its facts changed."""

    draft: PhotoDraft
    uri: str
    outcome: Outcome
    pixels: Future[Pixels] | None


class _Indexer:
    """The one thread that encodes and writes the index, in batches, as decoding delivers."""

    def __init__(
        self, pipeline: Pipeline, count: Callable[[Outcome, str, str | None], None]
    ) -> None:
        self._p = pipeline
        self._count = count
        self._batch_size = pipeline._options.batch_size
        # Enough decoded photos to keep the encoder busy, few enough to bound memory.
        self._work: queue.Queue[_Work | None] = queue.Queue(
            maxsize=4 * self._batch_size + 4 * pipeline._options.threads
        )
        self._batch: list[tuple[_Work, Pixels]] = []
        self._updates: list[_Work] = []
        self._unconfirmed: set[UUID] = set()
        self._wrote = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._loop, name="index", daemon=True)

    def start(self) -> None:
        """Begin to take work."""
        self._thread.start()

    def submit(self, work: _Work) -> None:
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

    def _guard(self, step: Callable[..., None], *arguments: _Work) -> None:
        try:
            step(*arguments)
        except BaseException as error:  # handed to the thread that waits, which raises it
            self._failure = error

    def _take(self, work: _Work) -> None:
        if work.pixels is None:
            self._updates.append(work)
            if len(self._updates) >= self._batch_size:
                self._update()
            return
        try:
            pixels = work.pixels.result()
        except UnreadableImage as error:
            self._p._catalogue.mark_failed({work.draft.id: str(error)})
            self._count(Outcome.FAIL, work.uri, str(error))
            return
        if work.outcome is Outcome.UNLABELLED:
            self._count(Outcome.UNLABELLED, work.uri, None)
            return
        self._batch.append((work, pixels))
        if len(self._batch) >= self._batch_size:
            self._encode()
        if len(self._unconfirmed) >= CHECKPOINT_PHOTOS:
            self._confirm()

    def _encode(self) -> None:
        if not self._batch:
            return
        vectors = self._p._encoder.encode([pixels for _, pixels in self._batch])
        self._p._store.upsert(
            [
                VectorPoint(work.draft.id, vector, _payload(work.draft))
                for (work, _), vector in zip(self._batch, vectors, strict=True)
            ]
        )
        ids = {work.draft.id for work, _ in self._batch}
        self._p._catalogue.mark_embedded(ids, encoder=self._p._identity)
        self._settle([work for work, _ in self._batch])
        self._batch = []

    def _update(self) -> None:
        if not self._updates:
            return
        self._p._store.set_payload({work.draft.id: _payload(work.draft) for work in self._updates})
        self._settle(self._updates)
        self._updates = []

    def _settle(self, written: list[_Work]) -> None:
        self._wrote = True
        self._unconfirmed.update(work.draft.id for work in written)
        for work in written:
            self._count(work.outcome, work.uri, None)

    def _confirm(self) -> None:
        if self._unconfirmed:
            self._p._store.flush()
            self._p._catalogue.mark_indexed(self._unconfirmed)
            self._unconfirmed = set()

    def _finish(self) -> None:
        self._encode()
        self._update()
        self._confirm()
        if self._wrote:
            self._p._store.optimize()


def _payload(photo: PhotoDraft) -> PointPayload:
    if photo.label is None:
        raise ValueError(f"photo {photo.id} has no label and so no place in the index")
    return PointPayload(
        coordinate=photo.label.coordinate,
        captured_at=photo.captured_at,
        dataset=photo.dataset,
        country=None if photo.place is None else photo.place.country,
        author=photo.author,
    )


def _size(source: PhotoSource) -> int:
    try:
        return 8_000_000 if source.path is None else source.path.stat().st_size
    except OSError:
        return 0  # reading it will say why
