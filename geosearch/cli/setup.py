"""`geosearch init`, `geosearch migrate` and `geosearch config`."""

from __future__ import annotations

import click

from geosearch.cli.output import json_option, write_json


@click.command()
@json_option
def init(as_json: bool) -> int:
    """Create the home directory, start the engines once and load the encoder."""
    from geosearch.services import Services
    from geosearch.settings import load_settings

    settings = load_settings()
    with Services(settings) as services:
        _, revision = services.migrate()
        embedder = services.embedder
        points = services.store.count()
    document = {
        "home": str(settings.home),
        "catalogue": "embedded" if settings.database_url is None else "server",
        "revision": revision,
        "store": "embedded" if settings.qdrant_url is None else settings.qdrant_url,
        "points": points,
        "encoder": str(embedder.identity),
        "device": str(embedder.device),
        "dtype": str(embedder.dtype).removeprefix("torch."),
    }
    if as_json:
        write_json(document)
    else:
        for name, value in document.items():
            click.echo(f"{name:>10}  {value}")
    return 0


@click.command()
@json_option
def migrate(as_json: bool) -> int:
    """Bring the catalogue's tables to the form that this version needs."""
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services:
        before, after = services.migrate()
    if as_json:
        write_json({"before": before, "after": after})
    elif before == after:
        click.echo(f"the catalogue is up to date (revision {after})")
    else:
        click.echo(f"the catalogue went from revision {before or 'none'} to {after}")
    return 0


@click.command()
@json_option
def config(as_json: bool) -> int:
    """Show every setting: its variable, its value, what it is for. Secrets are masked."""
    from geosearch.settings import PREFIX, Settings, load_settings

    settings = load_settings()
    rows = [
        {
            "variable": PREFIX + name.upper(),
            "value": None if getattr(settings, name) is None else str(getattr(settings, name)),
            "default": None if field.default is None else str(field.default),
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        write_json({"settings": rows})
        return 0
    for row in rows:
        click.echo(f"{row['variable']}={row['value'] or ''}")
        click.echo(f"    {row['description']} Default: {row['default'] or 'none'}.")
    return 0
