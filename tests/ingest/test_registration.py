from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from geosearch.catalogue.intake import Intake
from geosearch.catalogue.repository import Catalogue
from geosearch.geo import Coordinate
from geosearch.ingest import sources as sources_module
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.registration import (
    claims_from_json,
    claims_to_json,
    register,
    source_of,
)
from geosearch.ingest.sources import BadSource, Claims, PhotoSource

Sources = list[PhotoSource | BadSource]


class _Producer:
    """Registers lists of sources as runs of their own."""

    def __init__(self, engine: Engine) -> None:
        self.intake = Intake(engine)
        self.catalogue = Catalogue(engine)

    def run(self, sources: Sources, *, purpose: str = "encoder", batch_rows: int = 4) -> list[int]:
        run_id = self.catalogue.begin_run(purpose, {})
        batches = register(
            self.intake, self.catalogue, sources, run_id=run_id, purpose=purpose,
            batch_rows=batch_rows,
        )  # fmt: skip
        return [id_ for batch in batches for id_ in batch.ids]


@pytest.fixture
def producer(engine: Engine) -> _Producer:
    return _Producer(engine)


def _urls(n: int, **claims: str) -> Sources:
    return [PhotoSource(f"https://example.org/{i}.jpg", None, Claims(**claims)) for i in range(n)]


def test_every_source_is_registered_once_with_its_claims(producer: _Producer) -> None:
    claims = Claims(
        Coordinate(55.7, -13.25), datetime(2024, 5, 1, 12, tzinfo=UTC), author="Ann",
        caption="ä 'quoted'\n\tand\\ more", attributes={"n": 1, "ok": True},
    )  # fmt: skip
    given = [PhotoSource(f"https://example.org/{i}.jpg", None, claims) for i in range(10)]
    items = producer.intake.take(producer.run(list(given)))
    assert sorted(item.uri for item in items) == sorted(source.uri for source in given)
    assert {source_of(item).claims == claims for item in items} == {True}
    assert producer.intake.counts() == {"waiting": 10, "parked": 0, "finished": 0}


def test_what_is_finished_and_unchanged_is_not_handed_out_again(producer: _Producer) -> None:
    ids = producer.run(_urls(10))
    producer.intake.finish(ids[:7])
    assert len(producer.run(_urls(10))) == 3
    assert len(producer.run(_urls(10, author="someone else"))) == 10
    assert producer.intake.counts()["waiting"] == 10


def test_another_purpose_reads_everything_again(producer: _Producer) -> None:
    producer.intake.finish(producer.run(_urls(3)))
    assert producer.run(_urls(3)) == []
    assert len(producer.run(_urls(3), purpose="another encoder")) == 3


def test_a_changed_file_is_read_again(
    producer: _Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "SETTLED_AFTER_S", 0.0)
    path = tmp_path / "x.jpg"
    path.write_bytes(b"one")
    source = PhotoSource(str(path), path)
    producer.intake.finish(producer.run([source]))
    assert producer.run([source]) == []
    path.write_bytes(b"three")
    assert len(producer.run([source])) == 1


@pytest.mark.parametrize("batch_rows", [1, 100])
def test_of_equal_uris_the_first_of_a_run_decides(producer: _Producer, batch_rows: int) -> None:
    twice = [*_urls(1, author="first"), *_urls(1, author="second")]
    for _ in range(3):  # and stays so in later runs
        [id_] = producer.run(twice, batch_rows=batch_rows)
        [item] = producer.intake.take([id_])
        assert item.claims == {"author": "first"}


def test_a_producer_that_is_stopped_goes_on_where_it_was(producer: _Producer) -> None:
    class Killed(Exception):
        pass

    def dying() -> Iterator[PhotoSource | BadSource]:
        yield from _urls(9)
        raise Killed

    with pytest.raises(Killed):
        producer.run(dying())  # type: ignore[arg-type]
    producer.intake.finish(producer.intake.lost(older_than_s=0.0)[:2])
    done = producer.intake.counts()["finished"]
    assert done == 2
    assert len(producer.run(_urls(20))) == 18
    assert producer.intake.counts() == {"waiting": 18, "parked": 0, "finished": 2}


