"""`geosearch ingest` with a broker: register, commit, send, and wait until workers are done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from geosearch.ingest.pipeline import MAX_ERRORS, recorded_sources
from geosearch.ingest.registration import register
from geosearch.ingest.sources import BadSource, PhotoSource
from geosearch.records import IngestError, IngestReport, PhotoState
from geosearch.services import Services
from workers.broker import Broker

logger = logging.getLogger(__name__)

POLL_S = 0.5
SILENCE_S = 30.0
"""After so long without a photo being done, say that perhaps no worker is running."""

Progress = Callable[[IngestReport], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """A run whose photos are registered and sent; `report` holds what was known at that time."""

    run_id: int
    report: IngestReport


class Producer:
    """Gives photos to workers.

    Args:
        services: only the catalogue is opened, neither encoder nor index.
        broker: where messages go.
        wait: sleeps for so many seconds.
    """

    def __init__(
        self, services: Services, broker: Broker, *, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._services = services
        self._broker = broker
        self._wait = wait

    def send(
        self,
        sources: Iterable[PhotoSource | BadSource],
        *,
        inputs: Mapping[str, Any],
        progress: Progress | None = None,
    ) -> Sent:
        """Register sources and send them to workers, waiting while too many wait in the queue.

        Killed at any moment, the same call goes on: nothing is registered twice, and what was
        registered and not sent is sent by a worker's sweep.

        Raises:
            BrokerError, CatalogueError, StorageFull: one of them refused.
        """
        services = self._services
        services.intake  # noqa: B018  # the catalogue is opened, and a bad URL told, first
        run_id = services.catalogue.begin_run(services.encoder_name, inputs)
        return self._send(run_id, sources, services.encoder_name, progress)

    def retry(self, *, failed: bool, progress: Progress | None = None) -> Sent:
        """Send again what waits or was interrupted, and with `failed` what was given up."""
        services = self._services
        states = [PhotoState.PENDING, PhotoState.FAILED] if failed else [PhotoState.PENDING]
        run_id = services.catalogue.begin_run(services.encoder_name, {"retry": [*states]})
        while ids := services.runs.reopen(run_id, failed=failed):
            services.runs.add(run_id, scanned=len(ids))
            self._broker.enqueue(ids)
        # What was taken in without workers is not in the intake yet; the rest is, and counted.
        recorded = recorded_sources(services.catalogue, states)
        return self._send(run_id, recorded, f"retry {run_id}", progress, counts_known=False)

    def _send(
        self,
        run_id: int,
        sources: Iterable[PhotoSource | BadSource],
        purpose: str,
        progress: Progress | None,
        *,
        counts_known: bool = True,
    ) -> Sent:
        services = self._services
        batches = register(
            services.intake,
            services.catalogue,
            sources,
            run_id=run_id,
            purpose=purpose,
            queue_length=self._broker.photos_waiting,
            queue_limit=services.settings.queue_limit,
        )
        for batch in batches:
            handed_out, refused = len(batch.ids), len(batch.refused)
            known = batch.scanned - handed_out - refused if counts_known else 0
            services.runs.add(
                run_id, scanned=known + handed_out + refused, duplicates=known, failed=refused
            )
            self._broker.enqueue(batch.ids)
            if progress is not None:
                progress(self.report(run_id))
        services.runs.registered(run_id)
        services.runs.close_finished()
        return Sent(run_id, self.report(run_id))

    def follow(self, run_id: int, *, progress: Progress | None = None) -> IngestReport:
        """Wait until every photo of a run is done, and return its counts."""
        start = last_change = time.monotonic()
        before = -1
        while True:
            report = self.report(run_id)
            if progress is not None:
                progress(report)
            done = _done(report)
            if done >= report.scanned:
                self._services.runs.close_finished()
                report.seconds = time.monotonic() - start
                return report
            if done != before:
                before, last_change = done, time.monotonic()
            elif time.monotonic() - last_change > SILENCE_S:
                last_change = time.monotonic()
                logger.warning(
                    "%d of %d photos are done and none in the last %.0f s; is a worker running? "
                    "start one with: geosearch worker", done, report.scanned, SILENCE_S,
                )  # fmt: skip
            self._wait(POLL_S)

    def report(self, run_id: int) -> IngestReport:
        """The counts of a run as they are now, with its first errors."""
        counts = self._services.runs.counts(run_id)
        errors = self._services.runs.errors(run_id, MAX_ERRORS) if counts["failed"] else []
        return IngestReport(**counts, errors=[IngestError(*error) for error in errors])


def _done(report: IngestReport) -> int:
    return report.indexed + report.updated + report.duplicates + report.unlabelled + report.failed
