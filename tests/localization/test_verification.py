"""Proposals of advisers and places of retrieval, decided together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.errors import InvalidInput
from geosearch.geo import Coordinate, destination
from geosearch.localization.trust import Belief, Reach, Trust
from geosearch.localization.verification import Proposal, Standing, verify

LUND, MALMO = Coordinate(55.705, 13.193), Coordinate(55.605, 13.003)
PARIS, LIMA, SUVA = Coordinate(48.857, 2.352), Coordinate(-12.05, -77.04), Coordinate(-18.1, 178.4)


def test_without_proposals_retrieval_stays_as_it_is():
    verdicts = verify([Standing(LUND, 0.6), Standing(PARIS, 0.3)], [])
    assert [(v.coordinate, pytest.approx(v.probability)) for v in verdicts] == [
        (LUND, 0.6),
        (PARIS, 0.3),
    ]
    assert verdicts[0].origins == ("retrieval",)


def test_an_independent_agreement_makes_a_place_nearly_certain():
    best, *_ = verify([Standing(LUND, 0.3)], [Proposal(MALMO, "lmm zero-shot")])
    assert best.coordinate == LUND  # Malmö is 17 km away: one place, and retrieval has evidence
    assert best.probability > 0.9
    assert best.origins == ("retrieval", "lmm zero-shot")
    assert (best.before, best.votes, best.standing) == (0.3, 1, 0)


def test_agreeing_with_what_one_was_shown_counts_for_less():
    seen, _ = (
        verify([Standing(LUND, 0.3)], [Proposal(LUND, "lmm", saw_neighbors=shown)])[0].probability
        for shown in (True, False)
    )
    assert 0.3 < seen < 0.6


def test_photos_are_not_heard_twice_through_an_adviser_that_repeats_what_it_was_shown():
    standings, guess = [Standing(LUND, 0.25)], Proposal(PARIS, "lmm zero-shot")
    repeats = [Proposal(LUND, f"lmm with {n}", saw_neighbors=True) for n in (5, 10, 15)]
    best = verify(standings, [guess, *repeats], trust=Trust(0.5))[0]
    assert best.coordinate == PARIS
    own = [Proposal(LUND, f"lmm sample {n}") for n in (1, 2, 3)]
    assert verify(standings, [guess, *own], trust=Trust(0.5))[0].coordinate == LUND


def test_a_confident_retrieval_is_not_outvoted_and_an_unsure_one_is():
    proposal = [Proposal(PARIS, "lmm zero-shot")]
    assert verify([Standing(LUND, 0.8)], proposal)[0].coordinate == LUND
    best = verify([Standing(LUND, 0.1)], proposal)[0]
    assert (best.coordinate, best.standing) == (PARIS, None)


def test_a_trusted_adviser_overrules_what_a_doubted_one_cannot():
    standings, proposal = [Standing(LUND, 0.5)], [Proposal(PARIS, "lmm zero-shot")]
    assert verify(standings, proposal, trust=Trust(0.9))[0].coordinate == PARIS
    assert verify(standings, proposal, trust=Trust(0.1))[0].coordinate == LUND


def test_most_votes_win_among_proposals_alone_and_the_coordinate_is_one_of_theirs():
    verdicts = verify(
        [],
        [
            Proposal(LIMA, "lmm zero-shot", votes=1),
            Proposal(MALMO, "lmm with 5 neighbours", votes=1),
            Proposal(LUND, "lmm zero-shot", votes=2),
        ],
    )
    assert [verdict.coordinate for verdict in verdicts] == [LUND, LIMA]
    assert verdicts[0].votes == 3
    assert verdicts[0].origins == ("lmm zero-shot", "lmm with 5 neighbours")


def test_retrieval_can_say_how_likely_a_new_place_is():
    proposals = [Proposal(PARIS, "lmm zero-shot"), Proposal(LIMA, "lmm zero-shot")]
    best = verify([], proposals, retrieval_at=lambda where: 0.2 if where == LIMA else 0.0)[0]
    assert (best.coordinate, best.before) == (LIMA, 0.2)


def test_nothing_in_gives_nothing_out():
    assert verify([], []) == ()


def test_probabilities_of_retrieval_that_sum_to_more_than_one_are_scaled():
    verdicts = verify([Standing(LUND, 0.9), Standing(PARIS, 0.9)], [])
    assert [verdict.probability for verdict in verdicts] == [pytest.approx(0.5)] * 2


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.floats(0.0, 1.0), max_size=4),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.booleans()), max_size=5),
    st.floats(0.05, 0.95),
    st.none() | st.floats(0.01, 0.99),
)
def test_probabilities_stay_probabilities_whatever_is_heard(priors, votes, rate, share):
    places = [destination(LUND, bearing_deg=90.0, distance_km=100.0 * n) for n in range(6)]
    verdicts = verify(
        [Standing(place, prior) for place, prior in zip(places, priors, strict=False)],
        [Proposal(places[n], "lmm", count, shown) for n, count, shown in votes],
        trust=Trust(rate, None if share is None else Reach(0.3, share)),
    )
    total = sum(verdict.probability for verdict in verdicts)
    assert 0.0 <= total <= 1.0 + 1e-9
    assert sum(verdict.votes for verdict in verdicts) == sum(count for _, count, _ in votes)


@pytest.mark.parametrize("accuracy", [0.05, 0.3, 0.6, 0.9])
def test_the_decision_is_never_worse_than_the_better_of_the_two_by_more_than_a_point(accuracy):
    rng = np.random.default_rng(1)
    cities = [destination(SUVA, bearing_deg=7.0 * n, distance_km=150.0 * n) for n in range(100)]
    belief, right = Belief(stated=0.28), np.zeros(3, dtype=int)
    for _ in range(3000):
        truth, wrong, other = rng.permutation(100)[:3]
        probability = float(rng.choice([0.02, 0.3, 0.9], p=[0.5, 0.3, 0.2]))
        found = truth if rng.random() < probability else wrong
        said = truth if rng.random() < accuracy else other
        best = verify(
            [Standing(cities[found], probability)],
            [Proposal(cities[said], "lmm zero-shot")],
            trust=belief.trust(),
        )[0]
        belief.hear(probability, agreed=bool(found == said))
        right += [found == truth, said == truth, best.coordinate == cities[truth]]
    retrieval, adviser, system = right / 30.0
    assert system >= max(retrieval, adviser) - 1.0
    if accuracy in (0.3, 0.6):
        assert system > max(retrieval, adviser) + 3.0


def test_votes_and_probabilities_out_of_range_are_refused():
    with pytest.raises(InvalidInput, match="votes"):
        Proposal(LUND, "lmm", votes=0)
    with pytest.raises(InvalidInput, match="probability"):
        Standing(LUND, 1.5)


def test_photos_of_places_that_the_collection_lacks_do_not_outvote_a_model():
    standings, proposal = [Standing(LUND, 0.4)], [Proposal(PARIS, "lmm zero-shot")]
    usual, lacking = Trust(0.15, Reach(0.2, 0.2)), Trust(0.15, Reach(0.2, 0.01))
    assert verify(standings, proposal, trust=usual)[0].coordinate == LUND
    assert verify(standings, proposal, trust=lacking)[0].coordinate == PARIS


def test_the_order_of_retrieval_stands_until_somebody_speaks_for_another_place():
    standings = [Standing(LUND, 0.5), Standing(PARIS, 0.5), Standing(LIMA, 0.5)]
    trust = Trust(0.1, Reach(0.5, 0.9))
    first, second, third = verify(standings, [], trust=trust)
    assert first.coordinate == LUND
    assert first.probability == pytest.approx(0.9)
    assert second.probability == third.probability == pytest.approx(0.025)
