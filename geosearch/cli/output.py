"""What commands share in talking: one JSON document on stdout, progress and words on stderr."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from geosearch.records import IngestReport

Item = TypeVar("Item")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."
)


def write_json(document: object) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2, default=_plain, allow_nan=False))


def note(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(text, err=True)


def kilometres(distance_km: float) -> str:
    """A distance for people: two digits below 10 km, whole kilometres above."""
    return f"{distance_km:.2g} km" if distance_km < 10.0 else f"{distance_km:,.0f} km"


def report_document(report: IngestReport) -> dict[str, Any]:
    """An ingest report in the form that scripts read."""
    return asdict(report)


@contextmanager
def ingest_progress(
    count_sources: Callable[[], Iterable[object]],
) -> Iterator[Callable[[IngestReport], None] | None]:
    """A bar with rate and time left while stderr is a terminal; otherwise nothing.

    Args:
        count_sources: lists the same sources once more, to learn how many there are while the
            first of them are already being taken in.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
        console=Console(stderr=True),
    )
    task = bar.add_task("ingest", total=None, counts="")

    def count() -> None:
        bar.update(task, total=sum(1 for _ in count_sources()))

    def show(report: IngestReport) -> None:
        counts = {
            "duplicates": report.duplicates,
            "unlabelled": report.unlabelled,
            "failed": report.failed,
        }
        done = report.indexed + report.updated + sum(counts.values())
        words = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        bar.update(task, completed=done, counts=words)

    with bar:
        threading.Thread(target=count, daemon=True).start()
        yield show


@contextmanager
def drawing_progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar for work that tells (done, total), while stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("draw", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counting_progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar for work that tells (done, total), while stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def asking_progress() -> Iterator[Callable[[int, int], None] | None]:
    """A bar for questions that are asked, while stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("questions", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def locating_progress(images: Sequence[Path]) -> Iterator[Callable[[int, float], None]]:
    """A bar that is told photos done and what they cost, while stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, cost_usd: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    from geosearch.ingest.folders import scan

    bar = Progress(
        TextColumn("locate"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeLeft(),
        TextColumn("${task.fields[cost]:.2f}"),
        console=Console(stderr=True),
    )
    task = bar.add_task("locate", total=None, cost=0.0)

    def count() -> None:
        bar.update(task, total=sum(1 for _ in scan(images)))

    with bar:
        threading.Thread(target=count, daemon=True).start()
        yield lambda done, cost_usd: bar.update(task, completed=done, cost=cost_usd)


def counted(items: Iterable[Item], description: str) -> Iterator[Item]:
    """The items, with a count and a rate on stderr while that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=description, console=Console(stderr=True), transient=True)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
