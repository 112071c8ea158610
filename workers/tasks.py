"""The tasks: ids in, nothing out. What they do is in `shift`; what they need, in `lifecycle`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from celery import Celery

from geosearch.errors import GeosearchError
from workers.app import EMBED, LOCATE
from workers.broker import LOCATE_PHOTOS, SETTLE, SWEEP, TAKE_IN
from workers.lifecycle import Process, Runtime

logger = logging.getLogger(__name__)

STALE_LEASES = 10
"""A photo left between catalogue and index for so many leases is nobody's any more."""

ABANDONED_S = 30 * 86_400.0
"""Answers of `geosearch locate` whose command has not come back for so long are forgotten."""

PAUSE_S = 2.0
"""After an engine refused, so that messages are not burnt through; the sweep sends them again."""


def register(app: Celery, process: Process) -> None:
    """Make the tasks known to an application, on the runtime of `process`."""

    def guarded(work: Callable[[Runtime], None]) -> None:
        try:
            runtime = process.runtime()
            work(runtime)
            if runtime.is_outdated():
                process.runtime()  # which puts into the new index what went into the old one
        except GeosearchError as error:
            # Nothing is lost with the message: the catalogue knows what waits.
            logger.error("%s: %s", type(error).__name__, error)
            time.sleep(PAUSE_S)

    def take_in(ids: list[int]) -> None:
        guarded(lambda runtime: _take_in(runtime, ids))

    def locate(ids: list[int]) -> None:
        guarded(lambda runtime: _locate(runtime, ids))

    def settle() -> None:
        guarded(lambda runtime: runtime.pipeline.settle())

    def sweep_once() -> None:
        guarded(sweep)

    tasks = {TAKE_IN: take_in, LOCATE_PHOTOS: locate, SETTLE: settle, SWEEP: sweep_once}
    for name, task in tasks.items():
        app.task(name=name)(task)


def _take_in(runtime: Runtime, ids: list[int]) -> None:
    with runtime.span("take_in", photos=len(ids)):
        runtime.taking_in.do(ids)


def _locate(runtime: Runtime, ids: list[int]) -> None:
    with runtime.span("locate", photos=len(ids)):
        runtime.locating.do(ids)


def sweep(runtime: Runtime) -> None:
    """Close what is finished, forget what was abandoned, and send again what was lost.

    Lost are messages, or workers with them. While messages wait, workers have enough to do and look
    for more by themselves.
    """
    services, lease_s = runtime.services, runtime.settings.lease_s
    for run_id in services.runs.close_finished():
        logger.info("run is done", extra={"run": run_id})
    if runtime.broker.messages(EMBED) == 0:
        lost = services.intake.lost(older_than_s=lease_s)
        if lost:
            logger.info("%d photos wait that nobody is at work on; asking again", len(lost))
            runtime.broker.enqueue(lost)
    if runtime.broker.messages(LOCATE) == 0:
        unlocated = services.locate_runs.lost(older_than_s=lease_s)
        if unlocated:
            logger.info("%d photos wait to be located; asking again", len(unlocated))
            runtime.broker.locate(unlocated)
    abandoned = services.locate_runs.drop_abandoned(older_than_s=ABANDONED_S)
    if abandoned:
        logger.info("%d runs of locate that nobody asked for any more are forgotten", abandoned)
    if services.runs.has_stale_photos(older_than_s=STALE_LEASES * lease_s):
        runtime.broker.settle()
