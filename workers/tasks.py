"""The tasks: ids in, nothing out. What they do is in `shift`; what they need, in `lifecycle`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from celery import Celery

from geosearch.errors import GeosearchError
from workers.app import EMBED
from workers.broker import SETTLE, SWEEP, TAKE_IN
from workers.lifecycle import Process, Runtime

logger = logging.getLogger(__name__)

STALE_LEASES = 10
"""A photo left between catalogue and index for so many leases is nobody's any more."""

PAUSE_S = 2.0
"""After an engine refused, so that messages are not burnt through; the sweep sends them again."""


def register(app: Celery, process: Process) -> None:
    """Make the tasks known to an application, on the runtime of `process`."""

    def guarded(work: Callable[[Runtime], None]) -> None:
        try:
            work(process.runtime())
        except GeosearchError as error:
            # Nothing is lost with the message: the catalogue knows what waits.
            logger.error("%s: %s", type(error).__name__, error)
            time.sleep(PAUSE_S)

    def take_in(ids: list[int]) -> None:
        guarded(lambda runtime: _take_in(runtime, ids))

    def settle() -> None:
        guarded(lambda runtime: runtime.pipeline.settle())

    def sweep_once() -> None:
        guarded(sweep)

    for name, task in ((TAKE_IN, take_in), (SETTLE, settle), (SWEEP, sweep_once)):
        app.task(name=name)(task)


def _take_in(runtime: Runtime, ids: list[int]) -> None:
    with runtime.span("take_in", photos=len(ids)):
        runtime.shift.take_in(ids)


def sweep(runtime: Runtime) -> None:
    """Close what is finished, and send again what was lost: messages, or workers with them.

    While messages wait, workers have enough to do and look for more by themselves.
    """
    services, lease_s = runtime.services, runtime.settings.lease_s
    for run_id in services.runs.close_finished():
        logger.info("run is done", extra={"run": run_id})
    if runtime.broker.messages(EMBED) == 0:
        lost = services.intake.lost(older_than_s=lease_s)
        if lost:
            logger.info("%d photos wait that nobody is at work on; asking again", len(lost))
            runtime.broker.enqueue(lost)
    if services.runs.has_stale_photos(older_than_s=STALE_LEASES * lease_s):
        runtime.broker.settle()
