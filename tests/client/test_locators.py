from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from support.blocked_store import BlockedStore

from geosearch.client import GeoSearch
from geosearch.client.predictors import Predictors
from geosearch.client.wishes import LmmWishes
from geosearch.services import Services
from geosearch.store.base import Hit, VectorStore


class Watched:
    """A store that counts how often it is looked at as a whole."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self.looks = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def scroll(self, *arguments: object, **options: object) -> Iterator[Hit]:
        self.looks += 1
        return self._store.scroll(*arguments, **options)  # type: ignore[arg-type]


@pytest.fixture
def watched(geosearch: GeoSearch, folder: Path) -> Watched:
    geosearch.ingest(folder)
    index = geosearch.services.index
    index.store = Watched(index.store)  # type: ignore[assignment]
    return index.store  # type: ignore[return-value]


def test_the_index_as_a_whole_is_looked_at_once_for_many_photos(
    geosearch: GeoSearch, watched: Watched, make_jpeg: Callable[..., bytes]
) -> None:
    data = make_jpeg(1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: geosearch.locate_bytes(data, name=str(n)), range(8)))
    assert {one.best.coordinate for one in found if one.best} == {found[0].best.coordinate}  # type: ignore[union-attr]
    assert watched.looks == 1


def test_it_is_looked_at_again_after_it_has_grown(
    geosearch: GeoSearch, watched: Watched, make_jpeg: Callable[..., bytes], tmp_path: Path
) -> None:
    geosearch.locate_bytes(make_jpeg(1), name="a")
    (tmp_path / "new.jpg").write_bytes(make_jpeg(50, gps=(5.0, 5.0)))
    geosearch.ingest(tmp_path / "new.jpg")
    geosearch.locate_bytes(make_jpeg(1), name="b")
    assert watched.looks == 2


def test_a_step_is_told_while_the_next_one_is_still_at_work(
    geosearch: GeoSearch, folder: Path, make_jpeg: Callable[..., bytes]
) -> None:
    geosearch.ingest(folder)
    geosearch.locate_bytes(make_jpeg(1), name="the index is looked at")
    blocked = geosearch.services.index.store = BlockedStore(geosearch.services.index.store)  # type: ignore[assignment]
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        located = pool.submit(
            geosearch.locate_bytes,
            make_jpeg(1),
            name="a",
            on_step=lambda step: told.append(step.name),
        )
        assert blocked.is_asked.wait(30.0)
        while_searching = [*told]
        blocked.may_answer.set()
        steps = located.result().steps
    assert while_searching == ["encoding"]
    assert told == [step.name for step in steps]
    assert told[:3] == ["encoding", "search", "search"]


def test_threads_that_locate_first_at_once_share_what_is_learned(
    geosearch: GeoSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, both_ask = [], Barrier(2)
    begin = Predictors.__init__

    def slowly(predictors: Predictors, services: Services) -> None:
        made.append(predictors)
        time.sleep(0.2)
        begin(predictors, services)

    monkeypatch.setattr(Predictors, "__init__", slowly)

    def ask(_: int) -> None:
        both_ask.wait(10.0)
        geosearch.check_lmm(LmmWishes(no_lmm=True))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, range(2)))
    assert len(made) == 1
