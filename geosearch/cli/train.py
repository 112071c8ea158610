"""`geosearch train`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosearch.cli.output import json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.encoder.training import TrainingResult, TrainingStatus

REWRITE = "\r\x1b[K"
"""Back to the beginning of the terminal's line, and clear it."""


class _WithReranker(click.Group):
    """`train` is a command of its own; `train reranker` is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["reranker"]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name != "reranker":
            return None
        from geosearch.cli.reranker import reranker

        return reranker


@click.group(cls=_WithReranker, invoke_without_command=True)
@click.option(
    "--features",
    "npz",
    type=click.Path(path_type=Path),
    help="NPZ with image_features, lat, lon and optionally text_features, place, author, country, "
    "dataset, license, caption.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="CSV or Parquet with columns path or url, lat, lon, as for ingest.",
)
@click.option(
    "--dataset", help="A data set of the catalogue; with --features or --manifest, only this one."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the state of the training and its checkpoint; required.",
)
@click.option("--resume", is_flag=True, help="Go on where the same command stopped.")
@click.option(
    "--epochs", type=click.IntRange(1), default=30, show_default=True, help="Most passes."
)
@click.option(
    "--batch-size", type=click.IntRange(2), default=512, show_default=True, help="Photos a step."
)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="Of the heads.")
@click.option(
    "--location-learning-rate",
    type=float,
    default=1e-4,
    show_default=True,
    help="Of the location encoder.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Passes without a better validation after which training stops.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random."
)
@click.option(
    "--held-out",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.15,
    show_default=True,
    help="Share of the places, or blocks, that validate.",
)
@click.option("--split-blocks", type=float, help="Hold out whole cells of so many degrees.")
@click.option(
    "--freeze-scales",
    is_flag=True,
    help="Keep the scale MLPs of the location encoder as they are: quicker, overfits less.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N; GEOSEARCH_DEVICE if not given.")
@click.option("--bf16", is_flag=True, help="Forward passes in bfloat16.")
@click.option(
    "--distributed", is_flag=True, help="Every process of `accelerate launch` takes part."
)
@json_option
@click.pass_context
def train(
    context: click.Context,
    npz: Path | None,
    manifest: Path | None,
    dataset: str | None,
    output: Path | None,
    resume: bool,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    location_learning_rate: float,
    patience: int,
    seed: int,
    held_out: float,
    split_blocks: float | None,
    freeze_scales: bool,
    device: str | None,
    bf16: bool,
    distributed: bool,
    as_json: bool,
) -> int:
    """Train heads and location encoder on your own labelled photos.

    The features of the frozen encoder are computed once and kept in GEOSEARCH_HOME/features; then
    every epoch reads them from there. `geosearch encoders activate OUTPUT` puts the result to use.
    """
    if context.invoked_subcommand is not None:
        return 0
    if output is None:
        raise click.UsageError("nowhere to write to; give --output FOLDER")
    if npz is not None and manifest is not None:
        raise click.UsageError("--features and --manifest are two sources; give one of them")
    if npz is None and manifest is None and dataset is None:
        raise click.UsageError(
            "nothing to train on; give --features FILE.npz, --manifest FILE, or --dataset NAME of "
            "the catalogue"
        )
    from geosearch.encoder.training import TrainingConfig
    from geosearch.encoder.training import train as train_on
    from geosearch.ingest.training_data import TrainingData
    from geosearch.services import Services
    from geosearch.settings import load_settings

    settings = load_settings()
    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        location_learning_rate=location_learning_rate,
        patience=patience,
        seed=seed,
        validation_share=held_out,
        blocks_deg=split_blocks,
        freeze_scales=freeze_scales,
        device=device or settings.device,
        bf16=bf16,
        distributed=distributed,
    )
    with Services(settings) as services, _counting() as progress:
        data = TrainingData(
            services.opener.load(services.opener.wanted),
            services.gazetteer.lookup,
            settings.home / "features",
            batch_size=settings.batch_size,
            threads=settings.decode_threads or os.cpu_count() or 1,
            limits=services.read_limits,
            progress=progress,
        )
        if npz is not None:
            features = data.from_npz(npz, dataset=dataset)
        elif manifest is not None:
            features = data.from_manifest(manifest, dataset=dataset)
        else:
            rows = services.catalogue.export_rows(dataset=dataset)
            features = data.from_catalogue(rows)
    for uri, reason in data.left_out[:20]:
        note(f"  {uri}: {reason}")
    if data.left_out:
        note(f"{len(data.left_out)} photos are left out")
    with _live() as show:
        result = train_on(features, config, output=output, resume=resume, progress=show)
    document = _document(result, left_out=len(data.left_out))
    if as_json:
        write_json(document)
        return 0
    click.echo(f"{'checkpoint':>16}  {result.checkpoint.folder}")
    click.echo(f"{'epochs':>16}  {len(result.epochs)}, best {result.best_epoch}")
    for name, value in result.metrics.items():
        click.echo(f"{name:>16}  {value:.4g}")
    note(f"`geosearch encoders activate {result.checkpoint.folder}` puts it to use")
    return 0


def _document(result: TrainingResult, *, left_out: int) -> dict[str, Any]:
    return {
        "checkpoint": str(result.checkpoint.folder),
        "encoder": str(result.checkpoint.identity),
        "best_epoch": result.best_epoch,
        "metrics": dict(result.metrics),
        "epochs": [dict(epoch) for epoch in result.epochs],
        "stopped_early": result.stopped_early,
        "left_out": left_out,
        "seconds": result.seconds,
    }


@contextmanager
def _counting() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar for each kind of feature that is computed, while stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as bar:

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


@contextmanager
def _live() -> Iterator[Callable[[TrainingStatus], None]]:
    """The loss as it falls: a line that is rewritten on a terminal, one line an epoch elsewhere."""
    on_terminal = sys.stderr.isatty()

    def show(status: TrainingStatus) -> None:
        head = f"epoch {status.epoch}/{status.epochs}"
        rate = f"loss {status.loss:.4f}  {status.samples_per_second:,.0f} photos/s"
        if status.metrics is None:
            if on_terminal:
                words = f"{head}  step {status.step}/{status.steps}  {rate}"
                click.echo(REWRITE + words, err=True, nl=False)
            return
        metrics = status.metrics
        note(
            f"{REWRITE if on_terminal else ''}{head}  {rate}  held out: "
            f"loss {metrics['loss']:.4f}, median {metrics['median_km']:,.0f} km, "
            f"within 750 km {metrics['within_750_km']:.1f} %{'  best' if status.is_best else ''}"
        )

    yield show