def test_bad_rows_are_recorded_and_the_others_go_on(
    producer: _Producer, tmp_path: Path, engine: Engine
) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text("url,lat,lon\nhttps://e.org/a.jpg,1,2\nhttps://e.org/b.jpg,91,2\n")
    assert len(producer.run(list(read_manifest(manifest)))) == 1
    with engine.connect() as connection:
        [(uri, error)] = connection.execute(text("SELECT uri, error FROM source")).all()
    assert uri == "https://e.org/b.jpg"
    assert "91" in error


def test_batches_are_committed_before_they_are_handed_out(producer: _Producer) -> None:
    run_id = producer.catalogue.begin_run("encoder", {})
    batches = register(
        producer.intake, producer.catalogue, _urls(12), run_id=run_id, purpose="x", batch_rows=4
    )
    for batch in batches:
        assert len(producer.intake.take(batch.ids)) == batch.scanned == 4


def test_the_producer_waits_while_the_queue_is_full(producer: _Producer) -> None:
    queue: list[int] = []
    lengths: list[int] = []

    def drain(_: float) -> None:
        del queue[:3]

    def length() -> int:
        lengths.append(len(queue))
        return len(queue)

    run_id = producer.catalogue.begin_run("encoder", {})
    read_ahead = 0
    for batch in register(
        producer.intake, producer.catalogue, _urls(40), run_id=run_id, purpose="x",
        batch_rows=4, queue_length=length, queue_limit=8, wait=drain,
    ):  # fmt: skip
        queue.extend(batch.ids)
        read_ahead = max(read_ahead, len(queue))
    assert producer.intake.counts()["waiting"] == 40
    assert read_ahead <= 8 + 2 * 4  # the limit, the batch in the making and the one handed out
    assert max(lengths) >= 8


def test_a_source_is_counted_each_time_it_is_taken_and_not_once_finished(
    producer: _Producer,
) -> None:
    ids = producer.run(_urls(2))
    assert [item.attempts for item in producer.intake.take(ids)] == [1, 1]
    assert [item.attempts for item in producer.intake.take(ids)] == [2, 2]
    producer.intake.park({ids[0]: "it killed its reader three times"})
    producer.intake.finish([ids[1]])
    assert producer.intake.take(ids) == []
    assert producer.intake.counts() == {"waiting": 0, "parked": 1, "finished": 1}
    assert producer.intake.reopen(parked=True) == [ids[0]]
    assert [item.attempts for item in producer.intake.take(ids)] == [1]


def test_a_sweep_hands_out_what_nobody_touched_and_each_only_once(producer: _Producer) -> None:
    ids = producer.run(_urls(6))
    assert producer.intake.lost(older_than_s=3600.0) == []
    first = producer.intake.lost(older_than_s=0.0, limit=4)
    assert first == ids[:4]
    assert producer.intake.lost(older_than_s=3600.0) == []


_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@settings(deadline=None, derandomize=True)
@given(
    lat=st.floats(-90, 90),
    lon=st.floats(-179, 179),
    moment=st.none() | st.datetimes(timezones=st.just(UTC)),
    author=st.none() | _words,
    attributes=st.dictionaries(_words, st.integers() | st.booleans() | _words, max_size=3),
)
def test_claims_survive_the_way_through_json(
    lat: float, lon: float, moment: datetime | None, author: str | None, attributes: dict[str, int]
) -> None:
    claims = Claims(Coordinate(lat, lon), moment, author=author, attributes=attributes)
    assert claims_from_json(claims_to_json(claims)) == claims
    assert claims_from_json(claims_to_json(Claims())) == Claims()
