"""What lives as long as a worker's process: engines, model, metrics; made in the child that works.

The parent of a pool only listens to the broker. It opens no engine and loads no torch, so nothing
is shared by forking: a connection used by two processes or a CUDA context in both breaks them.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from geosearch.client import GeoSearch
from geosearch.errors import CatalogueError
from geosearch.geo import Coordinate
from geosearch.services import Services
from geosearch.settings import Settings
from workers.app import QUEUES
from workers.broker import Broker, open_broker
from workers.intake import TakingIn
from workers.locating import Locating
from workers.metrics import Metrics
from workers.shift import SHIFT_S, Shift, Work
from workers.tracing import Tracer, open_tracer

if TYPE_CHECKING:
    from geosearch.catalogue.leasing import Leasing
    from geosearch.encoder.batching import ElasticEncoder
    from geosearch.encoder.embedder import Embedder

logger = logging.getLogger(__name__)

READY = "ready to take photos in"
"""What the log says once engines are open and the model is loaded."""

CHECKPOINT_PHOTOS = 256
"""Photos between two ends of leases: what is done again when a worker dies is less than this."""


class Watcher:
    """Tells metrics and traces what a shift does."""

    def __init__(self, metrics: Metrics, tracer: Tracer | None) -> None:
        self._metrics = metrics
        self._tracer = tracer

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """A stage took so long for so many photos."""
        self._metrics.timed(stage, seconds, photos)
        if self._tracer is not None:
            self._tracer.passed(stage, seconds, {"photos": photos})

    def ended(self, outcome: str, photos: int) -> None:
        """So many photos ended so."""
        self._metrics.ended(outcome, photos)

    def failed(self, kind: str) -> None:
        """Something of this kind went wrong."""
        self._metrics.failed(kind)


class Runtime:
    """The parts of one working process.

    Args:
        settings: of the worker.
        owner: name of the worker, the same for all processes that it has one after the other.
        load_embedder: makes the encoder; tests put a small one here.
        shift_s: how long a task looks for more work.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        owner: str,
        load_embedder: Callable[[Settings], Embedder] | None = None,
        shift_s: float = SHIFT_S,
    ) -> None:
        self.settings = settings
        self.services = Services(settings, load_embedder=load_embedder)
        self._open = ExitStack()
        self._open.callback(self.services.close)
        try:
            self._compose(owner, shift_s)
        except BaseException:
            self._open.close()
            raise

    def _compose(self, owner: str, shift_s: float) -> None:
        settings, services = self.settings, self.services
        self._locate_leases = services.locate_leases(owner)
        leases = services.leases(owner)
        leases.release_all()
        self._locate_leases.release_all()
        self.broker: Broker = open_broker(settings)
        self._open.callback(self.broker.close)
        self.tracer = open_tracer(settings.trace_url)
        if self.tracer is not None:
            self._open.callback(self.tracer.close)
        services.catch_up()
        self._index = self._open.enter_context(services.borrowed_index(is_current=True))
        encoder = _elastic(self._index.embedder, settings)
        self.metrics = Metrics(batch_size=lambda: encoder.batch_size)
        self.metrics.ask_when_scraped(
            services.catalogue.counts,
            lambda: {queue: self.broker.messages(queue) for queue in QUEUES},
        )
        if settings.metrics_port is not None:
            port, stop = self.metrics.serve(settings.metrics_port)
            self._open.callback(stop)
            logger.info("metrics on port %d", port)
        self.pipeline = services.pipeline_of(
            self._index,
            encoder,
            batch_size=encoder.batch_size,
            checkpoint_photos=CHECKPOINT_PHOTOS,
            resumes=True,
        )
        self._watcher = Watcher(self.metrics, self.tracer)
        self._shift_s = shift_s
        taking_in = TakingIn(
            self.pipeline,
            services.catalogue,
            leases,
            encoder=services.encoder_name,
            watcher=self._watcher,
        )
        self.taking_in = self._shift(leases, taking_in)
        services.gazetteer.lookup([Coordinate(0.0, 0.0)])  # half a second, once
        logger.info("%s: %s, batches of %d", READY, services.encoder_name, encoder.batch_size)

    @cached_property
    def locating(self) -> Shift:
        """The shift that locates; what it needs besides the encoder is loaded with the first."""
        leases = self._locate_leases
        geosearch = GeoSearch(self.services)
        self._open.callback(geosearch.close)
        return self._shift(leases, Locating(geosearch, leases, watcher=self._watcher))

    def _shift(self, leases: Leasing, work: Work) -> Shift:
        settings, services = self.settings, self.services
        return Shift(
            leases,
            work,
            encoder=services.encoder_name,
            former=[str(one.choice) for one in services.indexes.all() if one.choice is not None],
            max_attempts=settings.max_attempts,
            lease_s=settings.lease_s,
            watcher=self._watcher,
            shift_s=self._shift_s,
        )

    def is_outdated(self) -> bool:
        """Whether another index was switched to than the one that photos are put into here."""
        try:
            active = self.services.indexes.active()
        except CatalogueError:
            return False  # who works finds out, and waits
        return active is not None and active.encoder != self._index.identity

    def span(self, name: str, **attributes: int | str) -> Any:
        """A span around a task, where traces are asked for."""
        return nullcontext() if self.tracer is None else self.tracer.span(name, **attributes)

    def close(self) -> None:
        """Close everything."""
        self._open.close()


class Process:
    """The runtime of this process, opened when a task first needs it.

    The one thing that outlives a task: loading a model for each would take longer than the task.
    """

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None

    def runtime(self) -> Runtime:
        """The runtime; what its making raises is raised again the next time.

        After a switch to another index it is made anew, with the encoder of that one.
        """
        with self._lock:
            if self._runtime is not None and self._runtime.is_outdated():
                logger.info("another index is in use now; opening it")
                self._runtime.close()
                self._runtime = None
            if self._runtime is None:
                self._runtime = self._make()
            return self._runtime

    def close(self) -> None:
        """Close the runtime if there is one."""
        with self._lock:
            if self._runtime is not None:
                self._runtime.close()
                self._runtime = None


def unique_name(device: str) -> str:
    """A worker's name, different from all others also on one machine and after a restart."""
    return f"{device.replace(':', '-')}-{os.getpid()}-{uuid4().hex[:8]}@{socket.gethostname()}"


def _elastic(embedder: Embedder, settings: Settings) -> ElasticEncoder:
    """The encoder with the batch that is set, or measured to be fastest."""
    from geosearch.encoder.batching import ElasticEncoder, measured_batch_size, sample_pixels

    size = settings.batch_size
    if "batch_size" not in settings.model_fields_set:
        size = measured_batch_size(embedder.encode, sample_pixels(embedder))
    return ElasticEncoder(embedder, batch_size=size)
