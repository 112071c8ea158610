"""One ingest run: read, record, decode, encode, index, in that order and all at once.

The catalogue is written first and the index second; a photo counts as indexed only after the
index has confirmed it. So a run may die at any moment and the same command finishes the job. The
stages are in `arrivals`, `recording` and `indexing`; workers run the same ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

from geosearch.catalogue.repository import Catalogue
from geosearch.ingest.arrivals import Arrivals, Reading, chunks
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.indexing import Indexer, Work, agreed, payload_of
from geosearch.ingest.parts import (
    NoObserver,
    Observer,
    Parts,
    Pixels,
    Settled,
    timing,
)
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.recording import Decided, Recorder
from geosearch.ingest.sources import BadSource, PhotoSource, SourceUnreadable, path_of
from geosearch.records import IngestError, IngestReport, PhotoState

Progress = Callable[[IngestReport], None]

MAX_ERRORS = 10_000
"""Reasons kept in a report; the catalogue keeps all."""


class Pipeline:
    """Takes photos in; one run at a time.

    Args:
        parts: engines, encoder, sizes and limits.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def run(
        self,
        sources: Iterable[PhotoSource | BadSource],
        *,
        inputs: Mapping[str, Any],
        dry_run: bool = False,
        progress: Progress | None = None,
        observer: Observer | None = None,
    ) -> IngestReport:
        """Take in every source; each ends in exactly one count of the report.

        Args:
            sources: photos to take in, and entries that name none.
            inputs: what the run is recorded to have been asked for.
            dry_run: only say what would happen; pixels are not decoded.
            progress: called after each chunk, in this thread.
            observer: told what became of each source.

        Raises:
            StorageFull: no room left; what is recorded stays and the same call goes on.
            CatalogueError, StoreError: an engine refused.
        """
        start = time.monotonic()
        catalogue = self._parts.catalogue
        if dry_run:
            run_id = 0  # the ids of runs begin with 1
        else:
            self.settle()
            run_id = catalogue.begin_run(self._parts.identity, inputs)
        report = self.work(
            sources, run_id=run_id, dry_run=dry_run, progress=progress, observer=observer
        )
        report.seconds = time.monotonic() - start
        if not dry_run:
            catalogue.finish_run(run_id, report)
        return report

    def work(
        self,
        sources: Iterable[PhotoSource | BadSource],
        *,
        run_id: int,
        dry_run: bool = False,
        progress: Progress | None = None,
        observer: Observer | None = None,
    ) -> IngestReport:
        """Take in sources as a part of a run that is recorded already; raises as `run` does."""
        run = _Run(
            self._parts,
            run_id,
            dry_run=dry_run,
            progress=progress,
            observer=observer or NoObserver(),
        )
        return run.take(sources)

    def retry(self, *, failed: bool, progress: Progress | None = None) -> IngestReport:
        """Take in again what earlier runs left pending, and with `failed` what they gave up."""
        states = [PhotoState.PENDING, PhotoState.FAILED] if failed else [PhotoState.PENDING]
        return self.run(
            recorded_sources(self._parts.catalogue, states),
            inputs={"retry": [*states]},
            progress=progress,
        )

    def settle(self) -> None:
        """Mend what a killed run left between catalogue and index."""
        parts = self._parts
        while photos := parts.catalogue.unfinished([PhotoState.EMBEDDED]):
            present = parts.store.existing({photo.id for photo in photos})
            written = {photo.id: payload_of(photo) for photo in photos if photo.id in present}
            if written:
                parts.store.set_payload(written)
                parts.store.flush()
                parts.catalogue.mark_indexed(agreed(parts, written), encoder=parts.identity)
            lost = {photo.id for photo in photos} - present
            if lost:
                parts.catalogue.mark_pending(lost, encoder=parts.identity)


