"""`geosearch bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from geosearch.cli.output import json_option, note, write_json

NAMES = (
    "ingest", "memory", "reingest", "startup", "filter-recall", "filter-correctness", "train",
    "location", "modalities", "register", "sizing", "workers", "locate", "lmm",
)  # fmt: skip


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--size", type=click.IntRange(1), help="Photos, vectors or areas; each has its own.")
@json_option
def bench(name: str, size: int | None, as_json: bool) -> int:
    r"""Measure NAME on this machine, beside a baseline, in a scratch directory.

    \b
    ingest              the pipeline against reading, decoding and encoding alone
    memory              peak memory of ingesting 1,000 and 5,000 photos
    reingest            the second ingest of an unchanged folder against the first
    startup             --help, import geosearch
    filter-recall       recall and time of filtered searches against exact ones
    filter-correctness  points missed or extra under circles, boxes and polygons
    train               training from cached features against the backbone in the loop
    modalities          recall of image, text, coordinate and mixed queries, float32 and copies
    register            rows a second of the bulk producer against plain ORM adds, its memory
    sizing              disk and memory of 100,000 vectors and photos against the formula
    workers             one and two workers against the same in process, on servers
    locate              one photo among 50,000: decode, encode, search, look up, re-rank
    lmm                 a call of a scripted large multimodal model of 0 ms against plain HTTP
    location            coordinates a second of the location encoder against GeoCLIP's
    """
    from geosearch.benchmarks import (
        asking,
        filters,
        ingest,
        locating,
        location,
        modalities,
        register,
        sizing,
        startup,
        training,
    )

    def workers_bench(**options: Any) -> dict[str, Any]:
        from workers import bench as workers  # needs the extra `workers`

        return workers.throughput(**options)

    runs: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
        "ingest": (ingest.throughput, "size"),
        "memory": (ingest.memory, "size"),
        "reingest": (ingest.repetition, "size"),
        "startup": (startup.startup, "size"),
        "filter-recall": (filters.filter_recall, "n"),
        "filter-correctness": (filters.filter_correctness, "areas"),
        "train": (training.training_speed, "size"),
        "locate": (locating.locating, "n"),
        "lmm": (asking.asking, "calls"),
        "location": (location.location_speed, "size"),
        "register": (register.registration, "size"),
        "sizing": (sizing.sizing, "n"),
        "modalities": (modalities.modality_recall, "n"),
        "workers": (workers_bench, "size"),
    }
    run, size_name = runs[name]
    document = run(progress=note, **({} if size is None else {size_name: size}))
    if as_json:
        write_json(document)
        return 0
    for row in document["rows"]:
        click.echo("  ".join(f"{key}={_short(value)}" for key, value in row.items()))
    return 0


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
