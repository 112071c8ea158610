from __future__ import annotations

import json
import logging
import sys
from urllib.request import urlopen

import pytest

from geosearch.errors import CatalogueError
from workers.logs import JsonLines, Plain
from workers.metrics import Metrics
from workers.tracing import Tracer, open_tracer


def _scraped(port: int) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if not line.startswith("#")
    }


def test_prometheus_reads_stages_ends_fills_errors_states_and_queues() -> None:
    metrics = Metrics(batch_size=lambda: 8)
    metrics.ask_when_scraped(lambda: {"indexed": 5, "failed": 1}, lambda: {"embed": 3})
    metrics.timed("encode", 0.02, 4)
    metrics.timed("decode", 0.005, 1)
    metrics.ended("indexed", 4)
    metrics.failed("StoreError")
    port, stop = metrics.serve(0)
    try:
        found = _scraped(port)
    finally:
        stop()
    assert port > 0
    assert found['geosearch_stage_seconds_bucket{le="0.03",stage="encode"}'] == 1
    assert found['geosearch_stage_seconds_count{stage="decode"}'] == 1
    assert found['geosearch_batch_fill_bucket{le="0.5"}'] == 1
    assert found["geosearch_batch_fill_sum"] == 0.5
    assert found['geosearch_photos_ended_total{outcome="indexed"}'] == 4
    assert found['geosearch_errors_total{kind="StoreError"}'] == 1
    assert found['geosearch_photos{state="failed"}'] == 1
    assert found['geosearch_queue_messages{queue="embed"}'] == 3


def test_metrics_are_served_while_the_catalogue_is_down() -> None:
    def down() -> dict[str, int]:
        raise CatalogueError("no")

    metrics = Metrics(batch_size=lambda: 8)
    metrics.ask_when_scraped(down, lambda: {"embed": 3})
    port, stop = metrics.serve(0)
    try:
        found = _scraped(port)
    finally:
        stop()
    assert found['geosearch_queue_messages{queue="embed"}'] == 3
    assert not any(name.startswith("geosearch_photos{") for name in found)


def _record(error: bool = False) -> logging.LogRecord:
    info = None
    if error:
        try:
            raise ValueError("what happened")
        except ValueError:
            info = sys.exc_info()
    record = logging.LogRecord("workers.shift", 30, "x.py", 1, "%s: bad", ("ä.jpg",), info)
    record.run, record.photo = 7, 12
    return record


def test_a_json_log_line_names_run_and_photo() -> None:
    line = json.loads(JsonLines().format(_record(error=True)))
    assert (line["message"], line["level"], line["run"], line["photo"]) == (
        "ä.jpg: bad", "warning", 7, 12,
    )  # fmt: skip
    assert "what happened" in line["error"]
    assert line["time"].endswith("+00:00")
    assert "\n" not in JsonLines().format(_record(error=True))


def test_a_text_log_line_ends_with_run_and_photo() -> None:
    assert Plain("%(message)s").format(_record()) == "ä.jpg: bad [run=7 photo=12]"


def test_stages_are_spans_inside_their_task() -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter)
    with tracer.span("take_in", photos=3):
        tracer.passed("encode", 0.25, {"photos": 3})
    tracer.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans["encode"].parent == spans["take_in"].context
    assert spans["encode"].end_time - spans["encode"].start_time == pytest.approx(0.25e9, abs=1)
    assert dict(spans["take_in"].attributes or {}) == {"photos": 3}


def test_without_a_collector_nothing_is_traced() -> None:
    assert open_tracer(None) is None
