"""Fills the index of another encoder beside the one in use, and switches to it when it is whole.

Killed at any moment, the same call goes on. Searches and ingests go on meanwhile, here and in other
processes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial

from geosearch.client.encoders import choice_of
from geosearch.errors import HomeLocked, IdentityMismatch
from geosearch.ingest.filling import Filler
from geosearch.records import EncoderChoice, IndexRecord, IngestError, ReindexReport
from geosearch.services import Services
from geosearch.serving.opened import OpenIndex
from geosearch.serving.opener import index_record

logger = logging.getLogger(__name__)

MAX_ERRORS = 10_000
"""Reasons kept in a report."""

BUILDER_WAIT_S = 900.0
"""How long to wait for the builder of a graph that outlived the reindex that started it."""

Progress = Callable[[int, int], None]


def reindex(
    services: Services,
    *,
    encoder: str | None = None,
    switch: bool = True,
    leave_out_unreadable: bool = False,
    progress: Progress | None = None,
) -> ReindexReport:
    """Put every indexed photo into the index of an encoder, then search with that one.

    Args:
        services: whose collection; searches of this process move with the switch.
        encoder: trained heads or an index, by name or the beginning of one; None for the encoder
            that is chosen (`geosearch encoders activate`, GEOSEARCH_ENCODER).
        switch: make it the index in use at the end.
        leave_out_unreadable: switch also if photos cannot be read any more.
        progress: told photos done and to do.

    Raises:
        ConfigError: no such encoder, or several.
        CatalogueError: somebody fills this index already, or the catalogue refused.
        StoreError, StorageFull: the index refused; the same call goes on.
    """
    start = time.monotonic()
    choice = services.opener.wanted if encoder is None else choice_of(services, encoder)
    active = services.indexes.active()
    report = None
    if active is not None and active.choice == choice:
        with suppress(IdentityMismatch):  # what the encoder gives now is of another index
            report = _complete(services, progress)
    if report is None:
        report = _Refill(services, choice, active, progress).run(
            switch=switch, leave_out_unreadable=leave_out_unreadable
        )
    report.seconds = time.monotonic() - start
    return report


def _complete(services: Services, progress: Progress | None) -> ReindexReport:
    """Make the index in use whole: what it lost is put in again."""
    with services.borrowed_index(is_current=True) as index:
        report = ReindexReport(index.identity, index.record.collection)
        with (
            services.indexes.reindexing(index.identity),
            _filler(services, index, report, progress) as filler,
        ):
            filler.check()
            filler.fill()
            filler.catch_up()
            if filler.counts.indexed:
                index.store.optimize()
            _tell(report, filler)
    return report


class _Refill:
    """One call that fills an index beside the one in use."""

    def __init__(
        self,
        services: Services,
        choice: EncoderChoice,
        active: IndexRecord | None,
        progress: Progress | None,
    ) -> None:
        self._services = services
        self._active = active
        self._progress = progress
        self._embedder = services.opener.load(choice)
        self._record = index_record(self._embedder.identity, choice)

    def run(self, *, switch: bool, leave_out_unreadable: bool) -> ReindexReport:
        services, record = self._services, self._record
        report = ReindexReport(record.encoder, record.collection)
        with services.indexes.reindexing(record.encoder), ExitStack() as owned:
            services.indexes.begin(record)
            index = self._open()
            owned.callback(index.close)
            with _filler(services, index, report, self._progress) as filler:
                filler.check()
                filler.fill()
                filler.catch_up()
                index.store.build_apart()
                if switch and self._switch(index, filler, leave_out_unreadable):
                    owned.pop_all()  # who has it now closes it
                    report.switched = True
                    report.previous = None if self._active is None else self._active.encoder
                _tell(report, filler)
        return report

    def _open(self) -> OpenIndex:
        end = time.monotonic() + BUILDER_WAIT_S
        while True:
            try:
                return self._services.opener.open(self._record, self._embedder)
            except HomeLocked:
                if time.monotonic() > end:
                    raise
                logger.warning("waiting for another process that has the new index open")
                time.sleep(1.0)

    def _switch(self, index: OpenIndex, filler: Filler, leave_out_unreadable: bool) -> bool:
        services, encoder = self._services, self._record.encoder
        while True:
            filler.catch_up()
            left_out = filler.counts.left_out
            if left_out and not leave_out_unreadable:
                logger.warning(
                    "%d photos cannot be read and are not in the new index, so searches stay with "
                    "the old one; mend them and run geosearch reindex again, or switch without "
                    "them by --leave-out-unreadable",
                    len(left_out),
                )
                return False
            switch = partial(
                services.indexes.switch,
                encoder,
                besides=list(left_out),
                announce=index.store.take_alias,
            )
            # False: something changed between catching up and the lock.
            if services.hand_over(index, switch=switch):
                return True


def _filler(
    services: Services, index: OpenIndex, report: ReindexReport, progress: Progress | None
) -> Filler:
    counts = services.catalogue.counts()["indexed"]
    total = max(0, counts - services.catalogue.embedded_counts().get(index.identity, 0))

    def count(photos: int) -> None:
        report.scanned += photos
        if progress is not None:
            progress(report.scanned, max(total, report.scanned))

    return Filler(services.parts_of(index), services.indexes, services.audit, count)


def _tell(report: ReindexReport, filler: Filler) -> None:
    counts = filler.counts
    report.indexed, report.updated, report.removed = counts.indexed, counts.updated, counts.removed
    report.failed = len(counts.left_out)
    report.errors = [IngestError(uri, reason) for uri, reason in counts.left_out.values()]
    del report.errors[MAX_ERRORS:]
