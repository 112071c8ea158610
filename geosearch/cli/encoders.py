"""`geosearch encoders` and `geosearch reindex`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosearch.cli.output import counting_progress, json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.client.encoders import IndexSummary
    from geosearch.encoder.registry import Checkpoint, Registry
    from geosearch.records import ReindexReport


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def encoders(ctx: click.Context, as_json: bool) -> int:
    """List, show, choose and drop trained encoders and their indexes."""
    if ctx.invoked_subcommand is None:
        code: int = ctx.invoke(list_, as_json=as_json)
        return code
    if as_json:
        raise click.UsageError(f"write it as: geosearch encoders {ctx.invoked_subcommand} --json")
    return 0


@encoders.command(name="list")
@json_option
def list_(as_json: bool = False) -> int:
    """List trained encoders and the index of each encoder; 1 if one of them is damaged.

    A star marks what is chosen. Of the indexes one is active: searches use it. `geosearch reindex`
    fills that of the chosen encoder and then makes it the active one.
    """
    registry = _registry()
    rows = _checkpoints(registry)
    indexes, problem = _indexes()
    if as_json:
        listed = None if indexes is None else [asdict(index) for index in indexes]
        write_json(
            {"encoders": rows, "active": registry.active_name(), "indexes": listed}
            | ({"reason": problem} if problem else {})
        )
        return 1 if any(row["error"] for row in rows) else 0
    if not rows:
        click.echo("no trained encoder; `geosearch train` makes one")
    for row in rows:
        text = row["error"] or (
            f"{row['trained_at']}  {row['photos']} photos  "
            f"median {row['metrics']['median_km']:,.0f} km  on {row['backbone']}"
        )
        click.echo(f"{'*' if row['active'] else ' '} {row['name']}  {text}")
    if indexes is None:
        note(f"the indexes cannot be listed: {problem}")
    for index in indexes or ():
        lacks = f", {index.missing} missing" if index.missing else ""
        name = index.encoder if index.backbone is None else index.backbone
        heads = f" {index.heads}" if index.heads else ""
        click.echo(
            f"{'*' if index.wanted else ' '} index {index.id}  {index.state:<7}  "
            f"{index.photos} photos{lacks}  {name}{heads}"
        )
    return 1 if any(row["error"] for row in rows) else 0


def _checkpoints(registry: Registry) -> list[dict[str, Any]]:
    from geosearch.errors import GeosearchError

    active = registry.active_name()
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        row: dict[str, Any] = {"name": name, "active": name == active, "error": None}
        try:
            row |= _summary(registry.get(name))
        except GeosearchError as error:
            row["error"] = str(error)
        rows.append(row)
    return rows


def _indexes() -> tuple[list[IndexSummary] | None, str | None]:
    """The indexes, or None and why not: a server in another process may hold the home."""
    from geosearch.client.encoders import index_summaries
    from geosearch.errors import HomeLocked
    from geosearch.services import Services
    from geosearch.settings import load_settings

    try:
        with Services(load_settings()) as services:
            return index_summaries(services), None
    except HomeLocked as error:
        return None, str(error)


@encoders.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> int:
    """Show the model card of NAME, a name, the beginning of a hash, or a folder."""
    checkpoint = _find(_registry(), name, add=False)
    if as_json:
        write_json({"identity": str(checkpoint.identity), **checkpoint.document})
        return 0
    from geosearch.encoder.checkpoints import CARD

    card = checkpoint.folder / CARD
    click.echo(card.read_text() if card.is_file() else str(checkpoint.identity))
    return 0


@encoders.command()
@click.argument("name")
@json_option
def activate(name: str, as_json: bool) -> int:
    """Choose NAME: a name, the beginning of a hash, a folder, or `none` for the backbone alone.

    A folder, as `geosearch train` writes it, is copied into the home first. Searches use it once
    `geosearch reindex` has filled its index, and go on with the index in use until then.
    """
    registry = _registry()
    if name == "none":
        registry.activate(None)
        identity = None
    else:
        identity = str(_activated(registry, name).identity)
    if as_json:
        write_json({"active": registry.active_name(), "identity": identity})
    else:
        click.echo(f"chosen: {registry.active_name() or 'none, the backbone alone'}")
        note("`geosearch reindex` fills its index and then searches with it")
    return 0


@encoders.command()
@click.argument("name")
@json_option
def drop(name: str, as_json: bool) -> int:
    """Delete NAME, trained heads or an index: its vectors, and heads from this home.

    What is chosen or in use is refused.
    """
    from geosearch.client.encoders import drop_encoder
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services:
        dropped = drop_encoder(services, name)
    if as_json:
        write_json(asdict(dropped))
    else:
        for what in (*dropped.indexes, *([dropped.heads] if dropped.heads else ())):
            click.echo(f"dropped {what}")
    return 0


@click.command()
@click.option("--encoder", metavar="ID", help="Trained heads or an index, instead of the chosen.")
@click.option("--no-switch", is_flag=True, help="Only fill; searches stay with the index in use.")
@click.option(
    "--leave-out-unreadable", is_flag=True, help="Switch although photos cannot be read any more."
)
@json_option
def reindex(encoder: str | None, no_switch: bool, leave_out_unreadable: bool, as_json: bool) -> int:
    """Fill the index of the chosen encoder, then search with that one.

    Each encoder has an index of its own. Searches and ingests go on with the old one meanwhile; it
    stays until `geosearch encoders drop`. Killed at any moment, the same command goes on. Exit code
    1: photos could not be read; without --leave-out-unreadable searches then stay with the old one.
    """
    from geosearch.client import GeoSearch

    with GeoSearch() as geosearch, counting_progress("reindex") as progress:
        report = geosearch.reindex(
            encoder=encoder,
            switch=not no_switch,
            leave_out_unreadable=leave_out_unreadable,
            progress=progress,
        )
    if as_json:
        write_json(asdict(report))
    else:
        _show_reindex(report)
    return 1 if report.failed else 0


def _show_reindex(report: ReindexReport) -> None:
    click.echo(
        f"{report.indexed} photos put in, {report.updated} updated, {report.removed} removed, "
        f"{report.failed} left out in {report.seconds:.1f} s"
    )
    for error in report.errors[:20]:
        note(f"  {error.path}: {error.reason}")
    if report.switched:
        click.echo(f"searches use {report.encoder} now")


def _registry() -> Registry:
    from geosearch.encoder.registry import Registry
    from geosearch.settings import load_settings

    return Registry(load_settings().home)


def _find(registry: Registry, name: str, *, add: bool) -> Checkpoint:
    folder = Path(name)
    if folder.is_dir():
        from geosearch.encoder.registry import read_checkpoint, trained_checkpoint

        found = trained_checkpoint(folder)
        return registry.add(found) if add else read_checkpoint(found)
    return registry.get(name)


def _activated(registry: Registry, name: str) -> Checkpoint:
    checkpoint = _find(registry, name, add=True)
    _check_backbone(checkpoint)
    registry.activate(checkpoint.name)
    return checkpoint


def _check_backbone(checkpoint: Checkpoint) -> None:
    """Refuse heads for another architecture, without loading any; weights are compared on use.

    Raises:
        ConfigError: the checkpoint belongs to another backbone than GEOSEARCH_ENCODER names.
    """
    from geosearch.encoder.lite import LiteBackbone
    from geosearch.errors import ConfigError
    from geosearch.settings import load_settings

    setting = load_settings().encoder
    wanted = LiteBackbone.name if setting == "lite" else setting.partition("/")[0]
    found = checkpoint.encoder.split("|")[0]
    if found != wanted:
        raise ConfigError(
            f"{checkpoint.name} was trained on {found} and GEOSEARCH_ENCODER={setting} is another "
            "encoder; set GEOSEARCH_ENCODER to the one it was trained on, or train for this one"
        )


def _summary(checkpoint: Checkpoint) -> dict[str, Any]:
    training = checkpoint.document["training"]
    return {
        "identity": str(checkpoint.identity),
        "backbone": checkpoint.encoder.split("|")[0],
        "trained_at": training["finished_at"],
        "photos": training["data"]["photos"],
        "metrics": training["metrics"],
    }
