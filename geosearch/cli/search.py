"""`geosearch search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from geosearch.cli.filters import filter_options
from geosearch.cli.output import json_option, note, write_json
from geosearch.records import SearchResult

if TYPE_CHECKING:
    from geosearch.criteria import Criteria


@click.command()
@click.option("--image", type=click.Path(path_type=Path), help="Find photos that look like this.")
@click.option("--text", help="Find photos that show this (CLIP encoders, or trained heads).")
@click.option(
    "--at", metavar="LAT,LON", help="Find photos that look as if taken around here (trained heads)."
)
@click.option(
    "--weights",
    metavar="image=1,text=1,gps=1",
    help="How much --image, --text and --at count in a mix.",
)
@filter_options
@click.option(
    "-k", "k", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Photos to show."
)
@click.option("--diverse", is_flag=True, help="Only hits at least 25 km apart.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "geojson", "kml"]),
    default="table",
    show_default=True,
)
@click.option(
    "--map", "map_path", type=click.Path(path_type=Path), help="Write the hits on a map, as HTML."
)
@json_option
def search(
    image: Path | None,
    text: str | None,
    at: str | None,
    weights: str | None,
    k: int,
    diverse: bool,
    form: str,
    map_path: Path | None,
    as_json: bool,
    criteria: Criteria,
) -> int:
    """Find photos by look (--image), words (--text) and place (--at) that match every filter.

    With filters alone nothing is compared: matching photos are listed, newest first.
    """
    from geosearch import exports
    from geosearch.client import GeoSearch
    from geosearch.geo import parse_coordinate

    with GeoSearch() as geosearch:
        result = geosearch.search(
            image=image,
            text=text,
            at=None if at is None else parse_coordinate(at),
            weights=None if weights is None else _weights(weights),
            near=criteria.near,
            radius_km=criteria.radius_km,
            bbox=criteria.bbox,
            within=criteria.within,
            country=criteria.country,
            since=criteria.since,
            until=criteria.until,
            dataset=criteria.dataset,
            author=criteria.author,
            k=k,
            diverse=diverse,
        )
    if map_path is not None:
        from geosearch.worldmap import render_search_html

        is_asked = image is not None or text is not None or at is not None
        title = "Photos found" if is_asked else "Photos, newest first"
        map_path.write_text(render_search_html(result, title=title), encoding="utf-8")
        note(f"map: {map_path.absolute()}")
    match "json" if as_json else form:
        case "json":
            write_json(exports.search_result_to_dict(result))
        case "csv":
            click.echo(exports.search_result_to_csv(result), nl=False)
        case "geojson":
            click.echo(exports.search_result_to_geojson(result))
        case "kml":
            click.echo(exports.search_result_to_kml(result))
        case _:
            show_result(result)
    return 0


def _weights(text: str) -> dict[str, float]:
    """Read ``image=1,text=0.5``."""
    weights = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            raise click.BadParameter(
                f"{part!r} is no weight; write image=1,text=0.5,gps=2", param_hint="--weights"
            ) from None
    return weights


def show_result(result: SearchResult) -> None:
    """Hits as a table, for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("score", "lat", "lon", "km"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("taken", no_wrap=True)
    table.add_column("place", no_wrap=True)
    table.add_column("photo", overflow="fold")
    for hit in result.hits:
        photo = hit.photo
        where = photo.coordinate
        table.add_row(
            "" if hit.score is None else f"{hit.score:.3f}",
            "" if where is None else f"{where.lat:.5f}",
            "" if where is None else f"{where.lon:.5f}",
            "" if hit.distance_km is None else f"{hit.distance_km:.1f}",
            "" if photo.captured_at is None else f"{photo.captured_at:%Y-%m-%d}",
            Text(photo.place.split(", ")[0]),  # Text, not str: names are no markup
            Text(_short(photo.path)),
        )
    Console().print(table)
    note(
        f"{len(result.hits)} of {result.matched} photos that match, "
        f"plan {result.plan}, {1000 * result.seconds:.0f} ms"
    )


def _short(path: str) -> str:
    """A path from the current folder where it lies below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
