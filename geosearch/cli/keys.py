"""`geosearch keys`: who may use the HTTP API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from geosearch.cli.output import json_option, write_json


@click.group()
def keys() -> None:
    """Create, list and revoke keys of the HTTP API.

    With the embedded engines a home belongs to one process: do this while it is not served.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["read", "write", "admin"]),
    multiple=True,
    default=["read"],
    show_default=True,
    help="What it may do; each allows what those before it do.",
)
@json_option
def create(name: str, scopes: tuple[str, ...], as_json: bool) -> int:
    """Make a key called NAME and show it, once: only its hash is kept."""
    from geosearch.catalogue.keys import ApiKeys

    with _services() as services:
        key, secret = ApiKeys(services.engine).create(name, scopes)
    if as_json:
        write_json(_document(key) | {"key": secret})
    else:
        click.echo(secret)
        click.echo(f"key {key.id} ({key.name}): {', '.join(key.scopes)}", err=True)
    return 0


@keys.command(name="list")
@json_option
def list_keys(as_json: bool) -> int:
    """List all keys, revoked ones included."""
    from geosearch.catalogue.keys import ApiKeys

    with _services() as services:
        found = ApiKeys(services.engine).listed()
    if as_json:
        write_json([_document(key) for key in found])
        return 0
    for key in found:
        end = "" if key.revoked_at is None else f"  revoked {key.revoked_at:%Y-%m-%d %H:%M}"
        click.echo(f"{key.id}  {','.join(key.scopes):16}  {key.name}{end}")
    return 0


@keys.command()
@click.argument("key_id")
@json_option
def revoke(key_id: str, as_json: bool) -> int:
    """Take the rights of the key KEY_ID away; a running server notices within seconds."""
    from geosearch.catalogue.keys import ApiKeys

    with _services() as services:
        key = ApiKeys(services.engine).revoke(key_id)
    if as_json:
        write_json(_document(key))
    else:
        click.echo(f"revoked {key.id} ({key.name})")
    return 0


def _services() -> Any:
    from geosearch.services import Services
    from geosearch.settings import load_settings

    services = Services(load_settings())
    _ = services.catalogue  # brings an embedded catalogue's tables up to date
    return services


def _document(key: Any) -> dict[str, Any]:
    return asdict(key)
