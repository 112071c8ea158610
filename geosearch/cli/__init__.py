"""The command line: a lazy group; each command's module is imported when the command runs."""

from __future__ import annotations

import atexit
import gc
import logging
import sys
from importlib import import_module

import click

from geosearch import __version__

COMMANDS = {
    "init": ("setup", "Create the home directory and its engines."),
    "ingest": ("ingest", "Take photos in from folders, files and manifests."),
    "search": ("search", "Find photos by look, place, time and more."),
    "locate": ("locate", "Say where photos were taken."),
    "serve": ("serve", "Serve the page and the HTTP API."),
    "keys": ("keys", "Create, list and revoke keys of the HTTP API."),
    "train": ("train", "Train heads and location encoder on your photos or on features."),
    "encoders": ("encoders", "List, choose and drop encoders and their indexes."),
    "evaluate": ("evaluate", "Measure how right the answers are."),
    "status": ("catalogue", "Show what the catalogue holds."),
    "retry": ("ingest", "Take in again what was interrupted or failed."),
    "reconcile": ("operations", "Compare catalogue and index, and mend the index."),
    "backup": ("operations", "Copy everything that was taken in to a directory."),
    "restore": ("operations", "Fill an empty home or empty servers with a backup."),
    "reindex": ("encoders", "Fill the index of the chosen encoder and switch to it."),
    "worker": ("worker", "Take in what ingest has registered, on this machine's device."),
    "export": ("catalogue", "Write the catalogue as CSV, Parquet, GeoJSON or KML."),
    "write-exif": ("geotags", "Write places into copies of photos."),
    "migrate": ("setup", "Bring the catalogue's tables up to date."),
    "config": ("setup", "Show every setting and its value."),
    "bench": ("bench", "Measure this installation on this machine."),
    "postcards": ("demo", "Draw the sample photos into a folder."),
    "demo": ("demo", "Ingest, search and locate sample photos or your own."),
}
"""Command to (module, one line of help), in the order of the help text."""


class _LazyGroup(click.Group):
    """Lists commands without importing them, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = import_module(f"geosearch.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings are environment variables; `geosearch config` shows them all.",
)
@click.version_option(__version__, prog_name="geosearch")
@click.option("-v", "--verbose", count=True, help="Log what happens; twice for details.")
def group(verbose: int) -> None:
    """Search labelled photos by look and place, and locate unknown ones."""
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit code 0, 1 (some items failed) or 2 (bad usage or config)."""
    from geosearch.errors import (
        BackupError,
        ConfigError,
        GeosearchError,
        HomeLocked,
        InvalidInput,
    )

    # Starting makes 300,000 objects that stay. Looking through them for garbage again and again,
    # and once more at the end, took 0.7 s of a search.
    gc.set_threshold(20_000, 10, 10)
    atexit.register(gc.freeze)
    try:
        code = group.main(args=arguments, prog_name="geosearch", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except click.Abort:
        code = 130
    except GeosearchError as error:
        click.echo(f"geosearch: {error}", err=True)
        code = 2 if isinstance(error, BackupError | ConfigError | HomeLocked | InvalidInput) else 1
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; Python must not complain at exit either.
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
