from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from geosearch.catalogue.locating import LocateLeases, LocateRuns

TOKEN = UUID(int=7)


@pytest.fixture
def runs(engine: Engine) -> LocateRuns:
    return LocateRuns(engine)


@pytest.fixture
def leases(engine: Engine) -> LocateLeases:
    return LocateLeases(engine, owner="worker", lease_s=600.0)


def _registered(runs: LocateRuns, count: int) -> tuple[int, list[int]]:
    run_id = runs.open(TOKEN, encoder="grid")
    return run_id, runs.register(run_id, [(f"/p/{n}.jpg", None) for n in range(count)])


def _an_hour_passes(engine: Engine) -> None:
    hour = "- interval '1 hour'"
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE locate SET registered_at = registered_at {hour}, "
                f"claimed_at = claimed_at {hour}, leased_until = leased_until {hour}"
            )
        )
        connection.execute(text(f"UPDATE locate_run SET touched_at = touched_at {hour}"))


def test_a_run_is_found_again_by_its_token_and_so_are_its_photos(runs: LocateRuns) -> None:
    run_id, ids = _registered(runs, 3)
    assert runs.open(TOKEN, encoder="grid") == run_id != runs.open(uuid4(), encoder="grid")
    assert ids == sorted(ids)
    more = runs.register(run_id, [("/p/1.jpg", None), ("/p/9.jpg", None), ("/p/9.jpg", None)])
    assert more == [ids[1], max(more)]
    assert len(more) == 2


def test_a_photo_that_is_known_to_be_unreadable_keeps_its_reason(
    runs: LocateRuns, leases: LocateLeases
) -> None:
    run_id = runs.open(TOKEN, encoder="grid")
    runs.register(run_id, [("/p", "the folder cannot be read"), ("/q.jpg", None)])
    claims = [dict(source.claims) for source in leases.claim(run_id, limit=9)]
    assert claims == [{"reason": "the folder cannot be read"}, {}]


def test_answers_come_in_the_order_of_registration_up_to_the_first_that_is_missing(
    runs: LocateRuns, leases: LocateLeases
) -> None:
    run_id, ids = _registered(runs, 4)
    leases.claim(run_id, limit=9)
    for n in (0, 1, 3):
        leases.answer(ids[n], {"n": n})
    assert runs.progress(run_id) == (1, 3)
    assert [answer.document["n"] for answer in runs.answers(run_id)] == [0, 1]
    runs.forget(run_id, up_to=ids[1])
    assert runs.answers(run_id) == []
    leases.answer(ids[2], {"n": 2})
    assert [answer.document["n"] for answer in runs.answers(run_id, limit=1)] == [2]
    assert [answer.uri for answer in runs.answers(run_id)] == ["/p/2.jpg", "/p/3.jpg"]


def test_the_first_answer_counts_and_ends_the_lease(
    engine: Engine, runs: LocateRuns, leases: LocateLeases
) -> None:
    run_id, ids = _registered(runs, 1)
    leases.claim(run_id, limit=1)
    leases.answer(ids[0], {"n": "first"})
    LocateLeases(engine, owner="other", lease_s=600.0).answer(ids[0], {"n": "second"})
    [answer] = runs.answers(run_id)
    assert answer.document == {"n": "first"}
    assert leases.runs_of(ids) == []
    assert leases.claim_suspect(run_id) is None


def test_what_a_dead_worker_held_is_a_suspect_and_lost_to_a_sweep(
    engine: Engine, runs: LocateRuns, leases: LocateLeases
) -> None:
    run_id, ids = _registered(runs, 2)
    leases.claim(run_id, limit=1)
    assert runs.lost(older_than_s=60.0) == []
    _an_hour_passes(engine)
    assert runs.lost(older_than_s=60.0) == ids
    assert runs.lost(older_than_s=60.0) == []
    suspect = leases.claim_suspect(run_id)
    assert suspect is not None
    assert (suspect.id, suspect.attempts) == (ids[0], 2)


def test_a_run_that_nobody_asks_for_any_more_is_forgotten_with_its_answers(
    engine: Engine, runs: LocateRuns, leases: LocateLeases
) -> None:
    run_id, _ = _registered(runs, 2)
    _an_hour_passes(engine)
    leases.claim(run_id, limit=1)
    assert runs.drop_abandoned(older_than_s=60.0) == 0  # somebody is at work on it
    _an_hour_passes(engine)
    asked = runs.open(uuid4(), encoder="grid")
    assert runs.drop_abandoned(older_than_s=60.0) == 1
    assert leases.claim(run_id, limit=9) == []
    assert runs.progress(asked) == (0, 0)
    assert runs.open(TOKEN, encoder="grid") != run_id
