"""`geosearch locate`."""

from __future__ import annotations

from pathlib import Path

import click

from geosearch.cli.output import counted, json_option, kilometres, note
from geosearch.records import Prediction


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv", "geojson", "kml"]),
    default="text",
    show_default=True,
)
@click.option(
    "--map",
    "map_path",
    type=click.Path(path_type=Path),
    help="Write the answers on a map, as HTML.",
)
@json_option
def locate(images: tuple[Path, ...], form: str, map_path: Path | None, as_json: bool) -> int:
    """Say where IMAGES (photos, and folders of them) were taken, by the photos most like them.

    Exit code 1 if at least one photo got no answer; its reason is in the output.
    """
    from geosearch import exports
    from geosearch.client import GeoSearch

    form = "json" if as_json else form
    predictions: list[Prediction] = []
    with GeoSearch() as geosearch:
        for prediction in counted(geosearch.locate(images), "locate"):
            predictions.append(prediction)
            if form == "text":
                show_prediction(prediction)
    if map_path is not None:
        from geosearch.worldmap import render_html

        map_path.write_text(render_html(predictions, title="GeoSearch"), encoding="utf-8")
        note(f"map: {map_path.absolute()}")
    match form:
        case "json":
            click.echo(exports.predictions_to_json(predictions))
        case "csv":
            click.echo(exports.predictions_to_csv(predictions), nl=False)
        case "geojson":
            click.echo(exports.predictions_to_geojson(predictions))
        case "kml":
            click.echo(exports.predictions_to_kml(predictions))
    return 0 if all(prediction.best is not None for prediction in predictions) else 1


def show_prediction(prediction: Prediction) -> None:
    """A prediction in a few lines, for people."""
    best = prediction.best
    if best is None:
        click.echo(f"{prediction.image}: no answer; {prediction.reason}")
        return
    click.echo(
        f"{prediction.image}: {best.coordinate}  {best.place}\n"
        f"  half the support lies within {kilometres(best.radius_km[50])}, "
        f"90 % within {kilometres(best.radius_km[90])}; "
        f"{best.share:.0%} is for this place"
    )
    for evidence in best.evidence[:3]:
        click.echo(f"  because of {evidence.photo.path} ({evidence.score:.3f})")
    for other in prediction.alternatives[:3]:
        click.echo(f"  or {other.coordinate}  {other.place} ({other.share:.0%})")
