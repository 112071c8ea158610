"""Moving from one index to another while both may be in use."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from geosearch.errors import StoreError
from geosearch.records import IndexRecord, IndexState
from geosearch.serving.exchange import Exchange
from geosearch.serving.opened import OpenIndex

PATIENCE_S = 20.0


class FakeIndex:
    def __init__(self, record: IndexRecord) -> None:
        self.record = record
        self.identity = record.encoder
        self.is_closed = False

    def close(self) -> None:
        assert not self.is_closed, "closed twice"
        self.is_closed = True


def _record(name: str) -> IndexRecord:
    return IndexRecord(name, name, IndexState.ACTIVE, None)


class House:
    """A catalogue that says which index is in use, and a way to open it that can be held up."""

    def __init__(self) -> None:
        self.active: IndexRecord | None = _record("old")
        self.opened: list[FakeIndex] = []
        self.may_open = threading.Event()
        self.may_open.set()
        self.error: StoreError | None = None
        self.exchange = Exchange(lambda: self.active, self._open)

    def _open(self, record: IndexRecord | None) -> OpenIndex:
        assert self.may_open.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        index = FakeIndex(record or _record("first"))
        self.opened.append(index)
        return cast("OpenIndex", index)

    def until_new(self) -> None:
        """Ask until the move is done."""
        for _ in range(2000):
            with self.exchange.borrowed() as index:
                if index.identity == "new":
                    return
            threading.Event().wait(0.01)
        raise AssertionError("the move was never done")


@pytest.fixture
def house() -> House:
    return House()


def test_an_index_is_opened_when_first_asked_for_and_once(house: House) -> None:
    assert house.opened == []
    assert house.exchange.current is house.exchange.current
    assert len(house.opened) == 1


def test_queries_go_on_with_the_old_index_until_the_new_one_is_open(house: House) -> None:
    _ = house.exchange.current
    house.may_open.clear()
    house.active = _record("new")
    with house.exchange.borrowed() as index:
        assert index.identity == "old"
    house.may_open.set()
    house.until_new()
    assert [index.is_closed for index in house.opened] == [True, False]


def test_who_must_have_the_new_index_waits_for_it(house: House) -> None:
    _ = house.exchange.current
    house.active = _record("new")
    with house.exchange.borrowed(is_current=True) as index:
        assert index.identity == "new"


def test_an_index_stays_open_as_long_as_somebody_has_borrowed_it(house: House) -> None:
    with house.exchange.borrowed() as first, house.exchange.borrowed() as second:
        house.active = _record("new")
        house.until_new()
        assert first is second
        assert not house.opened[0].is_closed
    assert house.opened[0].is_closed


def test_an_index_that_cannot_be_opened_costs_no_query(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    _ = house.exchange.current
    house.active, house.error = _record("new"), StoreError("no such collection")
    for _ in range(5):
        with house.exchange.borrowed() as index:
            assert index.identity == "old"
        threading.Event().wait(0.02)
    assert caplog.text.count("no such collection") == 1
    with pytest.raises(StoreError), house.exchange.borrowed(is_current=True):
        pass


def test_an_index_handed_over_is_not_opened_again(house: House) -> None:
    _ = house.exchange.current
    mine = FakeIndex(_record("new"))

    def switch() -> bool:
        house.active = _record("new")
        return True

    assert house.exchange.hand_over(cast("OpenIndex", mine), switch=switch)
    with house.exchange.borrowed() as index:
        assert cast("object", index) is mine
    assert len(house.opened) == 1
    assert house.opened[0].is_closed


def test_a_switch_that_does_not_come_about_hands_nothing_over(house: House) -> None:
    old = house.exchange.current
    mine = FakeIndex(_record("new"))
    assert not house.exchange.hand_over(cast("OpenIndex", mine), switch=lambda: False)
    assert house.exchange.current is old
    assert not house.opened[0].is_closed


def test_closing_closes_every_index_once(house: House) -> None:
    with house.exchange.borrowed():
        house.active = _record("new")
        house.until_new()
    house.exchange.close()
    assert [index.is_closed for index in house.opened] == [True, True]


def test_what_goes_wrong_when_the_first_index_is_opened_is_told(house: House) -> None:
    house.error = StoreError("the server does not answer")
    with pytest.raises(StoreError), house.exchange.borrowed():
        pass
    house.error = None
    with house.exchange.borrowed() as index:
        assert index.identity == "old"
