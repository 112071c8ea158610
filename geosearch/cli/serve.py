"""`geosearch serve`."""

from __future__ import annotations

import gc
import signal
import socket
from typing import TYPE_CHECKING

import click

from geosearch.cli.output import note

if TYPE_CHECKING:
    import asyncio

    from geosearch.client import GeoSearch

LOOPBACK = ("127.0.0.1", "localhost", "::1")

GRACE_S = 30
"""How long requests that are being answered may take when the server is told to end."""

HEAD_TIMEOUT_S = 20.0
"""A connection on which no request has begun by then is closed."""

KEEP_ALIVE_S = 15
"""How long a connection may be idle between requests."""


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
        import uvicorn
        from uvicorn.protocols.http.auto import AutoHTTPProtocol

        from geosearch.api import create_app
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
        listener = _listen(host, port)
        app = create_app(geosearch, hosts=LOOPBACK if is_local else None, asks_keys=not no_keys)

        class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # one of two classes
            """Closes connections that say nothing."""

            def connection_made(self, transport: asyncio.Transport) -> None:
                super().connection_made(transport)
                self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_silent)

            def _close_if_silent(self) -> None:
                if self.cycle is None and self.transport is not None:
                    self.transport.close()

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                app.state.shared.jobs.begin_stop()  # streams of events end, or it would wait on
                await super().shutdown(sockets)

        config = uvicorn.Config(
            app,
            http=Protocol,
            log_level="warning",
            timeout_graceful_shutdown=GRACE_S,
            timeout_keep_alive=KEEP_ALIVE_S,
            server_header=False,
        )
        # What is loaded by now (300,000 objects) stays to the end. Looking through it for garbage
        # stopped every thread for 0.15 s, once in some 120 photos located.
        gc.collect()
        gc.freeze()
        shown = f"[{host}]" if ":" in host else host
        note(f"http://{shown}:{listener.getsockname()[1]}/ (Ctrl+C ends)")
        # uvicorn ends on these in good order and then raises them again, which would end the
        # process before the engines are closed.
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, lambda number, frame: None)
        Server(config).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    from geosearch.errors import ConfigError

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port, "
            "or 0 for a free one"
        ) from error


def _has_keys(geosearch: GeoSearch) -> bool:
    from geosearch.catalogue.keys import ApiKeys

    services = geosearch.services
    if services.settings.api_key is not None:
        return True
    _ = services.catalogue  # brings an embedded catalogue's tables up to date
    return any(key.revoked_at is None for key in ApiKeys(services.engine).listed())
