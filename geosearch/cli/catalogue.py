"""`geosearch status` and `geosearch export`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosearch.cli.output import json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.settings import Settings


@click.command()
@json_option
def status(as_json: bool) -> int:
    """Show photos by state and encoder, queues, rate, time left, the last run and errors."""
    from geosearch.client import GeoSearch

    with GeoSearch() as geosearch:
        document = geosearch.status()
        document |= _queues(geosearch.services.settings)
    if as_json:
        write_json(document)
        return 0
    for state, count in document["photos"].items():
        click.echo(f"{state:>12}  {count}")
    for encoder, count in document["index"].items():
        click.echo(f"{'in index':>12}  {count} by {encoder}")
    run = document["last_run"]
    if run is not None:
        end = "still running or interrupted" if run["finished_at"] is None else run["finished_at"]
        click.echo(f"{'last run':>12}  {run['started_at']} to {end}")
    for line in _pace_lines(document["pace"]):
        click.echo(line)
    for queue, messages in (document["queues"] or {}).items():
        if messages:
            click.echo(f"{'queue':>12}  {messages} messages in {queue}")
    if "broker" in document:
        click.echo(f"{'queue':>12}  {document['broker']}")
    for error in document["errors"]:
        click.echo(f"{'failed':>12}  {error['path']}: {error['reason']}")
    return 0


def _queues(settings: Settings) -> dict[str, Any]:
    """Messages that wait by queue, none without a broker; None, and why, while it is away."""
    if settings.broker_url is None:
        return {"queues": {}}
    from geosearch.errors import BrokerError
    from workers.app import QUEUES
    from workers.broker import open_broker

    with closing(open_broker(settings)) as broker:
        try:
            return {"queues": {name: broker.messages(name, max_retries=0) for name in QUEUES}}
        except BrokerError as error:
            return {"queues": None, "broker": str(error)}


def _pace_lines(pace: dict[str, Any]) -> Iterator[str]:
    if pace["waiting_to_be_read"]:
        yield f"{'to be read':>12}  {pace['waiting_to_be_read']}"
    if pace["waiting_to_be_located"]:
        yield f"{'to locate':>12}  {pace['waiting_to_be_located']}"
    if pace["given_up"]:
        yield f"{'given up':>12}  {pace['given_up']}"
    if not pace["left"]:
        return
    if pace["seconds_left"] is None:
        yield f"{'left':>12}  {pace['left']}, and nothing came in during the last minutes"
    else:
        left = timedelta(seconds=round(pace["seconds_left"]))
        yield f"{'left':>12}  {pace['left']} at {pace['per_second']:.1f}/s: {left}"


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "geojson", "kml", "parquet"]),
    help="By default what the name of --output ends in, else csv.",
)
@click.option("--dataset", help="Only photos of this data set.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A file; stdout if not given."
)
@json_option
def export(form: str | None, dataset: str | None, output: Path | None, as_json: bool) -> int:
    """Write every photo of the catalogue with its label, names and state.

    CSV and Parquet read back as a manifest; GeoJSON and KML open in maps.
    """
    from geosearch.client import GeoSearch

    if as_json and output is None:
        raise click.UsageError("--json says how many were written and where; add --output FILE")
    from geosearch.client.exporting import form_of, write_photos, write_text

    form = form or ("csv" if output is None else form_of(output))
    if form == "parquet" and output is None:
        raise click.UsageError("Parquet is no text for a terminal; add --output FILE.parquet")
    with GeoSearch() as geosearch:
        rows = geosearch.export_rows(dataset=dataset)
        if output is None:
            written = write_text(rows, sys.stdout, form)
        else:
            written = write_photos(rows, output, form)
    if as_json:
        write_json({"written": written, "path": str(output)})
    else:
        note(f"{written} photos written")
    return 0
