"""`geosearch demo` and `geosearch postcards`."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import (
    drawing_progress,
    ingest_progress,
    json_option,
    kilometres,
    note,
    report_document,
    write_json,
)

if TYPE_CHECKING:
    from geosearch.geo import Coordinate
    from geosearch.ingest.sources import BadSource, PhotoSource
    from geosearch.records import IngestReport, Prediction, SearchResult


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--views", type=click.IntRange(0), default=8, show_default=True, help="A city.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another one, other scenes.")
@json_option
def postcards(directory: Path, views: int, seed: int, as_json: bool) -> int:
    """Draw the sample photos into DIRECTORY: scenes of real cities, with GPS in their EXIF.

    They are drawings made by this package, not photographs.
    """
    from geosearch.postcards import write_postcards

    with drawing_progress() as progress:
        written = write_postcards(directory, views_per_city=views, seed=seed, progress=progress)
    if as_json:
        write_json(
            {
                "directory": str(directory),
                "labelled": len(written.labelled),
                "held_out": len(written.held_out),
                "truth": str(written.manifest),
            }
        )
    else:
        click.echo(
            f"{len(written.labelled)} labelled postcards and {len(written.held_out)} to locate in "
            f"{directory}; where the latter are is in {written.manifest}"
        )
    return 0


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A photo to locate, and where it really is."""

    path: Path
    truth: Coordinate


@click.command()
@click.argument("photos", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Where photos, engines and results go.",
)
@json_option
def demo(photos: Path | None, output: Path, as_json: bool) -> int:
    """Ingest, search and locate: postcards that the package draws, or your own folder of PHOTOS.

    Works offline with the encoder `lite` unless GEOSEARCH_ENCODER says otherwise.
    """
    from geosearch.client import GeoSearch

    encoder = os.environ.get("GEOSEARCH_ENCODER", "lite")
    name = "home"
    if photos is not None:  # your photos and the postcards are not to be each other's neighbours
        name += "-" + hashlib.sha256(os.fsencode(photos.absolute())).hexdigest()[:8]
    with GeoSearch(home=output.absolute() / name, encoder=encoder) as geosearch:
        if photos is None:
            folder, unknown = _draw(output)
        else:
            folder, unknown = photos, _hold_out(photos)
        held_out = {photo.path.read_bytes() for photo in unknown}
        note(f"1. Taking in the photos of {folder}")
        with ingest_progress(lambda: _others(folder, held_out)) as progress:
            report = geosearch.services.pipeline.run(
                _others(folder, held_out), inputs={"demo": str(folder)}, progress=progress
            )
        note(f"   {report.indexed} indexed, {report.duplicates} known, {report.failed} failed")
        first = unknown[0]
        note(f"2. Searching for photos like {first.path.name}")
        found = geosearch.search(image=first.path, k=5)
        note("   and the same within 500 km of where it was taken")
        near = geosearch.search(image=first.path, near=first.truth, radius_km=500.0, k=5)
        note(f"3. Locating {len(unknown)} photo{'s' if len(unknown) > 1 else ''}")
        predictions: list[Prediction] = list(
            geosearch.locate([photo.path for photo in unknown], no_lmm=True)
        )
    errors_km = [
        None if p.best is None else p.best.coordinate.distance_km(photo.truth)
        for p, photo in zip(predictions, unknown, strict=True)
    ]
    files = _write(output, predictions, found)
    if as_json:
        write_json(_document(report, found, near, predictions, errors_km, files))
        return 0
    _tell(first, found, near, predictions[0], errors_km, files)
    return 0


def _draw(output: Path) -> tuple[Path, list[_Unknown]]:
    from geosearch.postcards import write_postcards

    directory = output / "postcards"
    note("0. Drawing postcards: scenes that this package draws, not photographs")
    with drawing_progress() as progress:
        written = write_postcards(directory, progress=progress)
    unknown = [_Unknown(photo.path.absolute(), photo.coordinate) for photo in written.held_out]
    return directory / "labelled", unknown