def recorded_sources(catalogue: Catalogue, states: list[PhotoState]) -> Iterator[PhotoSource]:
    """The recorded photos in these states, to be read again even if their files did not change."""
    after: UUID | None = None
    while photos := catalogue.unfinished(states, after=after):
        after = photos[-1].id
        # The signature would say "unchanged, and failed": forget it.
        catalogue.forget_signatures([photo.uri for photo in photos])
        yield from (PhotoSource(photo.uri, path_of(photo.uri)) for photo in photos)


class _Run:
    """The moving parts of one run: readers, this thread that records, one thread that indexes."""

    def __init__(
        self,
        parts: Parts,
        run_id: int,
        *,
        dry_run: bool,
        progress: Progress | None,
        observer: Observer,
    ) -> None:
        self._parts = parts
        self._dry_run = dry_run
        self._progress = progress
        self._observer = observer
        self._report = IngestReport()
        self._lock = threading.Lock()  # the report is counted by two threads
        self._pool = ThreadPoolExecutor(parts.options.threads, thread_name_prefix="decode")
        self._reader = PhotoReader(parts.options.limits)
        self._arrivals = Arrivals(parts, self._reader, self._pool, observer, run_id=run_id)
        self._recorder = Recorder(parts, observer, run_id=run_id, dry_run=dry_run)
        self._indexer = Indexer(parts, self._count, observer)

    def take(self, sources: Iterable[PhotoSource | BadSource]) -> IngestReport:
        """Work through all sources, reading one chunk ahead of recording."""
        with self._reader:
            return self._take(sources)

    def _take(self, sources: Iterable[PhotoSource | BadSource]) -> IngestReport:
        self._indexer.start()
        try:
            ahead: list[Reading] = []
            for chunk in chunks(self._photos(sources)):
                # Reads of this chunk queue up before the decoding of the last one does.
                reading = self._arrivals.start(chunk)
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

    def _photos(self, sources: Iterable[PhotoSource | BadSource]) -> Iterator[PhotoSource]:
        for source in sources:
            with self._lock:
                self._report.scanned += 1
            if isinstance(source, BadSource):
                self._observer.settled([self._refuse(source.uri, source.reason)])
            else:
                yield source

    def _finish_chunk(self, chunk: list[Reading]) -> None:
        """Decide about a chunk, record it, and only then hand it to the indexer."""
        if not chunk:
            return
        self._parts.give_way()
        read = []
        settled = []
        for look, future in chunk:
            try:
                if look.problem is not None:
                    raise SourceUnreadable(look.problem)
                read.append((look, None if future is None else future.result()))
            except SourceUnreadable as error:
                settled.append(self._refuse(look.source.uri, str(error)))
        for decided in self._recorder.record(read):
            done = self._dispatch(decided)
            if done is not None:
                settled.append(done)
        self._observer.settled(settled)
        self._indexer.check()
        self._tell()

    def _dispatch(self, decided: Decided) -> Settled | None:
        """Count what is settled; send to the indexer what is not."""
        source, content, decision = decided.source, decided.content, decided.decision
        draft = decision.draft
        is_done = self._dry_run or draft is None
        if draft is not None and not is_done:
            if decision.outcome is Outcome.UPDATE:
                self._indexer.submit(Work(draft, source.uri, Outcome.UPDATE, None))
                return None
            if content is not None and decision.outcome in (Outcome.ENCODE, Outcome.UNLABELLED):
                # What has no label is decoded too: a broken file must not pass for a photo.
                pixels = self._pool.submit(self._decode, content.data)
                self._indexer.submit(Work(draft, source.uri, decision.outcome, pixels))
                return None
        self._count(decision.outcome, source.uri, decision.reason)
        return Settled(source.uri, decision.outcome, decision.reason)

    def _decode(self, data: bytes) -> Pixels:
        self._parts.give_way()
        with timing(self._observer, "decode", 1):
            return self._parts.encoder.prepare(data)

    def _refuse(self, uri: str, reason: str) -> Settled:
        self._count(Outcome.FAIL, uri, reason)
        self._recorder.refuse(uri, reason)
        return Settled(uri, Outcome.FAIL, reason)

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
