"""Photos by URL: with limits on time and size, and never from a machine that is not public.

The only importer of `httpx` and `httpcore`. A name is resolved once for each connection, and the
connection goes to the very address that was checked, so a name that changes its mind between check
and use gains nothing; each redirect is a connection of its own and checked like the first.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

from geosearch.addresses import AllowedAddresses
from geosearch.ingest.sources import SourceUnreadable, too_large

MAX_REDIRECTS = 5

Resolve = Callable[[str, int], list[str]]


class WebReader:
    """Fetches URLs; safe to share between threads, which share its connections.

    Proxies of the environment are not used: what they connect to cannot be checked here.

    Args:
        timeout_s: for one photo from the first to the last byte, redirects included.
        allowed: what may be reached although it is not public.
        resolve: a host's addresses; tests put their own here.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        allowed: AllowedAddresses = AllowedAddresses(),  # frozen
        resolve: Resolve | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._deadline = _Deadline()
        self._client = httpx.Client(
            transport=_Transport(_Backend(allowed, resolve or _addresses, self._deadline)),
            timeout=timeout_s,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            trust_env=False,
            # A photo does not get smaller by it, and a bomb cannot be sent in it.
            headers={"accept-encoding": "identity", "user-agent": "geosearch"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self, url: str, *, max_bytes: int) -> bytes:
        """The bytes at a URL.

        Raises:
            SourceUnreadable: not delivered in time, too large, not public, or no such thing.
        """
        self._deadline.at = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("GET", url) as response:
                return _body(response, max_bytes)
        except (httpcore.TimeoutException, httpx.TimeoutException) as error:
            raise SourceUnreadable(
                f"the server took longer than {self._timeout_s:g} s; "
                "GEOSEARCH_URL_TIMEOUT_S allows more"
            ) from error
        except _FAILURES as error:
            reason = str(error) or type(error).__name__
            raise SourceUnreadable(f"the server could not be asked: {reason}") from error
        finally:
            # Only the wire is left without one: a connection may be closed at any time.
            self._deadline.at = None


_FAILURES = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def _body(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise SourceUnreadable(f"the server answered {response.status_code}")
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise SourceUnreadable(f"the server sent it packed ({encoding[:20]}), which was not asked")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length[:18]) > max_bytes:
        raise SourceUnreadable(too_large(max_bytes))
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise SourceUnreadable(too_large(max_bytes))
    return bytes(body)


class _Deadline(threading.local):
    """When the fetch that this thread is at must be over; None between two."""

    at: float | None = None

    def remaining_s(self, timeout_s: float | None) -> float | None:
        if self.at is None:
            return timeout_s
        remaining_s = self.at - time.monotonic()
        if remaining_s <= 0.0:
            raise httpcore.ReadTimeout("the time is over")
        return remaining_s if timeout_s is None else min(timeout_s, remaining_s)


class _Backend(httpcore.NetworkBackend):
    """Connects to checked addresses, within the deadline of the thread's fetch."""

    def __init__(self, allowed: AllowedAddresses, resolve: Resolve, deadline: _Deadline) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise SourceUnreadable(f"there is no host {host[:100]!r}") from error
        permitted = [address for address in found if self._allowed.allow(host, address)]
        if not permitted:
            raise SourceUnreadable(
                f"{host[:100]} is not on the public internet ({', '.join(found[:3])}); "
                "GEOSEARCH_URL_ALLOW lists hosts and networks that may be reached all the same"
            )
        for address in permitted[:-1]:
            try:
                return self._connect(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next may be up
        return self._connect(permitted[-1], port, timeout, local_address, socket_options)

    def _connect(
        self, address: str, port: int, timeout: float | None, local: str | None, options: Any
    ) -> httpcore.NetworkStream:
        limit = self._deadline.remaining_s(timeout)
        stream = self._sockets.connect_tcp(
            address, port, timeout=limit, local_address=local, socket_options=options
        )
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends with the deadline: a trickle cannot hold a thread."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.remaining_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.remaining_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        limit = self._deadline.remaining_s(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, limit), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Transport(httpx.BaseTransport):
    """httpx on top of a pool of our own connections."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=None,
            max_keepalive_connections=32,
            keepalive_expiry=10.0,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=b"",
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