def _hold_out(folder: Path) -> list[_Unknown]:
    """One labelled photo of the user's, chosen by chance but the same each time."""
    from geosearch.errors import ConfigError, UnreadableImage
    from geosearch.ingest.folders import scan
    from geosearch.ingest.sources import PhotoSource
    from geosearch.metadata import read_metadata

    paths = [s.path for s in scan([folder]) if isinstance(s, PhotoSource) and s.path is not None]
    random.Random(0).shuffle(paths)
    for path in paths:
        try:
            label = read_metadata(path.read_bytes()).label
        except (OSError, UnreadableImage):
            continue  # ingest will name it and say why
        if label is not None:
            return [_Unknown(path.absolute(), label.coordinate)]
    raise ConfigError(
        f"{folder}: none of its {len(paths)} photos has GPS coordinates; choose a folder with "
        "geotagged photos, or use `geosearch ingest --manifest` with a table of coordinates"
    )


def _others(folder: Path, held_out: set[bytes]) -> Iterator[PhotoSource | BadSource]:
    """The photos of a folder but for those held out, and for copies of them under other names."""
    from geosearch.ingest.folders import scan
    from geosearch.ingest.sources import PhotoSource

    sizes = {len(data) for data in held_out}
    for source in scan([folder]):
        if isinstance(source, PhotoSource) and source.path is not None:
            try:  # only a file as long as one that is held out has to be read
                if source.path.stat().st_size in sizes and source.path.read_bytes() in held_out:
                    continue
            except OSError:
                pass  # ingest will name it and say why
        yield source


def _write(output: Path, predictions: list[Prediction], found: SearchResult) -> dict[str, str]:
    from geosearch import exports
    from geosearch.worldmap import render_html, render_search_html

    contents = {
        "map.html": render_html(predictions[0], title="GeoSearch demo: one photo located"),
        "all.html": render_html(predictions, title="GeoSearch demo: all photos located"),
        "search.html": render_search_html(found, title="GeoSearch demo: similar photos"),
        "located.geojson": exports.predictions_to_geojson(predictions),
        "located.kml": exports.predictions_to_kml(predictions),
    }
    for name, text in contents.items():
        (output / name).write_text(text, encoding="utf-8")
    return {name: str((output / name).absolute()) for name in contents}


def _document(
    report: IngestReport,
    found: SearchResult,
    near: SearchResult,
    predictions: list[Prediction],
    errors_km: list[float | None],
    files: dict[str, str],
) -> dict[str, object]:
    from geosearch import exports

    return {
        "ingest": report_document(report),
        "search": exports.search_result_to_dict(found),
        "search_near": exports.search_result_to_dict(near),
        "located": [
            {**exports.prediction_to_dict(prediction), "error_km": error}
            for prediction, error in zip(predictions, errors_km, strict=True)
        ],
        "files": files,
    }


def _tell(
    first: _Unknown,
    found: SearchResult,
    near: SearchResult,
    prediction: Prediction,
    errors_km: list[float | None],
    files: dict[str, str],
) -> None:
    from geosearch.cli.locate import show_prediction
    from geosearch.cli.search import show_result

    click.echo(f"\nPhotos like {first.path.name}")
    show_result(found)
    click.echo("\nThe same within 500 km of where it was taken")
    show_result(near)
    click.echo("\nWhere was it taken?")
    show_prediction(prediction)
    error = errors_km[0]
    if error is not None:
        click.echo(f"  It was taken at {first.truth}: {kilometres(error)} away.")
    if len(errors_km) > 1:
        within = {
            radius: sum(error is not None and error <= radius for error in errors_km)
            for radius in (1, 25, 750)
        }
        answered = sum(error is not None for error in errors_km)
        click.echo(
            f"\nOf {len(errors_km)} photos to locate {answered} got an answer: {within[1]} within "
            f"1 km, {within[25]} within 25 km, {within[750]} within 750 km."
        )
    click.echo("\nFiles to open:")
    for path in files.values():
        click.echo(f"  {path}")
