"""What Prometheus is told of a worker: stages, ends, batches, errors, queues and states."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from geosearch.errors import GeosearchError

logger = logging.getLogger(__name__)

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
FILLS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class Metrics:
    """The metrics of one process, in a registry of their own.

    Args:
        batch_size: photos that a full batch holds.
    """

    def __init__(self, *, batch_size: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._batch_size = batch_size
        self._stages = Histogram(
            "geosearch_stage_seconds",
            "Seconds a stage takes for what it is given at once.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._ended = Counter(
            "geosearch_photos_ended",
            "Photos by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._fill = Histogram(
            "geosearch_batch_fill",
            "Part of a batch that holds photos.",
            buckets=FILLS,
            registry=self.registry,
        )
        self._errors = Counter(
            "geosearch_errors", "What went wrong, by kind.", ["kind"], registry=self.registry
        )

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """A stage took so long; an encoded batch also says how full it was."""
        self._stages.labels(stage).observe(seconds)
        if stage == "encode":
            self._fill.observe(min(1.0, photos / self._batch_size()))

    def ended(self, outcome: str, photos: int) -> None:
        """So many photos ended so."""
        self._ended.labels(outcome).inc(photos)

    def failed(self, kind: str) -> None:
        """Something of this kind went wrong."""
        self._errors.labels(kind).inc()

    def ask_when_scraped(
        self,
        states: Callable[[], Mapping[str, int]],
        queues: Callable[[], Mapping[str, int]],
    ) -> None:
        """Have photos by state and messages by queue counted whenever somebody looks."""
        self.registry.register(_Asked("geosearch_photos", "Photos by state.", "state", states))
        self.registry.register(
            _Asked("geosearch_queue_messages", "Messages that wait.", "queue", queues)
        )

    def serve(self, port: int) -> tuple[int, Callable[[], None]]:
        """Serve to Prometheus; the port (one chosen by the system for 0) and how to stop."""
        server, thread = start_http_server(port, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, stop


class _Asked(Collector):
    """Numbers by label that are asked for at each scrape; left out while nobody answers."""

    def __init__(
        self, name: str, help_text: str, label: str, ask: Callable[[], Mapping[str, int]]
    ) -> None:
        self._name, self._help, self._label, self._ask = name, help_text, label, ask

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # registering must not ask

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._help, labels=[self._label])
        try:
            for label, number in self._ask().items():
                family.add_metric([label], number)
        except GeosearchError as error:
            logger.warning("no %s for Prometheus: %s", self._name, error)
        yield family
