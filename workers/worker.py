"""`geosearch worker`: a process that listens to the broker and keeps one child that works.

One child, one device, one model. The parent answers the broker while the child is busy, and makes
a new child when one dies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps, signals

from geosearch.errors import BrokerError, ConfigError, GeosearchError
from geosearch.settings import Settings
from workers import logs
from workers.app import MAINTENANCE, QUEUES, create_app
from workers.broker import Broker
from workers.lifecycle import Process, Runtime, unique_name
from workers.shift import SHIFT_S
from workers.tasks import register

if TYPE_CHECKING:
    from geosearch.encoder.embedder import Embedder

logger = logging.getLogger(__name__)


def serve(
    settings: Settings,
    *,
    queues: Sequence[str] = QUEUES,
    log_level: int = logging.INFO,
    load_embedder: Callable[[Settings], Embedder] | None = None,
    shift_s: float = SHIFT_S,
) -> int:
    """Work until told to stop; the exit code.

    Args:
        settings: engines, broker and device.
        queues: what to work on; sweeping for what was lost is always a part of it.
        log_level: of `logging`.
        load_embedder: makes the encoder; tests put a small one here.
        shift_s: how long a task looks for more work before other messages have their turn.

    Raises:
        ConfigError: no broker is set, or a queue is unknown.
    """
    unknown = set(queues) - set(QUEUES)
    if unknown:
        raise ConfigError(f"no queue is named {', '.join(unknown)}; there are {', '.join(QUEUES)}")
    if settings.broker_url is None:
        raise ConfigError(
            "a worker gets its work through a broker; set GEOSEARCH_BROKER_URL to "
            "redis://HOST:6379/0 or amqp://USER:PASSWORD@HOST"
        )
    logs.configure(settings.log_format, level=log_level)
    app = create_app(settings.broker_url.get_secret_value())
    name = unique_name(settings.device)
    process = Process(
        partial(Runtime, settings, owner=name, load_embedder=load_embedder, shift_s=shift_s)
    )
    register(app, process)
    _keep_sweeping(app, every_s=max(1.0, settings.lease_s / 4.0))
    _follow(process)
    worker = app.Worker(
        hostname=name,
        pool="prefork",
        concurrency=1,
        queues=list(dict.fromkeys([*queues, MAINTENANCE])),
        optimization="fair",
        without_gossip=True,
        without_mingle=True,
        loglevel=log_level,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _follow(process: Process) -> None:
    """Open the runtime when a child begins, and close it when it ends."""

    def begin(**_: Any) -> None:
        try:
            process.runtime()
        except GeosearchError as error:
            logger.error("not ready yet: %s", error)  # the first task tries again

    def end(**_: Any) -> None:
        process.close()

    def keep_logging(**_: Any) -> None:
        """Being there keeps Celery from configuring logging in its own way."""

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
    signals.setup_logging.connect(keep_logging, weak=False)


def _keep_sweeping(app: Celery, *, every_s: float) -> None:
    """Have every worker ask for a sweep now and then, from the loop that listens to the broker."""
    broker = Broker(app)

    def ask() -> None:
        try:
            broker.sweep()
        except BrokerError as error:
            logger.warning("no sweep: %s", error)

    class Sweeps(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery ships no types
        """Started again with each new connection, because that clears all timers."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, parent: Any) -> None:
            parent.timer.call_repeatedly(every_s, ask)

        def stop(self, parent: Any) -> None:
            """Nothing to stop; closing the connection clears the timers."""

    app.steps["consumer"].add(Sweeps)
