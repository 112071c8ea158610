from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import HTTPException

from geosearch.api import create_app
from geosearch.api.limits import RateLimit, Turns
from geosearch.client import GeoSearch
from tests.api.conftest import serving

MakeJpeg = Callable[..., bytes]


def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    assert all(limit.wait_s("a") == 0.0 for _ in range(60))
    assert limit.wait_s("a") == pytest.approx(1.0)
    assert limit.wait_s("b") == 0.0
    now[0] = 1.5
    assert limit.wait_s("a") == 0.0


def test_over_capacity_is_503_with_a_time_and_no_hang() -> None:
    async def ask() -> HTTPException:
        turns = Turns(1, patience_s=0.01)
        async with turns.turn():
            with pytest.raises(HTTPException) as refused:
                await turns.take()
        async with turns.turn():  # and the turn is not lost
            return refused.value

    refused = asyncio.run(ask())
    assert refused.status_code == 503
    assert refused.headers == {"Retry-After": "5"}


def test_who_would_wait_behind_too_many_is_refused_at_once() -> None:
    async def ask() -> float:
        turns = Turns(1, patience_s=60.0, most_waiting=1)
        await turns.take()
        waiting = asyncio.create_task(turns.take())
        await asyncio.sleep(0)
        start = time.monotonic()
        with pytest.raises(HTTPException):
            await turns.take()
        took = time.monotonic() - start
        turns.give_back()
        await waiting
        return took

    assert asyncio.run(ask()) < 1.0


def test_turns_are_given_in_order_of_arrival() -> None:
    async def ask() -> list[int]:
        turns, order = Turns(1, patience_s=60.0), []

        async def one(number: int) -> None:
            async with turns.turn():
                order.append(number)

        await turns.take()
        tasks = []
        for number in range(5):
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0)
        turns.give_back()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(ask()) == [0, 1, 2, 3, 4]


def test_no_turn_is_lost_to_clients_that_go_away_while_they_wait() -> None:
    async def ask() -> None:
        turns = Turns(2, patience_s=60.0)
        for _ in range(50):
            await turns.take()
            await turns.take()
            waiting = [asyncio.create_task(turns.take()) for _ in range(4)]
            await asyncio.sleep(0)
            turns.give_back()  # may reach the very one that goes away now
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            turns.give_back()
        await asyncio.wait_for(turns.take(), 1.0)
        await asyncio.wait_for(turns.take(), 1.0)

    asyncio.run(ask())


def test_threads_and_requests_share_the_same_turns() -> None:
    turns, most, inside = Turns(1, patience_s=60.0), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, inside
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with lock:
            inside -= 1

    def thread() -> None:
        for _ in range(20):
            with turns.patient_turn():
                work()

    async def request() -> None:
        async with turns.turn():
            await asyncio.to_thread(work)

    async def requests() -> None:
        await asyncio.gather(*(request() for _ in range(40)))

    with ThreadPoolExecutor(2) as pool:
        threads = [pool.submit(thread) for _ in range(2)]
        asyncio.run(requests())
        for one in threads:
            one.result()
    assert most == 1


def test_a_full_server_still_says_that_it_lives(filled: GeoSearch) -> None:
    app = create_app(filled)
    searching = app.state.shared.searching
    with serving(filled, app=app) as url, ThreadPoolExecutor(60) as pool:
        held = [searching.patient_turn() for _ in range(4)]
        for turn in held:
            turn.__enter__()
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            # More than there are threads: none of them may be held by one that waits.
            asked = [pool.submit(client.post, "/v1/search") for _ in range(60)]
            while searching.waiting < 60:
                time.sleep(0.01)
            start = time.monotonic()
            assert client.get("/healthz").text == "ok\n"
            assert client.get("/v1/stats").status_code == 200
            assert time.monotonic() - start < 5.0
            for turn in held:
                turn.__exit__(None, None, None)
            assert {one.result().status_code for one in asked} == {200}


def test_changes_wait_for_one_another_but_not_for_ever(
    filled: GeoSearch, make_jpeg: MakeJpeg
) -> None:
    app = create_app(filled)
    shared = app.state.shared
    shared.changing = Turns(1, patience_s=0.05)
    with (
        serving(filled, app=app) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        photo = client.post("/v1/search").json()["hits"][0]["id"]
        with shared.changing.patient_turn():
            answers = [
                client.post("/v1/photos", files=[("files", ("a.jpg", make_jpeg(9)))]),
                client.patch(f"/v1/photos/{photo}", json={"lat": 1.0, "lon": 1.0}),
                client.delete(f"/v1/photos/{photo}"),
            ]
            assert client.post("/v1/search").status_code == 200
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert {answer.headers["retry-after"] for answer in answers} == {"5"}
        assert client.delete(f"/v1/photos/{photo}").status_code == 204
