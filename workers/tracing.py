"""Spans of tasks and stages for OpenTelemetry; nothing at all where no collector is set.

Sole importer of `opentelemetry`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from geosearch.errors import MissingDependency

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter


class Tracer:
    """Spans that are sent to a collector in the background.

    Args:
        exporter: where spans go.

    Raises:
        MissingDependency: the extra `tracing` is not installed.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource({"service.name": "geosearch-worker"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("geosearch")

    @contextmanager
    def span(self, name: str, **attributes: int | str) -> Iterator[None]:
        """A span around the block; it holds those that begin inside, and the error that ends it."""
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    def passed(self, name: str, seconds: float, attributes: Mapping[str, int]) -> None:
        """A span that has just ended."""
        end_ns = time.time_ns()
        span = self._tracer.start_span(
            name, attributes=attributes, start_time=end_ns - round(seconds * 1e9)
        )
        span.end(end_ns)

    def close(self) -> None:
        """Send what is left and stop."""
        self._provider.shutdown()


def open_tracer(url: str | None) -> Tracer | None:
    """A tracer for the collector at `url`, None for None.

    Raises:
        MissingDependency: the extra `tracing` is not installed.
    """
    if url is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingDependency(
            "opentelemetry-exporter-otlp-proto-http", extra="tracing", purpose="sending traces"
        ) from error
    return Tracer(OTLPSpanExporter(endpoint=url))
