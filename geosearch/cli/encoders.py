"""`geosearch encoders`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geosearch.cli.output import json_option, write_json

if TYPE_CHECKING:
    from geosearch.encoder.registry import Checkpoint, Registry


@click.group(invoke_without_command=True)
@click.pass_context
def encoders(ctx: click.Context) -> int:
    """List, show, activate and drop trained encoders of this home."""
    if ctx.invoked_subcommand is None:
        code: int = ctx.invoke(list_)
        return code
    return 0


@encoders.command(name="list")
@json_option
def list_(as_json: bool = False) -> int:
    """List the trained encoders, the active one marked; 1 if one of them is damaged."""
    from geosearch.errors import GeosearchError

    registry = _registry()
    active = registry.active_name()
    rows: list[dict[str, Any]] = []
    for name in registry.names():
        row: dict[str, Any] = {"name": name, "active": name == active, "error": None}
        try:
            row |= _summary(registry.get(name))
        except GeosearchError as error:
            row["error"] = str(error)
        rows.append(row)
    if as_json:
        write_json({"encoders": rows, "active": active})
    elif not rows:
        click.echo("no trained encoder; `geosearch train` makes one")
    else:
        for row in rows:
            mark = "*" if row["active"] else " "
            text = row["error"] or (
                f"{row['trained_at']}  {row['photos']} photos  "
                f"median {row['metrics']['median_km']:,.0f} km  on {row['backbone']}"
            )
            click.echo(f"{mark} {row['name']}  {text}")
    return 1 if any(row["error"] for row in rows) else 0


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
    """Make NAME the encoder in use: a name, the beginning of a hash, a folder, or `none`.

    A folder, as `geosearch train` writes it, is copied into the home first.
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
        click.echo(f"active: {registry.active_name() or 'none, the backbone alone'}")
    return 0


@encoders.command()
@click.argument("name")
@json_option
def drop(name: str, as_json: bool) -> int:
    """Delete NAME from this home; the active one is refused."""
    dropped = _registry().drop(name)
    if as_json:
        write_json({"dropped": dropped})
    else:
        click.echo(f"dropped {dropped}")
    return 0


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
