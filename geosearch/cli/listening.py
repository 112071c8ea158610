"""The server's socket and connections: uvicorn, with limits on silence, slowness and number."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from geosearch.errors import ConfigError

Application = Callable[..., Any]
"""An ASGI application."""

GRACE_S = 30
"""How long requests that are being answered may take when the server is told to end."""

HEAD_TIMEOUT_S = 20.0
"""A connection on which no request has begun for so long is closed, at most twice as late."""

KEEP_ALIVE_S = 15
"""How long a connection may be idle between requests."""

READ_TIMEOUT_S = 20.0
"""Whoever reads less than `SLOWEST_BYTES` of an answer that waits in so long is cut off."""

SLOWEST_BYTES = 16_384

BACKLOG = 2048
"""Connections that the system holds until they are accepted."""


def most_connections() -> int:
    """How many connections there may be: half of the files that this process may open."""
    return min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # one of two classes
    """One client: closed when it says nothing, reads too slowly, or is one too many."""

    _idle_after: object = None
    _silence: asyncio.TimerHandle | None = None
    _slowness: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Watch a new client, or refuse it."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
            return
        # asyncio leaves Nagle's algorithm on where it does not recognise the listener; head and
        # body of an answer are two writes, and the second would wait 40 ms for an acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._idle_after = self.cycle
        self._silence = self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        for timer in (self._silence, self._slowness):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        """A request that never begins leaves the last cycle as it was, whatever is dripped."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._idle_after is self.cycle:
            self.transport.close()
            return
        self._idle_after = self.cycle if is_idle else self
        self._silence = self.loop.call_later(HEAD_TIMEOUT_S, self._close_if_silent)

    def pause_writing(self) -> None:
        """The client does not keep up: from now on it is watched."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._slowness is not None:
            self._slowness.cancel()
            self._slowness = None
        super().resume_writing()

    def _watch_reader(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._slowness = self.loop.call_later(READ_TIMEOUT_S, self._abort_if_slow, unread)

    def _abort_if_slow(self, unread: int) -> None:
        if unread - self.transport.get_write_buffer_size() < SLOWEST_BYTES:
            self.transport.abort()  # closing would wait for the very client that does not read
        else:
            self._watch_reader()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --port, "
            "or 0 for a free one"
        ) from error


def configuration(app: Application) -> uvicorn.Config:
    """How an application is served."""
    options: dict[str, Any] = {"http": Connection, "ws": "none", "server_header": False}
    return uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        **options,
    )


def run(app: Application, listener: socket.socket, before_end: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; the main thread alone can.

    Args:
        app: what is served.
        listener: listens.
        before_end: called when the end begins, before connections are waited for.
    """

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            before_end()
            await super().shutdown(sockets)

    # uvicorn ends on these in good order and then raises them again, which would end the
    # process before the engines are closed.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, frame: None)
    Server(configuration(app)).run(sockets=[listener])
