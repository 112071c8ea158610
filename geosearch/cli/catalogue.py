"""`geosearch status` and `geosearch export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import click

from geosearch.cli.output import json_option, note, write_json


@click.command()
@json_option
def status(as_json: bool) -> int:
    """Show photos by state, the index of each encoder, the last run and the last errors."""
    from geosearch.client import GeoSearch

    with GeoSearch() as geosearch:
        document = geosearch.status()
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
    for error in document["errors"]:
        click.echo(f"{'failed':>12}  {error['path']}: {error['reason']}")
    return 0


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["csv", "geojson"]), default="csv", show_default=True
)
@click.option("--dataset", help="Only photos of this data set.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A file; stdout if not given."
)
@json_option
def export(form: str, dataset: str | None, output: Path | None, as_json: bool) -> int:
    """Write every photo of the catalogue with its label, names and state."""
    from geosearch import exports
    from geosearch.client import GeoSearch

    if as_json and output is None:
        raise click.UsageError("--json says how many were written and where; add --output FILE")

    def write(out: TextIO) -> int:
        rows = geosearch.services.catalogue.export_rows(dataset=dataset)
        to_file = exports.photos_to_csv if form == "csv" else exports.photos_to_geojson
        return to_file(rows, out)

    with GeoSearch() as geosearch:
        if output is None:
            written = write(sys.stdout)
        else:
            with output.open("w", encoding="utf-8", newline="") as file:
                written = write(file)
    if as_json:
        write_json({"written": written, "path": str(output)})
    else:
        note(f"{written} photos written")
    return 0
