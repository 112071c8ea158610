"""`geosearch worker`."""

from __future__ import annotations

import logging

import click


@click.command()
@click.option(
    "--queue",
    "queues",
    multiple=True,
    type=click.Choice(["embed", "index", "locate", "maintenance"]),
    help="What to work on; may be repeated; everything if not given.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N; one worker a device.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve metrics to Prometheus.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How to write the log.")
@click.pass_context
def worker(
    ctx: click.Context,
    queues: tuple[str, ...],
    device: str | None,
    metrics_port: int | None,
    log_format: str | None,
) -> int:
    """Take in and locate photos that other commands ask for, until told to stop.

    They are those that `geosearch ingest` and `geosearch locate --out` have registered.

    Needs GEOSEARCH_BROKER_URL, GEOSEARCH_DATABASE_URL and GEOSEARCH_QDRANT_URL. One worker loads
    one model on one device; start as many as there are devices, on any machine that can read the
    photos by the same paths or URLs. Ctrl-C or SIGTERM finishes the photos in hand.

    As in: geosearch worker --device cuda:0. With --queue embed it only takes photos in; then leave
    the other queues to at least one other worker.
    """
    from geosearch.settings import load_settings

    # Celery and the workers are not needed by any other command.
    from workers.app import QUEUES
    from workers.worker import serve

    given = {"device": device, "metrics_port": metrics_port, "log_format": log_format}
    settings = load_settings(**{name: v for name, v in given.items() if v is not None})
    verbose = (ctx.parent.params.get("verbose") if ctx.parent is not None else 0) or 0
    level = logging.DEBUG if verbose > 1 else logging.INFO
    return serve(settings, queues=queues or QUEUES, log_level=level)
