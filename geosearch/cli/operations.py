"""`geosearch reconcile`, `backup` and `restore`: the keeping of what was taken in."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosearch.cli.output import drawing_progress, json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.backup import BackupSummary
    from geosearch.ingest.reconcile import Orphan, ReconcileReport
    from geosearch.services import Services


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what differs and change nothing.")
@click.option(
    "--drop-orphans",
    is_flag=True,
    help="Also delete collections of the embedded index that no encoder on record uses.",
)
@json_option
def reconcile(dry_run: bool, drop_orphans: bool, as_json: bool) -> int:
    """Compare catalogue and index photo by photo, and mend the index.

    The catalogue is right about facts. Missing points are encoded again, points without a photo
    deleted, stale facts rewritten, points that a power cut left unrecorded are recorded. Run it
    while nothing is being taken in. Exit code 1: with --dry-run something differs, without it
    something could not be mended.
    """
    if dry_run and drop_orphans:
        raise click.UsageError("--dry-run changes nothing; leave out --drop-orphans")
    from geosearch.client import GeoSearch

    with GeoSearch() as geosearch:
        services = geosearch.services
        with drawing_progress() as progress:
            report = services.reconciler.run(mend=not dry_run, progress=progress)
        missing = 0 if dry_run else report.differences[_missing()]
        encoded = geosearch.retry() if missing else None
        lost = _orphans(services)
        dropped = _drop(services, lost) if drop_orphans else []
    document = _document(report, lost, dropped)
    if encoded is not None:
        document["encoded_again"] = encoded.indexed
    if as_json:
        write_json(document)
    else:
        _say(report, document, dry_run=dry_run)
    if dry_run:
        return 0 if report.is_clean and not lost else 1
    return 0 if encoded is None or not encoded.failed else 1


def _missing() -> Any:
    from geosearch.ingest.reconcile import Difference

    return Difference.MISSING


def _orphans(services: Services) -> list[Orphan]:
    """Those of the embedded index; a server's may belong to another catalogue."""
    from geosearch.ingest.reconcile import Orphan, orphans
    from geosearch.store.inventory import abandoned_directories

    if services.settings.qdrant_url is not None:
        return []
    found = orphans(
        services.collections.all(),
        recorded=[index.encoder for index in services.indexes.all()],
        current=services.index.identity,
    )
    return found + [
        Orphan(path.name, "whoever made it died while making it")
        for path in abandoned_directories(services.home.qdrant)
    ]


def _drop(services: Services, found: list[Orphan]) -> list[str]:
    for orphan in found:
        shutil.rmtree(services.home.qdrant / Path(orphan.name).name)
    return [orphan.name for orphan in found]


def _document(report: ReconcileReport, lost: list[Orphan], dropped: list[str]) -> dict[str, Any]:
    return {
        "photos": report.photos,
        "points": report.points,
        "differences": {str(kind): count for kind, count in report.differences.items()},
        "examples": [
            {"id": str(found.id), "difference": str(found.difference), "path": found.uri}
            for found in report.examples
        ],
        "orphans": [{"name": orphan.name, "reason": orphan.reason} for orphan in lost],
        "dropped": dropped,
    }


def _say(report: ReconcileReport, document: dict[str, Any], *, dry_run: bool) -> None:
    click.echo(f"{report.photos} photos and {report.points} points compared")
    if report.is_clean:
        click.echo("they agree")
    for kind, count in report.differences.items():
        if count:
            click.echo(f"{kind:>12}  {count}{'' if dry_run else ', mended'}")
    for found in report.examples[:10]:
        note(f"  {found.difference}: {found.uri or found.id}")
    if "encoded_again" in document:
        click.echo(f"{'encoded':>12}  {document['encoded_again']}")
    for orphan in document["orphans"]:
        is_gone = orphan["name"] in document["dropped"]
        click.echo(
            f"{'dropped' if is_gone else 'orphan':>12}  {orphan['name']}: {orphan['reason']}"
        )


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def backup(directory: Path, as_json: bool) -> int:
    """Copy catalogue, vectors and trained encoders to DIRECTORY, which must not exist yet.

    It appears there only when it is whole. Photo files are not in it. With the embedded engines
    nothing else may use the home meanwhile; on servers photos may be taken in.
    """
    from geosearch.backup import back_up
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services:
        summary = back_up(services, directory, say=note)
    if as_json:
        write_json(asdict(summary))
    else:
        click.echo(_backup_line(summary))
    return 0


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@json_option
def restore(directory: Path, as_json: bool) -> int:
    """Fill an empty home, or empty servers, with the backup in DIRECTORY.

    Every file is checked first, and nothing is overwritten. If it is interrupted, run it again.
    Photos whose vectors the backup lacks are pending: `geosearch retry` takes them in again.
    """
    from geosearch import backup as backups
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services:
        summary, mended = backups.restore(services, directory, say=note)
    differences = {
        encoder: {str(kind): count for kind, count in report.differences.items() if count}
        for encoder, report in mended.items()
    }
    if as_json:
        write_json(asdict(summary) | {"mended": differences})
        return 0
    click.echo(_backup_line(summary))
    for encoder, counts in differences.items():
        for kind, count in counts.items():
            click.echo(f"{kind:>12}  {count} of {encoder}")
    return 0


def _backup_line(summary: BackupSummary) -> str:
    points = ", ".join(f"{n} vectors of {name}" for name, n in summary.points.items())
    return (
        f"{summary.directory}: {summary.photos} photos, {points or 'no vectors'}, "
        f"{summary.size_bytes / 1e6:.0f} MB, of {summary.created_at}"
    )
