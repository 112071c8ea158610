"""`geosearch write-exif`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import counted, json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.geotags import Position


@click.command("write-exif")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("--at", metavar="LAT,LON", help="Write this place into IMAGES, as placed by hand.")
@click.option(
    "--from",
    "table",
    type=click.Path(path_type=Path),
    help="A table of `geosearch locate --format csv`: write its answers, marked as predicted.",
)
@click.option("--into", type=click.Path(path_type=Path), help="The folder for the copies.")
@click.option("--in-place", is_flag=True, help="Change the photos; each keeps a NAME.original.")
@json_option
def write_exif(
    images: tuple[Path, ...],
    at: str | None,
    table: Path | None,
    into: Path | None,
    in_place: bool,
    as_json: bool,
) -> int:
    """Write places into the EXIF of copies of photos; pictures stay the same to the last byte.

    Without --at and --from, every photo of the catalogue whose place was set by hand or accepted
    from a prediction is written (only IMAGES, if some are named). Originals are never changed but
    with --in-place. Exit code 1 if at least one photo could not be written.
    """
    from geosearch import geotags
    from geosearch.errors import ConfigError, InvalidInput

    if (into is None) == (not in_place):
        raise click.UsageError("say where the copies go, --into FOLDER, or change originals with "
                               "--in-place")  # fmt: skip
    if at is not None and (table is not None or not images):
        raise click.UsageError("--at LAT,LON needs IMAGES to write to, and no --from")
    jobs = list(_jobs(images, at, table))
    root = _common_folder([path for path, _ in jobs])
    written, errors = [], []
    for path, position in counted(jobs, "write"):
        try:
            if into is None:
                written.append(geotags.write_in_place(path, position))
            else:
                written.append(
                    geotags.write_copy(
                        path, into / os.path.relpath(path.absolute(), root), position
                    )
                )
        except (InvalidInput, ConfigError, OSError) as error:
            errors.append({"path": str(path), "reason": str(error)})
    if as_json:
        files = [
            {
                "path": str(one.source),
                "written": str(one.target),
                "backup": None if one.backup is None else str(one.backup),
                "lat": one.position.coordinate.lat,
                "lon": one.position.coordinate.lon,
                "source": str(one.position.source),
            }
            for one in written
        ]
        write_json({"written": len(written), "failed": len(errors), "files": files} | {
            "errors": errors
        })  # fmt: skip
    else:
        for problem in errors:
            note(f"{problem['path']}: {problem['reason']}")
        note(f"{len(written)} photos written, {len(errors)} failed")
    return 1 if errors else 0


def _jobs(
    images: tuple[Path, ...], at: str | None, table: Path | None
) -> Iterator[tuple[Path, Position]]:
    """Photos and what to write into each."""
    from geosearch.geo import parse_coordinate
    from geosearch.geotags import Position
    from geosearch.records import LabelSource

    if at is not None:
        position = Position(parse_coordinate(at), LabelSource.MANUAL)
        yield from ((path, position) for path in images)
        return
    wanted = {str(path.absolute()) for path in images}
    rows = _catalogue_rows() if table is None else _table_rows(table)
    for path, position in rows:
        if not wanted or str(path.absolute()) in wanted:
            yield path, position


def _catalogue_rows() -> Iterator[tuple[Path, Position]]:
    from geosearch.client import GeoSearch
    from geosearch.geo import Coordinate
    from geosearch.geotags import Position
    from geosearch.records import LabelSource

    written = {str(LabelSource.MANUAL), str(LabelSource.PREDICTED)}
    with GeoSearch() as geosearch:
        for row in geosearch.services.catalogue.export_rows():
            if row["label_source"] in written:
                place = Coordinate(row["lat"], row["lon"])
                yield Path(row["path"]), Position(place, LabelSource(row["label_source"]))


def _table_rows(table: Path) -> Iterator[tuple[Path, Position]]:
    """The answers of a table; photos without one are left out, which the table says itself."""
    import csv

    from geosearch.errors import InvalidManifest
    from geosearch.geo import Coordinate
    from geosearch.geotags import Position
    from geosearch.records import LabelSource

    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidManifest(f"{table} is not a readable table: {error}") from error
    if rows and not {"image", "lat", "lon"} <= rows[0].keys():
        raise InvalidManifest(
            f"{table}: the columns image, lat and lon are needed, as `geosearch locate --format "
            f"csv` writes them; found are {', '.join(map(str, rows[0]))[:300]}"
        )
    for number, row in enumerate(rows, start=2):
        if not (row["lat"] and row["lon"]):
            continue
        try:
            place = Coordinate(float(row["lat"]), float(row["lon"]))
            radius_km = float(row.get("radius_km_90") or "nan")
        except ValueError as error:
            raise InvalidManifest(f"{table} row {number}: {error}") from error
        radius_m = None if radius_km != radius_km else 1000.0 * radius_km
        yield Path(row["image"]), Position(place, LabelSource.PREDICTED, radius_m)


def _common_folder(paths: list[Path]) -> str:
    """The deepest folder that holds all photos: copies keep their places below it."""
    return os.path.commonpath([str(path.absolute().parent) for path in paths]) if paths else "."
