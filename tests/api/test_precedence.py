from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx
import pytest

from geosearch.api import create_app
from geosearch.api.limits import Turns
from geosearch.api.precedence import CYCLE_S, INGEST_SHARE, Precedence, Upkeep
from geosearch.client import GeoSearch
from tests.api.conftest import serving


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_an_ingest_waits_for_nobody_while_nobody_searches() -> None:
    clock = Clock()
    precedence = Precedence(Turns(1, patience_s=1.0), clock, clock.sleep)
    for _ in range(100):
        precedence.give_way()
        clock.sleep(0.01)
    assert clock.now_s < 1.0 + 1e-9


def test_an_ingest_begins_its_work_in_its_share_of_the_time_while_others_search() -> None:
    clock, turns, begun = Clock(), Turns(1, patience_s=1.0), []
    precedence = Precedence(turns, clock, clock.sleep)
    with turns.patient_turn():
        while clock.now_s < 20 * CYCLE_S:
            precedence.give_way()
            begun.append(clock.now_s % CYCLE_S)
            clock.sleep(0.01)
    assert max(begun) <= INGEST_SHARE * CYCLE_S + 1e-9
    assert len(begun) >= 20 * INGEST_SHARE * CYCLE_S / 0.01 / 2  # held back, not starved


class Graph:
    """A store of which only the building of its graph matters."""

    def __init__(self) -> None:
        self.built = threading.Semaphore(0)
        self.builds = 0

    def optimize(self) -> None:
        self.builds += 1
        self.built.release()


def test_the_graph_is_built_once_after_the_last_of_many_changes() -> None:
    graph, changing = Graph(), Turns(1, patience_s=1.0)
    upkeep = Upkeep(graph.optimize, changing, quiet_s=0.2)
    try:
        for _ in range(10):
            upkeep.wrote(64)
            time.sleep(0.005)
        assert graph.builds == 0
        assert graph.built.acquire(timeout=30)
        assert not graph.built.acquire(timeout=0.5)
    finally:
        upkeep.stop()


def test_the_graph_is_built_in_between_when_changes_do_not_end() -> None:
    graph, changing = Graph(), Turns(1, patience_s=1.0)
    upkeep = Upkeep(graph.optimize, changing, quiet_s=60.0)
    try:
        upkeep.wrote(20_000)
        assert graph.built.acquire(timeout=30)
    finally:
        upkeep.stop()


def test_an_upload_does_not_build_the_graph_while_its_sender_waits(
    filled: GeoSearch, make_jpeg: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = []
    store = filled.services.store
    monkeypatch.setattr(type(store), "optimize", lambda self: builds.append(self))
    app = create_app(filled)
    app.state.shared.upkeep.stop()  # only what the upload itself does counts
    with (
        serving(filled, app=app) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        files = [("files", ("a.jpg", make_jpeg(9, gps=(1.0, 1.0))))]
        [result] = client.post("/v1/photos", files=files).raise_for_status().json()["photos"]
        assert result["outcome"] == "indexed"
    assert builds == []
