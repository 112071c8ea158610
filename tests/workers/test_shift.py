"""What a shift does with what it leases, with real PostgreSQL and a pipeline that misbehaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from geosearch.catalogue.intake import Intake
from geosearch.catalogue.leases import LeasedSource, Leases, Runs
from geosearch.catalogue.repository import Catalogue
from geosearch.errors import CatalogueError, ConfigError, StoreError
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.parts import Observer, Settled
from geosearch.ingest.registration import register
from geosearch.ingest.sources import PhotoSource
from geosearch.records import IngestReport
from workers.intake import TakingIn
from workers.shift import InHand, Shift


class FakePipeline:
    """Settles each source as `becomes` says, which may raise; knows which were worked together."""

    def __init__(self, becomes: Callable[[str], Settled]) -> None:
        self._becomes = becomes
        self.groups: list[list[str]] = []

    def work(
        self, sources: Iterable[PhotoSource], *, run_id: int, observer: Observer
    ) -> IngestReport:
        group: list[str] = []
        self.groups.append(group)
        for source in sources:
            group.append(source.uri)
            observer.settled([self._becomes(source.uri)])
        return IngestReport(scanned=len(group))


class Watched:
    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.outcomes: list[str] = []

    def timed(self, stage: str, seconds: float, photos: int) -> None: ...

    def ended(self, outcome: str, photos: int) -> None:
        self.outcomes.append(outcome)

    def failed(self, kind: str) -> None:
        self.kinds.append(kind)


def _indexed(uri: str) -> Settled:
    return Settled(uri, Outcome.ENCODE)


def _send(engine: Engine, count: int, *, encoder: str = "grid") -> list[int]:
    catalogue = Catalogue(engine)
    run_id = catalogue.begin_run(encoder, {})
    sources = [PhotoSource(f"https://e.org/{n:03d}.jpg", None) for n in range(count)]
    batches = register(Intake(engine), catalogue, sources, run_id=run_id, purpose=encoder)
    return [id_ for batch in batches for id_ in batch.ids]


def _shift(engine: Engine, pipeline: FakePipeline, watched: Watched, **options: Any) -> Shift:
    leases = Leases(engine, owner="worker", lease_s=600.0)
    work = TakingIn(
        pipeline,  # type: ignore[arg-type]
        Catalogue(engine),
        leases,
        encoder="grid",
        watcher=watched,
    )
    return Shift(
        leases,
        work,
        **{
            "encoder": "grid", "max_attempts": 3, "lease_s": 600.0, "watcher": watched,
            "wait": lambda _: None, **options,
        },
    )  # fmt: skip


def _outcomes(engine: Engine) -> list[tuple[Any, ...]]:
    query = "SELECT outcome, error, attempts FROM intake ORDER BY uri"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_one_message_takes_in_all_that_its_run_has_waiting(engine: Engine) -> None:
    ids = _send(engine, 100)
    pipeline = FakePipeline(_indexed)
    _shift(engine, pipeline, Watched()).do(ids[:3])
    assert [len(group) for group in pipeline.groups] == [100]
    assert {outcome for outcome, _, _ in _outcomes(engine)} == {"indexed"}
    assert Runs(engine).counts(1)["indexed"] == 100


def test_a_message_about_what_is_done_does_nothing(engine: Engine) -> None:
    ids = _send(engine, 4)
    pipeline = FakePipeline(_indexed)
    shift = _shift(engine, pipeline, Watched())
    shift.do(ids)
    shift.do(ids)
    assert len(pipeline.groups) == 1


def test_a_shift_takes_no_more_than_its_message_when_its_time_is_over(engine: Engine) -> None:
    ids = _send(engine, 100)
    _shift(engine, FakePipeline(_indexed), Watched(), shift_s=0.0).do(ids[:5])
    assert Intake(engine).counts() == {"waiting": 95, "parked": 0, "finished": 5}


def test_an_engine_that_refuses_counts_no_attempt_and_is_tried_again(engine: Engine) -> None:
    refusals = iter([StoreError("down"), CatalogueError("gone"), StoreError("down")])

    def becomes(uri: str) -> Settled:
        if uri.endswith("7.jpg") and (error := next(refusals, None)) is not None:
            raise error
        return _indexed(uri)

    ids = _send(engine, 20)
    watched = Watched()
    _shift(engine, FakePipeline(becomes), watched).do(ids)
    assert _outcomes(engine) == [("indexed", None, 1)] * 20
    assert watched.kinds == ["StoreError", "CatalogueError", "StoreError"]


def test_a_defect_is_found_by_reading_its_suspects_alone_and_given_up(engine: Engine) -> None:
    def becomes(uri: str) -> Settled:
        if uri.endswith("/005.jpg"):
            raise ZeroDivisionError("a defect")
        return _indexed(uri)

    ids = _send(engine, 8)
    pipeline = FakePipeline(becomes)
    _shift(engine, pipeline, Watched()).do(ids)
    outcomes = _outcomes(engine)
    assert outcomes[5] == ("failed", "it failed 3 times: ZeroDivisionError: a defect", 3)
    assert {outcome for n, (outcome, _, _) in enumerate(outcomes) if n != 5} == {"indexed"}
    assert all(len(group) == 1 for group in pipeline.groups[1:])
    assert Runs(engine).counts(1) == {
        "scanned": 0, "indexed": 7, "updated": 0, "duplicates": 0, "unlabelled": 0, "failed": 1,
    }  # fmt: skip


def test_a_photo_whose_reader_died_too_often_is_given_up_unread(engine: Engine) -> None:
    ids = _send(engine, 2)
    with engine.begin() as connection:
        connection.execute(text("UPDATE intake SET attempts = 3 WHERE uri LIKE '%000.jpg'"))
    pipeline = FakePipeline(_indexed)
    _shift(engine, pipeline, Watched()).do(ids)
    assert [outcome for outcome, _, _ in _outcomes(engine)] == ["failed", "indexed"]
    assert pipeline.groups == [["https://e.org/001.jpg"]]
    assert Catalogue(engine).last_errors() == [
        ("https://e.org/000.jpg", "it ended its worker 3 times")
    ]


def test_what_a_worker_is_not_set_up_for_is_left_to_others_and_blames_no_photo(
    engine: Engine,
) -> None:
    class Unable:
        claim = 8

        def encoder_of(self, run_id: int) -> str:
            return "grid"

        def do(self, run_id: int, sources: Iterator[LeasedSource], hand: InHand) -> str | None:
            raise ConfigError("the model has no key here")

        def give_up(self, source: LeasedSource, reason: str) -> None:
            raise AssertionError("no photo is to blame")

    ids = _send(engine, 3)
    leases = Leases(engine, owner="worker", lease_s=600.0)
    shift = Shift(
        leases, Unable(), encoder="grid", max_attempts=3, lease_s=600.0, watcher=Watched()
    )
    with pytest.raises(ConfigError, match="no key"):
        shift.do(ids)
    assert _outcomes(engine) == [(None, None, 0)] * 3


def test_a_run_from_before_the_switch_to_another_index_is_worked_on(engine: Engine) -> None:
    ids = _send(engine, 2, encoder="lite")
    _shift(engine, FakePipeline(_indexed), Watched(), former=["lite"]).do(ids)
    assert Intake(engine).counts() == {"waiting": 0, "parked": 0, "finished": 2}


def test_a_run_for_another_encoder_is_left_alone(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ids = _send(engine, 2, encoder="lite transgeoclip-1")
    _shift(engine, FakePipeline(_indexed), Watched()).do(ids)
    assert Intake(engine).counts()["waiting"] == 2
    assert "GEOSEARCH_ENCODER=lite" in caplog.text
