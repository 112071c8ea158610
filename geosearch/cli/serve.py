"""`geosearch serve`."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import note

if TYPE_CHECKING:
    from geosearch.client import GeoSearch

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes a free one.",
)
@click.option("--no-keys", is_flag=True, help="Ask for no key; on this machine alone.")
def serve(host: str, port: int, no_keys: bool) -> int:
    """Serve the page and the HTTP API until interrupted.

    Every request to the API carries a key: one of `geosearch keys create`, or GEOSEARCH_API_KEY.
    With --no-keys none is asked, which is allowed on 127.0.0.1, ::1 and localhost only. Put TLS in
    front of any other --host.
    """
    from geosearch.client import GeoSearch
    from geosearch.errors import ConfigError, MissingDependency

    try:
        from geosearch.api import create_app
        from geosearch.cli.listening import listen, run
    except ImportError as error:
        raise MissingDependency(
            error.name or "fastapi", extra="api", purpose="geosearch serve"
        ) from error
    with GeoSearch() as geosearch:
        is_local = host in LOOPBACK
        if no_keys and not is_local:
            raise ConfigError(
                f"--host {host} can be reached by others; leave out --no-keys, or listen on "
                "127.0.0.1"
            )
        if not no_keys and not _has_keys(geosearch):
            raise ConfigError(
                "there is no key yet; run: geosearch keys create NAME, or set GEOSEARCH_API_KEY, "
                "or on this machine alone: geosearch serve --no-keys"
            )
        listener = listen(host, port)
        app = create_app(geosearch, hosts=LOOPBACK if is_local else None, asks_keys=not no_keys)
        # What is loaded by now (300,000 objects) stays to the end. Looking through it for garbage
        # stopped every thread for 0.15 s, once in some 120 photos located.
        gc.collect()
        gc.freeze()
        shown = f"[{host}]" if ":" in host else host
        note(f"http://{shown}:{listener.getsockname()[1]}/ (Ctrl+C ends)")
        # Streams of events end when the server does, or it would wait on for them.
        run(app, listener, before_end=app.state.shared.jobs.begin_stop)
    return 0


def _has_keys(geosearch: GeoSearch) -> bool:
    from geosearch.catalogue.keys import ApiKeys

    services = geosearch.services
    if services.settings.api_key is not None:
        return True
    _ = services.catalogue  # brings an embedded catalogue's tables up to date
    return any(key.revoked_at is None for key in ApiKeys(services.engine).listed())
