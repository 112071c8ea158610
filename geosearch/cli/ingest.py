"""`geosearch ingest` and `geosearch retry`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from time import sleep as _wait
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import ingest_progress, json_option, note, report_document, write_json
from geosearch.records import IngestReport

if TYPE_CHECKING:
    from workers.producer import Producer, Sent

WATCH_INTERVAL_S = 5.0


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=str))
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="CSV or Parquet with columns path or url, lat, lon, and optionally captured_at, caption, "
    "author, license, dataset.",
)
@click.option("--dataset", help="Name under which these photos can be searched.")
@click.option("--dry-run", is_flag=True, help="Say what would happen and change nothing.")
@click.option("--watch", is_flag=True, help="Keep looking for new photos until interrupted.")
@click.option("--no-wait", is_flag=True, help="With workers: end once all photos are registered.")
@json_option
def ingest(
    paths: tuple[str, ...],
    manifest: Path | None,
    dataset: str | None,
    dry_run: bool,
    watch: bool,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Take photos in from PATHS: files, tar archives, folders with all they contain, URLs.

    URLs are those of photos, and on S3 also of archives and of prefixes that end in a slash.

    A label comes from the manifest, else from an XMP sidecar, else from EXIF. A photo without one
    is recorded and waits. Doing it again changes nothing and costs next to nothing; after an
    interruption the same command finishes the job.

    With GEOSEARCH_BROKER_URL set, photos are registered here and workers (`geosearch worker`) take
    them in.
    """
    from geosearch.client import GeoSearch, photo_sources
    from geosearch.settings import load_settings

    has_broker = load_settings().broker_url is not None
    if no_wait and not has_broker:
        raise click.UsageError("--no-wait is for workers, and GEOSEARCH_BROKER_URL is not set")
    if has_broker and not dry_run:
        if watch:
            raise click.UsageError(
                "--watch takes photos in by itself; with workers repeat the command, or unset "
                "GEOSEARCH_BROKER_URL"
            )
        inputs = {"paths": [str(path) for path in paths], "manifest": manifest and str(manifest)}
        with ingest_progress(
            lambda: photo_sources(paths, manifest=manifest, dataset=dataset)
        ) as progress:
            report = _by_workers(
                lambda producer: producer.send(
                    photo_sources(paths, manifest=manifest, dataset=dataset),
                    inputs=inputs | {"dataset": dataset},
                    progress=progress,
                ),
                progress=progress,
                no_wait=no_wait,
            )
        _show(report, as_json=as_json)
        return 1 if report.failed else 0

    with GeoSearch() as geosearch:

        def once() -> IngestReport:
            with ingest_progress(
                lambda: photo_sources(paths, manifest=manifest, dataset=dataset)
            ) as progress:
                return geosearch.ingest(
                    paths, manifest=manifest, dataset=dataset, dry_run=dry_run, progress=progress
                )

        report = once()
        _show(report, as_json=as_json and not watch)
        while watch:
            _wait(WATCH_INTERVAL_S)
            report = geosearch.ingest(paths, manifest=manifest, dataset=dataset, settled_only=True)
            if report.indexed or report.updated:
                _show(report, as_json=False)
    return 1 if report.failed else 0


@click.command()
@click.option("--failed", is_flag=True, help="Also what failed, not only what was interrupted.")
@click.option("--no-wait", is_flag=True, help="With workers: end once all photos are sent.")
@json_option
def retry(failed: bool, no_wait: bool, as_json: bool) -> int:
    """Take in again what was interrupted, wherever it lies."""
    from geosearch.client import GeoSearch
    from geosearch.settings import load_settings

    if load_settings().broker_url is not None:
        with ingest_progress(tuple) as progress:
            report = _by_workers(
                lambda producer: producer.retry(failed=failed, progress=progress),
                progress=progress,
                no_wait=no_wait,
            )
    else:
        if no_wait:
            raise click.UsageError("--no-wait is for workers, and GEOSEARCH_BROKER_URL is not set")
        with GeoSearch() as geosearch:
            report = geosearch.retry(failed=failed)
    _show(report, as_json=as_json)
    return 1 if report.failed else 0


def _by_workers(
    send: Callable[[Producer], Sent],
    *,
    progress: Callable[[IngestReport], None] | None,
    no_wait: bool,
) -> IngestReport:
    """Give photos to workers, and wait for them unless told otherwise."""
    from geosearch.services import Services
    from geosearch.settings import load_settings
    from workers.broker import open_broker
    from workers.producer import Producer

    settings = load_settings()
    broker = open_broker(settings)
    try:
        with Services(settings) as services:
            producer = Producer(services, broker)
            start = monotonic()
            sent = send(producer)
            report = sent.report if no_wait else producer.follow(sent.run_id, progress=progress)
            report.seconds = monotonic() - start
            return report
    finally:
        broker.close()


def _show(report: IngestReport, *, as_json: bool) -> None:
    if as_json:
        write_json(report_document(report))
        return
    rate = report.scanned / report.seconds if report.seconds else 0.0
    click.echo(
        f"{report.scanned} photos seen in {report.seconds:.1f} s ({rate:.0f}/s): "
        f"{report.indexed} indexed, {report.updated} updated, {report.duplicates} known already, "
        f"{report.unlabelled} without a label, {report.failed} failed"
    )
    for error in report.errors[:20]:
        note(f"  {error.path}: {error.reason}")
    if len(report.errors) > 20:
        note(f"  … and {len(report.errors) - 20} more; `geosearch status` shows the last")
    if report.unlabelled:
        note("  Photos without a label wait for a manifest with their coordinates.")
    sys.stdout.flush()
