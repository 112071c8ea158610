"""What every request passes: host, origin, key, rate, size, time; headers of every answer."""

from __future__ import annotations

import asyncio
import logging
import math
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geosearch import __version__
from geosearch.api.access import Access, scope_of
from geosearch.api.limits import RateLimit
from geosearch.api.metrics import Metrics
from geosearch.api.problems import problem
from geosearch.errors import GeosearchError

logger = logging.getLogger(__name__)

MAX_FORM_BYTES = 5_000_000
"""Of a body that is no upload."""

BODY_TIMEOUT_S = 120.0
"""A body that takes longer to come in is refused: a slow client must not hold a place."""

BODIES_AT_ONCE = 4
"""Largest bodies that may be held in memory at once; further ones are told to come back."""

MOST_STREAMS = 256
"""Streams of events at once. They wait for others' work, so they take no place of a request."""

ALWAYS_ANSWERED = ("/healthz", "/readyz")
"""A busy server is not a dead one, and whoever restarts it must be able to tell."""


class Guard:
    """Refuses what must not come in, before a byte of the body is read.

    Args:
        app: what is guarded.
        access: finds who asks; None where no key is asked for.
        rate: of each caller.
        metrics: counts what is answered.
        hosts: allowed values of Host without port, None for any.
        max_body_bytes: of one request.
        max_in_flight: requests at once; more are told to come back.
        tile_url: whose pictures the page may show.
        body_timeout_s: how long a body may take to come in.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access | None,
        rate: RateLimit,
        metrics: Metrics,
        hosts: tuple[str, ...] | None,
        max_body_bytes: int,
        max_in_flight: int,
        tile_url: str | None,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._access = access
        self._rate = rate
        self._metrics = metrics
        self._hosts = hosts
        self._max_body_bytes = max_body_bytes
        self._max_in_flight = max_in_flight
        self._body_timeout_s = body_timeout_s
        self._in_flight = 0
        self._streams = 0
        self._body_bytes = 0
        self._policy = _content_policy(tile_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count(scope["method"], message["status"])
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["GeoSearch-Version"] = __version__
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refusal(headers) or await self._stranger(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        is_stream = scope["path"].startswith("/v1/jobs/") and scope["path"].endswith("/events")
        length = int(headers.get("content-length", "0"))
        if self._is_full(scope["path"], is_stream, length):
            busy = problem(503, "the server is busy; ask again later", {"Retry-After": "2"})
            await busy(scope, receive, send_guarded)
            return
        self._count(1, is_stream, length)
        try:
            await self._answer(scope, receive, send_guarded)
        finally:
            self._count(-1, is_stream, length)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; a body that is late and a defect become problem documents."""
        body = _TimelyBody(receive, self._body_timeout_s)
        has_begun = False

        async def send_in_time(message: Message) -> None:
            nonlocal has_begun
            if body.is_late and not has_begun:  # whatever the application makes of it
                late = problem(408, "the body took too long to come in", {"Connection": "close"})
                has_begun = True
                await late(scope, receive, send)
            elif not body.is_late:
                has_begun = True
                await send(message)

        try:
            await self._app(scope, body.receive, send_in_time)
        except Exception:  # a defect: whoever asked gets an answer, and the log its traceback
            if has_begun:
                raise  # a half answer is broken off
            logger.exception("%s %s", scope["method"], scope["path"])
            defect = problem(500, "the server failed at this request; its log says why")
            await defect(scope, receive, send_in_time)

    def _is_full(self, path: str, is_stream: bool, length: int) -> bool:
        if path in ALWAYS_ANSWERED:
            return False
        if is_stream:
            return self._streams >= MOST_STREAMS
        most_bytes = BODIES_AT_ONCE * self._max_body_bytes
        return self._in_flight >= self._max_in_flight or self._body_bytes + length > most_bytes

    def _count(self, change: int, is_stream: bool, length: int) -> None:
        self._body_bytes += change * length
        if is_stream:
            self._streams += change
        else:
            self._in_flight += change
        self._metrics.in_flight = self._in_flight

    def _refusal(self, headers: Headers) -> ASGIApp | None:
        try:
            host = urlsplit(f"//{headers.get('host', '')}")
            name = host.hostname
            origin = urlsplit(headers.get("origin", "")).netloc
        except ValueError:
            return problem(400, "Host or Origin cannot be read")
        if self._hosts is not None and name not in self._hosts:
            return problem(421, "this server does not answer under that name")
        if "origin" in headers and origin != host.netloc:
            return problem(403, "requests from pages of other origins are not taken")
        return self._size_refusal(headers)

    async def _stranger(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        """A refusal for who may not ask this, or asks too often."""
        needed = scope_of(scope["method"], scope["path"])
        if needed is None:
            return None
        name = (scope.get("client") or ("unknown",))[0]
        if self._access is not None:
            scheme, _, secret = headers.get("authorization", "").partition(" ")
            secret = secret.strip() if scheme.lower() == "bearer" else ""
            # Guesses are counted by address, and before they cost a query. A key that was found
            # once is none: who guesses behind the same proxy locks nobody out who is at work.
            if self._access.is_guess(secret) and (refusal := self._too_often(f"stranger {name}")):
                return refusal
            try:
                caller = await run_in_threadpool(self._access.caller, secret)
            except GeosearchError:
                return problem(503, "the server's engines do not answer", {"Retry-After": "5"})
            if caller is None:
                return problem(
                    401,
                    "this server asks for a key: Authorization: Bearer KEY",
                    {"WWW-Authenticate": "Bearer"},
                )
            if not caller.allows(needed):
                return problem(403, f"this key does not have the scope '{needed}'")
            name = f"key {caller.name}"
        return self._too_often(name)

    def _too_often(self, name: str) -> ASGIApp | None:
        wait_s = self._rate.wait_s(name)
        if not wait_s:
            return None
        retry = {"Retry-After": str(math.ceil(wait_s))}
        return problem(429, "too many requests; ask again later", retry)

    def _size_refusal(self, headers: Headers) -> ASGIApp | None:
        if "transfer-encoding" in headers:
            return problem(411, "say the length of the body in Content-Length")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            return problem(400, "Content-Length is not a number")
        is_upload = headers.get("content-type", "").startswith("multipart/form-data")
        allowed = self._max_body_bytes if is_upload else MAX_FORM_BYTES
        if int(length) > allowed:
            return problem(413, f"the body is larger than the {allowed:,} bytes allowed")
        return None


class _TimelyBody:
    """Receives a request whose body must be there in time; afterwards only its end is waited for.

    `is_late` says that it was not, and that the request was ended for it.
    """

    def __init__(self, receive: Receive, timeout_s: float) -> None:
        self._receive = receive
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._is_whole = False
        self.is_late = False

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self.is_late = True
            return {"type": "http.disconnect"}
        self._is_whole = not message.get("more_body", False)
        return message


def _content_policy(tile_url: str | None) -> str:
    """No script and no style but our own files, no request but to this server (and its tiles)."""
    tiles = ""
    if tile_url is not None:
        address = urlsplit(tile_url)
        # {s} stands for one of several hosts: any below the domain.
        tiles = f" {address.scheme}://{address.netloc.replace('{s}', '*')}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        f"img-src 'self' blob: data:{tiles}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
