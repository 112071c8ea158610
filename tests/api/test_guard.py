"""Who is let in when many ask: places, memory and streams are counted apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from geosearch.api.guard import MOST_STREAMS, Guard
from geosearch.api.limits import RateLimit
from geosearch.api.metrics import Metrics

Ask = Callable[..., Awaitable[int]]


class Waiting:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        await self.may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def _ask(guard: Guard, path: str, length: int = 0) -> asyncio.Task[dict[str, Any]]:
    async def ask() -> dict[str, Any]:
        said: dict[str, Any] = {}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                said["status"] = message["status"]
                said["headers"] = {k.decode(): v.decode() for k, v in message["headers"]}

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [(b"host", b"x"), (b"content-type", b"multipart/form-data")]
        headers.append((b"content-length", str(length).encode()))
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "headers": headers,
            "client": ("a", 1),
        }
        await guard(scope, receive, send)
        return said

    return asyncio.create_task(ask())


def _guard(app: Any, **limits: int) -> Guard:
    return Guard(
        app,
        access=None,
        rate=RateLimit(0),
        metrics=Metrics(),
        hosts=None,
        max_body_bytes=limits.get("max_body_bytes", 1000),
        max_in_flight=limits.get("max_in_flight", 2),
        tile_url=None,
    )


async def _settle(app: Waiting, asked: int) -> None:
    while app.asked < asked:
        await asyncio.sleep(0)


def test_a_full_server_says_503_to_requests_but_still_that_it_lives() -> None:
    async def full() -> None:
        app = Waiting()
        guard = _guard(app)
        held = [_ask(guard, "/v1/stats") for _ in range(2)]
        await _settle(app, 2)
        refused = await _ask(guard, "/v1/stats")
        assert refused["status"] == 503
        assert refused["headers"]["retry-after"] == "2"
        alive = [_ask(guard, path) for path in ("/healthz", "/readyz")]
        await _settle(app, 4)
        app.may_end.set()
        assert [(await one)["status"] for one in (*held, *alive)] == [200] * 4
        assert (await _ask(guard, "/v1/stats"))["status"] == 200

    asyncio.run(full())


def test_streams_of_events_take_no_place_of_requests_and_have_a_limit_of_their_own() -> None:
    async def full() -> None:
        app = Waiting()
        guard = _guard(app)
        watching = [_ask(guard, "/v1/jobs/1/events") for _ in range(MOST_STREAMS)]
        await _settle(app, MOST_STREAMS)
        assert (await _ask(guard, "/v1/jobs/1/events"))["status"] == 503
        asked = _ask(guard, "/v1/stats")
        await _settle(app, MOST_STREAMS + 1)
        app.may_end.set()
        assert (await asked)["status"] == 200
        assert {(await one)["status"] for one in watching} == {200}
        assert (await _ask(guard, "/v1/jobs/1/events"))["status"] == 200

    asyncio.run(full())


def test_bodies_that_memory_could_not_hold_together_wait_outside() -> None:
    async def full() -> None:
        app = Waiting()
        guard = _guard(app, max_body_bytes=1000, max_in_flight=100)
        held = [_ask(guard, "/v1/photos", 1000) for _ in range(4)]
        await _settle(app, 4)
        assert (await _ask(guard, "/v1/photos", 1))["status"] == 503
        small = _ask(guard, "/v1/stats")
        await _settle(app, 5)
        app.may_end.set()
        assert [(await one)["status"] for one in (*held, small)] == [200] * 5
        assert (await _ask(guard, "/v1/photos", 1000))["status"] == 200

    asyncio.run(full())


@pytest.mark.parametrize("path", ["/v1/stats", "/", "/v1/jobs/1/events"])
def test_places_of_requests_that_broke_down_are_given_back(path: str) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def ask() -> list[int]:
        guard = _guard(broken, max_in_flight=1)
        return [(await _ask(guard, path, 500))["status"] for _ in range(MOST_STREAMS + 2)]

    assert set(asyncio.run(ask())) == {500}
