"""`geosearch init`, `geosearch migrate`, and `geosearch config` with `check` and `trust`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import counted, json_option, note, write_json

if TYPE_CHECKING:
    from geosearch.client.model_check import ModelCheck


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


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def config(context: click.Context, as_json: bool) -> int:
    """Show every setting: its variable, its value, what it is for. Secrets are masked."""
    if context.invoked_subcommand is not None:
        return 0
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


@config.command()
@click.option("--live", is_flag=True, help="Ask each model with a tiny picture; costs a little.")
@json_option
def check(live: bool, as_json: bool) -> int:
    """Say of each model in GEOSEARCH_LMM_CONFIG whether it can be asked.

    Exit code 1 if at least one cannot; what to do is in the output.
    """
    from geosearch.client.model_check import check_models
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services:
        found = []
        for one in counted(check_models(services, is_live=live), "check"):
            found.append(one)
            if not as_json:
                _show(one)
        unused = () if services.lmm_config is None else services.lmm_config.unused
    if as_json:
        write_json({"models": [asdict(one) for one in found], "unused_keys": list(unused)})
    elif unused:
        note(f"keys without a meaning here: {', '.join(unused)}")
    return 1 if any(one.error is not None for one in found) else 0


@config.command()
@click.option("--reset", is_flag=True, help="Forget it; the next photo begins anew.")
@click.option("--model", metavar="NAME", help="With --reset: of this model only.")
@json_option
def trust(reset: bool, model: str | None, as_json: bool) -> int:
    """Show how far each model is believed, learned from its agreement with your photos.

    Of how many photos it is right within 25 km, and of how many the photos found are.
    """
    if model is not None and not reset:
        raise click.UsageError("--model goes with --reset; without both, all models are shown")
    from geosearch.client.model_trust import forget_model_trust, model_trust
    from geosearch.services import Services
    from geosearch.settings import load_settings

    with Services(load_settings()) as services:
        forgotten = forget_model_trust(services, model) if reset else 0
        found = model_trust(services)
    if as_json:
        write_json({"trust": [asdict(one) for one in found], "forgotten": forgotten})
        return 0
    if reset:
        click.echo(f"observations forgotten: {forgotten}")
    elif not found:
        click.echo("nothing is learned yet; see docs/lmm.md")
    for one in found:
        click.echo(f"{one.model} ({one.deployments}), photos by {one.ranked_by}:")
        click.echo(
            f"  right for {one.rate:.0%} of photos, the photos for {one.reach:.0%}; agreed on "
            f"{one.agreed} of {one.observations}, {one.first} to {one.last}"
        )
    return 0


def _show(one: ModelCheck) -> None:
    """One model in a line or two."""
    if one.error is not None:
        click.echo(f"{one.name} ({one.model}): {one.error}")
        return
    price = "" if one.is_priced else "; its price is not known, so limits on cost refuse it"
    click.echo(f"{one.name} ({one.model}, {one.where}): can be asked{price}")
    if one.reply is not None:
        cost = "at an unknown price" if one.cost_usd is None else f"for ${one.cost_usd:.5f}"
        click.echo(f"  {one.answered_by} sent {one.reply}, in {one.seconds:.1f} s, {cost}")
