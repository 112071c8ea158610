"""How far model and photos are believed, learned from agreement."""

from __future__ import annotations

import numpy as np
import pytest

from geosearch.errors import ConfigError, InvalidInput
from geosearch.localization.trust import (
    EVEN,
    PRIOR,
    Belief,
    Reach,
    Trust,
    rule_evidence,
)
from geosearch.records import Tally

STATED = 0.3


def looks(rng: np.random.Generator, *, is_right: bool) -> float:
    """How probable an answer looks, honest where `STATED` of all are right."""
    odds = np.log(STATED / (1.0 - STATED)) + rng.normal(2.0 if is_right else -2.0, 2.0)
    return float(1.0 / (1.0 + np.exp(-odds)))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_agreement_alone_finds_how_often_model_and_photos_are_right(
    share: float, rate: float
) -> None:
    rng = np.random.default_rng(0)
    belief = Belief(stated=STATED)
    for _ in range(3000):
        is_right, model_is_right = rng.random() < share, rng.random() < rate
        belief.hear(looks(rng, is_right=is_right), agreed=is_right and model_is_right)
    found = belief.trust()
    assert found.reach is not None
    assert found.reach.share == pytest.approx(share, abs=0.03)
    assert found.rate == pytest.approx(rate, abs=0.08 if share > 0.1 else 0.2)


def test_a_share_of_the_support_says_more_the_larger_it_is_and_never_everything() -> None:
    said = [rule_evidence(share) for share in (0.0, 0.2, 0.5, 0.8, 1.0)]
    assert said == sorted(said)
    assert 0.0 < said[0] < 0.001
    assert said[2] == pytest.approx(0.55, abs=0.01)
    assert 0.999 < said[-1] < 1.0


def test_what_probabilities_assume_and_what_is_expected_of_the_photos_are_two_things() -> None:
    found = Belief(stated=EVEN, expected=0.2).trust()
    assert found.reach is not None
    assert found.reach.stated == EVEN
    assert found.reach.share == pytest.approx(0.2, abs=0.02)


def test_before_anything_is_heard_the_prior_and_the_re_ranker_s_own_share_are_believed() -> None:
    found = Belief(stated=STATED).trust()
    assert found.rate == pytest.approx(PRIOR.hits / PRIOR.asked, abs=0.01)
    assert found.reach is not None
    assert found.reach.share == pytest.approx(STATED, abs=0.02)


def test_what_is_known_of_a_model_counts_from_the_first_photo_on() -> None:
    found = Belief(stated=STATED, model=Tally(6.0, 100.0)).trust()
    assert found.rate == pytest.approx(0.06, abs=0.005)


def test_probabilities_are_kept_where_nothing_changed_and_fall_where_places_are_unknown() -> None:
    stated = np.array([0.05, 0.3, 0.9])
    assert Reach(0.3, 0.3).adjusted(stated) == pytest.approx(stated)
    lower = Reach(0.3, 0.01).adjusted(stated)
    assert (lower < stated).all()
    assert (np.diff(lower) > 0.0).all()
    assert lower[1] == pytest.approx(0.01)  # what looks like all others is right as often as they


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_of_never_or_always_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        Reach(0.5, share)
    with pytest.raises(ConfigError, match="above 0"):
        Trust(share)


def test_a_probability_out_of_range_is_refused() -> None:
    with pytest.raises(InvalidInput, match="probability"):
        Belief(stated=0.5).hear(2.0, agreed=True)
