"""Beliefs that keep up with what all processes observe."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Engine

from geosearch.catalogue.lmm_observations import LmmObservations
from geosearch.localization.learning import SLACK, Learned, ProcessObservations
from geosearch.localization.trust import Belief
from geosearch.records import Observation, Pairing, Tally

EYE = Pairing("eye", "x/eye", "the re-ranker 12345678 on lite", 0.3, 0.4)
OTHER = Pairing("eye", "x/eye", "the re-ranker 87654321 on lite", 0.3, 0.4)


def observed(count: int, seed: int = 0) -> list[Observation]:
    rng = np.random.default_rng(seed)
    return [Observation(float(rng.random()), bool(rng.random() < 0.3)) for _ in range(count)]


def believed(observations: list[Observation], **known: Tally) -> Belief:
    belief = Belief(stated=0.3, expected=0.4, **known)
    for one in observations:
        belief.hear(one.probability, agreed=one.agreed)
    return belief


def test_a_new_process_believes_what_the_ones_before_it_have_learned(engine: Engine) -> None:
    given = observed(30)
    before = Learned(LmmObservations(engine))
    for one in given:
        before.observe(EYE, one)
    assert before.trust(EYE) == Learned(LmmObservations(engine)).trust(EYE)
    assert before.trust(EYE) == believed(given).trust()
    known = Tally(70.0, 100.0)
    assert Learned(LmmObservations(engine), known=known).trust(EYE) == (
        believed(given, model=known).trust()
    )


def test_two_that_learn_at_the_same_time_hear_each_other() -> None:
    shared = ProcessObservations()
    one, other = Learned(shared), Learned(shared)
    for at, observation in enumerate(observed(20)):
        (one if at % 2 else other).observe(EYE, observation)
        assert one.trust(EYE) == other.trust(EYE)
    assert one.trust(EYE) == believed(observed(20)).trust()


def test_rankings_do_not_disturb_each_other() -> None:
    learned = Learned(ProcessObservations())
    for one in observed(20):
        learned.observe(EYE, one)
    before = learned.trust(EYE)
    assert learned.trust(OTHER) == Belief(stated=0.3, expected=0.4).trust()
    assert learned.trust(EYE) == before


def test_a_reset_is_heard_by_those_who_have_learned(engine: Engine) -> None:
    observations = LmmObservations(engine)
    learned = Learned(observations)
    for one in observed(20):
        learned.observe(EYE, one)
    assert learned.trust(EYE) != Belief(stated=0.3, expected=0.4).trust()
    observations.forget("eye")
    (new,) = observed(1, seed=1)
    learned.observe(EYE, new)
    assert learned.trust(EYE) == believed([new]).trust()


def test_what_was_dropped_for_its_age_is_believed_no_longer(engine: Engine) -> None:
    kept = 10
    learned = Learned(LmmObservations(engine, kept=kept))
    given = observed(kept + SLACK + 1)
    for at, one in enumerate(given):
        learned.observe(EYE, one)
        found = learned.trust(EYE)
        if at == kept + SLACK - 1:
            assert found == believed(given[:-1]).trust()
    assert found == believed(given[-kept:]).trust()
