from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from geosearch.catalogue.intake import Intake
from geosearch.catalogue.leases import Ending, Leases, Runs
from geosearch.catalogue.repository import Catalogue
from geosearch.ingest.registration import register
from geosearch.ingest.sources import Claims, PhotoSource


@pytest.fixture
def runs(engine: Engine) -> Runs:
    return Runs(engine)


@pytest.fixture
def run_id(engine: Engine) -> int:
    return _register(engine, 10)


def _register(engine: Engine, count: int, name: str = "a") -> int:
    catalogue = Catalogue(engine)
    run_id = catalogue.begin_run("grid", {})
    claims = Claims(author="Ann")
    sources = [PhotoSource(f"https://e.org/{name}{n}.jpg", None, claims) for n in range(count)]
    list(register(Intake(engine), catalogue, sources, run_id=run_id, purpose="grid"))
    return run_id


def _leases(engine: Engine, owner: str, lease_s: float = 600.0) -> Leases:
    return Leases(engine, owner=owner, lease_s=lease_s)


def _expire(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE intake SET leased_until = now() - interval '1 s' WHERE leased_by <> ''")
        )


def test_no_two_workers_lease_the_same_source(engine: Engine, run_id: int) -> None:
    found: list[int] = []
    lock = threading.Lock()

    def work(owner: str) -> None:
        leases = _leases(engine, owner)
        while some := leases.claim(run_id, limit=2):
            with lock:
                found.extend(source.id for source in some)

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 10


def test_no_more_are_leased_than_asked_for_and_with_their_claims(
    engine: Engine, run_id: int
) -> None:
    some = _leases(engine, "a").claim(run_id, limit=3)
    assert [source.claims for source in some] == [{"author": "Ann"}] * 3
    assert [source.attempts for source in some] == [1] * 3


def test_a_lease_that_is_over_makes_a_suspect_and_one_that_is_renewed_does_not(
    engine: Engine, run_id: int
) -> None:
    dead, alive, third = (_leases(engine, name) for name in ("dead", "alive", "third"))
    lost = dead.claim(run_id, limit=1)
    kept = alive.claim(run_id, limit=1)
    _expire(engine)
    alive.renew([source.id for source in kept])
    suspect = third.claim_suspect(run_id)
    assert suspect is not None
    assert (suspect.id, suspect.attempts) == (lost[0].id, 2)
    assert third.claim_suspect(run_id) is None
    assert lost[0].id not in {source.id for source in third.claim(run_id, limit=99)}


def test_a_forgiven_attempt_does_not_count(engine: Engine, run_id: int) -> None:
    leases = _leases(engine, "a")
    ids = [source.id for source in leases.claim(run_id, limit=10)]
    leases.release(ids[:4], forgive=True)
    leases.release(ids[4:6], forgive=False)
    assert [source.id for source in leases.claim(run_id, limit=99)] == ids[:4]
    assert leases.claim_suspect(run_id) is not None


def test_a_worker_that_comes_back_lets_go_of_what_it_held_and_of_nothing_else(
    engine: Engine, run_id: int
) -> None:
    one, other = _leases(engine, "one"), _leases(engine, "other")
    mine, theirs = one.claim(run_id, limit=1), other.claim(run_id, limit=1)
    one.release_all()
    suspect = other.claim_suspect(run_id)
    assert suspect is not None
    assert suspect.id == mine[0].id != theirs[0].id
    assert other.claim_suspect(run_id) is None


def test_endings_are_counted_once_whoever_says_them(
    engine: Engine, run_id: int, runs: Runs
) -> None:
    one, other = _leases(engine, "one"), _leases(engine, "other")
    ids = [source.id for source in one.claim(run_id, limit=10)]
    one.finish({i: Ending("indexed") for i in ids[:7]})
    other.finish({i: Ending("failed", "too dark") for i in ids[5:]})
    assert runs.counts(run_id) == {
        "scanned": 0, "indexed": 7, "updated": 0, "duplicates": 0, "unlabelled": 0, "failed": 3,
    }  # fmt: skip
    assert [reason for _, reason in runs.errors(run_id, 99)] == ["too dark"] * 3
    assert one.runs_of(ids) == []


def test_what_failed_keeps_its_claims_and_can_be_opened_for_another_run(
    engine: Engine, run_id: int, runs: Runs
) -> None:
    leases = _leases(engine, "a")
    ids = [source.id for source in leases.claim(run_id, limit=4)]
    leases.finish({ids[0]: Ending("failed", "why"), ids[1]: Ending("indexed")})
    leases.release(ids[2:], forgive=False)
    again = Catalogue(engine).begin_run("grid", {})
    assert runs.reopen(again, failed=False, limit=99) == [
        *ids[2:],
        *range(ids[-1] + 1, ids[0] + 10),
    ]
    assert runs.reopen(again, failed=True, limit=99) == [ids[0]]
    [source] = leases.claim(again, limit=9, ids=[ids[0]])
    assert (source.claims, source.attempts) == ({"author": "Ann"}, 1)


def test_a_run_is_closed_when_all_is_registered_and_done(
    engine: Engine, run_id: int, runs: Runs
) -> None:
    leases = _leases(engine, "a")
    ids = [source.id for source in leases.claim(run_id, limit=10)]
    leases.finish({i: Ending("indexed") for i in ids[1:]})
    assert runs.close_finished() == []
    runs.registered(run_id)
    assert runs.close_finished() == []
    leases.finish({ids[0]: Ending("indexed")})
    assert runs.close_finished() == [run_id]
    assert runs.close_finished() == []
