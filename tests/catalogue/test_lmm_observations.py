"""Observations of models: kept for all processes, added up, aged out, no trace of a photo."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from geosearch.catalogue.lmm_observations import LmmObservations, ObservationCount
from geosearch.errors import CatalogueError
from geosearch.localization.learning import Observations, ProcessObservations
from geosearch.records import Observation, Pairing

EYE = Pairing("eye", "x/eye", "the re-ranker 12345678 on lite", 0.3, 0.4)
OTHERS = [
    Pairing("ear", "x/eye", "the re-ranker 12345678 on lite", 0.3, 0.4),
    Pairing("eye", "x/eye-2", "the re-ranker 12345678 on lite", 0.3, 0.4),
    Pairing("eye", "x/eye", "the re-ranker 87654321 on lite", 0.3, 0.4),
    Pairing("eye", "x/eye", "the re-ranker 12345678 on lite", 0.4, 0.4),
    Pairing("eye", "x/eye", "the re-ranker 12345678 on lite", 0.3, 0.5),
]


@pytest.fixture(params=["catalogue", "process"])
def observations(request: pytest.FixtureRequest) -> Observations:
    if request.param == "process":
        return ProcessObservations()
    return LmmObservations(request.getfixturevalue("engine"))


def test_observations_come_back_in_their_order_and_each_once(observations: Observations) -> None:
    given = [Observation(0.1 * at, at % 2 == 0) for at in range(5)]
    for one in given[:3]:
        observations.add(EYE, one)
    found, before = observations.since(EYE)
    assert [one for _, one in found] == given[:3]
    assert before == 0
    last = found[-1][0]
    for one in given[3:]:
        observations.add(EYE, one)
    found, before = observations.since(EYE, last)
    assert [one for _, one in found] == given[3:]
    assert before == 3


@pytest.mark.parametrize("other", OTHERS)
def test_another_model_or_ranking_has_observations_of_its_own(
    observations: Observations, other: Pairing
) -> None:
    observations.add(EYE, Observation(0.5, True))
    assert observations.since(other) == ([], 0)


def test_a_photo_whose_answer_was_known_counts_once(observations: Observations) -> None:
    for is_repeated in (False, True, True):
        observations.add(EYE, Observation(0.5, True), is_repeated=is_repeated)
    # Other photos may look as sure: only answers that were known can be of the same one.
    observations.add(EYE, Observation(0.5, True))
    observations.add(EYE, Observation(0.5, False), is_repeated=True)
    observations.add(OTHERS[2], Observation(0.5, True), is_repeated=True)
    assert len(observations.since(EYE)[0]) == 3
    assert len(observations.since(OTHERS[2])[0]) == 1


def test_the_oldest_observations_of_a_model_go_whatever_ranked_the_photos(engine: Engine) -> None:
    observations = LmmObservations(engine, kept=3)
    observations.add(OTHERS[0], Observation(0.9, True))
    observations.add(OTHERS[2], Observation(0.9, True))
    for at in range(3):
        observations.add(EYE, Observation(0.1 * at, True))
    assert observations.since(OTHERS[2]) == ([], 0)
    assert len(observations.since(OTHERS[0])[0]) == 1
    first = observations.since(EYE)[0][0][0]
    observations.add(EYE, Observation(0.5, True))
    assert [one.probability for _, one in observations.since(EYE)[0]] == [0.1, 0.2, 0.5]
    assert observations.since(EYE, first + 1)[1] == 1


def test_nothing_in_an_observation_leads_to_a_photo(engine: Engine) -> None:
    LmmObservations(engine).add(EYE, Observation(0.5, True))
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM lmm_observation")).mappings().one()
    assert set(row) == {
        "id", "model", "deployments", "ranked_by", "stated", "expected", "probability", "agreed",
        "observed_on",
    }  # fmt: skip
    assert str(row["observed_on"]).count(":") == 0  # a day, no moment


def test_what_was_observed_is_counted_by_pairing_and_forgotten_by_model(engine: Engine) -> None:
    observations = LmmObservations(engine)
    for pairing in (EYE, EYE, OTHERS[0]):
        observations.add(pairing, Observation(0.5, pairing is EYE))
    days = {one.first for one in observations.counts()}
    assert all(abs((datetime.now(UTC).date() - day).days) <= 1 for day in days)
    (day,) = days
    assert observations.counts() == [
        ObservationCount(OTHERS[0], 1, 0, day, day), ObservationCount(EYE, 2, 2, day, day)
    ]  # fmt: skip
    assert observations.forget("eye") == 2
    assert [one.pairing for one in observations.counts()] == [OTHERS[0]]
    assert observations.forget() == 1


def test_a_probability_out_of_range_is_refused(engine: Engine) -> None:
    with pytest.raises(CatalogueError, match="is_probability"):
        LmmObservations(engine).add(EYE, Observation(1.5, True))


_ADDING = """
import sys
from geosearch.catalogue.lmm_observations import LmmObservations
from geosearch.catalogue.session import open_engine
from geosearch.records import Observation, Pairing

pairing = Pairing("eye", "x/eye", "the re-ranker 12345678 on lite", 0.3, 0.4)
observations = LmmObservations(open_engine(sys.argv[1]))
for at in range(int(sys.argv[2])):
    observations.add(pairing, Observation(at % 100 / 100, at % 2 == 0))
    print(at, flush=True)
"""


def test_processes_add_to_each_other_and_a_killed_one_loses_only_what_was_under_way(
    database_url: str, engine: Engine
) -> None:
    def start(count: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _ADDING, database_url, str(count)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    observations = LmmObservations(engine)
    with start(150) as steady, start(10**6) as killed:
        assert killed.stdout is not None
        said = [killed.stdout.readline() for _ in range(40)]
        killed.kill()
        said += killed.stdout.read().splitlines()
        seen: list[int] = []
        deadline = time.monotonic() + 60
        while steady.poll() is None and time.monotonic() < deadline:
            seen += [number for number, _ in observations.since(EYE, max(seen, default=0))[0]]
        steady.communicate()
    assert steady.returncode == 0
    seen += [number for number, _ in observations.since(EYE, max(seen, default=0))[0]]
    assert seen == [number for number, _ in observations.since(EYE)[0]]  # a reader misses none
    own = len(seen) - 150
    assert len(said) <= own <= len(said) + 1
