"""The locator: neighbours in, a prediction or a reason out."""

import itertools
import math
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import Coordinate
from geosearch.localization.background import background_score
from geosearch.localization.candidates import Neighbor
from geosearch.localization.locator import Locator, LocatorSettings, MoreSources
from geosearch.localization.verification import Proposal, Reasoned
from geosearch.records import PhotoFact, Step

LUND, PARIS, SUVA = Coordinate(55.705, 13.193), Coordinate(48.857, 2.352), Coordinate(-18.1, 178.4)
QUERY = np.ones(3, dtype=np.float32)


def neighbor(number, coordinate, score):
    fact = PhotoFact(
        UUID(int=number), f"{number}.jpg", coordinate, "", None, None, None, None, None, None
    )
    return Neighbor(fact, score)


def near(place, count, score, first=0):
    return [
        neighbor(first + step, Coordinate(place.lat + step * 1e-4, place.lon), score - step * 1e-3)
        for step in range(count)
    ]


def scattered(score=0.8):
    """Forty photos evenly all over the globe (a Fibonacci sphere), alike in score."""
    return [
        neighbor(
            step,
            Coordinate(
                math.degrees(math.asin(1 - (2 * step + 1) / 40)), (step * 137.50776) % 360 - 180
            ),
            score - step * 1e-6,
        )
        for step in range(40)
    ]


def locate(neighbors, *, settings=None, background=None, **options):
    asked = []

    def source(query, limit):
        asked.append((query, limit))
        return neighbors[:limit]

    locator = Locator(
        source,
        lambda coordinate: f"near {coordinate.lat:.0f}",
        encoder="test-encoder",
        settings=settings,
        background=background,
        **options,
    )
    prediction = locator.locate(QUERY, image="q.jpg")
    assert asked[0][0] is QUERY
    return prediction


def test_agreeing_neighbors_give_their_place_with_evidence_and_alternatives():
    found = locate(near(LUND, 6, 0.9) + near(PARIS, 2, 0.85, first=10))
    assert found.reason is None
    assert found.best.coordinate.distance_km(LUND) < 0.5
    assert found.best.place == "near 56"
    assert [item.photo.path for item in found.best.evidence] == [f"{n}.jpg" for n in range(6)]
    assert found.best.evidence[0].score == 0.9
    assert found.best.evidence[0].distance_km < 0.5
    (other,) = found.alternatives
    assert other.coordinate.distance_km(PARIS) < 0.5
    assert other.share < found.best.share
    assert (found.image, found.encoder) == ("q.jpg", "test-encoder")


def test_the_limit_of_neighbors_reaches_the_source():
    limits = []
    locator = Locator(
        lambda query, limit: limits.append(limit) or near(LUND, 3, 0.9),
        str,
        encoder="e",
        settings=LocatorSettings(neighbors=7),
    )
    locator.locate(QUERY, image="q.jpg")
    assert limits == [7]


def test_evidence_is_cut_to_the_number_asked_for():
    found = locate(near(LUND, 6, 0.9), settings=LocatorSettings(evidence=2))
    assert len(found.best.evidence) == 2


def test_each_step_says_what_it_proposed_and_how_long_it_took():
    ticks = itertools.count()
    found = locate(near(LUND, 6, 0.9), clock=lambda: float(next(ticks)))
    names = ["search", "search", "retrieval", "density", "uncertainty"]
    assert [step.name for step in found.steps] == names
    assert [step.seconds for step in found.steps] == [1.0, 1.0, 1.0, 1.0, 1.0]
    assert found.steps[0].summary == "fused: 6 photos found, the first with 0.900"
    assert found.steps[2].coordinate == LUND
    assert found.steps[3].coordinate == found.best.coordinate
    assert "6 of 6 photos" in found.steps[3].summary
    assert found.seconds == 7.0  # six for the photos, one to decide


def test_each_step_is_told_before_the_next_begins():
    told: list[str] = []

    def source(name, found):
        def search(query, limit):
            told.append(f"{name} begins")
            return found

        return search

    locator = Locator(
        source("fused", near(LUND, 6, 0.9)),
        str,
        encoder="e",
        sources=MoreSources(farthest=source("farthest", near(PARIS, 1, -0.5, first=10))),
    )
    retrieved = locator.retrieve(QUERY, lambda step: told.append(step.summary[:8]))
    assert told[:4] == ["fused begins", "fused: 6", "farthest begins", "farthest"]
    assert told[4:] == [step.summary[:8] for step in retrieved.steps[2:]]


def test_the_order_in_which_neighbors_arrive_changes_nothing():
    neighbors = near(LUND, 6, 0.9) + near(PARIS, 4, 0.9, first=10)
    forward, backward = locate(neighbors), locate(neighbors[::-1])
    assert forward.best == backward.best
    assert forward.alternatives == backward.alternatives


def test_an_empty_gallery_gives_a_reason_and_no_coordinate():
    found = locate([])
    assert found.best is None
    assert found.alternatives == ()
    assert "empty" in found.reason
    assert [step.name for step in found.steps] == ["search", "search", "retrieval"]
    assert {step.coordinate for step in found.steps} == {None}


def test_neighbors_without_a_place_give_a_reason():
    found = locate([neighbor(1, None, 0.9), neighbor(2, None, 0.8)])
    assert found.best is None
    assert "none of the 2 photos" in found.reason


def test_a_neighbor_without_a_place_supports_nothing_beside_others():
    found = locate([neighbor(99, None, 0.95), *near(LUND, 3, 0.9)])
    assert len(found.best.evidence) == 3
    assert found.best.share == pytest.approx(1.0)


def test_scores_below_the_floor_give_a_reason_that_says_the_best_of_them():
    found = locate(near(LUND, 6, 0.19), settings=LocatorSettings(min_score=0.2))
    assert found.best is None
    assert "0.2 (the best has 0.190)" in found.reason


def test_a_query_no_nearer_than_unrelated_photos_are_gets_no_answer():
    assert locate(near(LUND, 6, 0.4), background=0.4).best is None
    assert "unrelated" in locate(near(LUND, 6, 0.4), background=0.4).reason
    assert locate(near(LUND, 6, 0.4), background=0.39).best is not None


def test_support_scattered_evenly_over_the_world_gives_no_answer_but_keeps_the_steps():
    found = locate(scattered())
    assert found.best is None
    assert found.alternatives == ()
    assert "scattered" in found.reason
    names = ["search", "search", "retrieval", "density", "uncertainty"]
    assert [step.name for step in found.steps] == names


def test_scattered_support_is_answered_with_a_wide_radius_when_an_answer_is_forced():
    found = locate(scattered(), settings=LocatorSettings(max_spread_km=None))
    assert found.best.radius_km[50] > 5000.0


@pytest.mark.parametrize("place", [Coordinate(0.0, 0.0), Coordinate(90.0, 0.0), SUVA])
def test_a_real_place_anywhere_is_answered_there(place):
    exact = [neighbor(number, place, 0.9) for number in range(20)]
    found = locate(exact)
    assert found.best.coordinate.distance_km(place) < 1e-3


def test_antipodal_neighbors_of_equal_score_do_not_answer_between_them():
    pair = [neighbor(1, Coordinate(10.0, 20.0), 0.9), neighbor(2, Coordinate(-10.0, -160.0), 0.9)]
    found = locate(pair, settings=LocatorSettings(max_spread_km=None))
    ends = {found.best.coordinate.lat, found.alternatives[0].coordinate.lat}
    assert sorted(round(lat) for lat in ends) == [-10, 10]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(score):
    with pytest.raises(InvalidInput, match="finite"):
        locate([neighbor(1, LUND, 0.9), neighbor(2, LUND, score)])


def directions(count):
    vectors = np.random.default_rng(0).normal(size=(count, 64)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_background_score_lies_above_most_cosines_of_unrelated_photos():
    # 75 % of the cosines of random directions lie below 0.674 / sqrt(64).
    lat = np.linspace(-80.0, 80.0, 300)
    assert background_score(directions(300), lat, np.zeros(300)) == pytest.approx(0.084, abs=0.01)


def test_photos_of_one_place_do_not_raise_the_background_score():
    vectors = np.repeat(np.eye(2, dtype=np.float32), 50, axis=0)
    lat, lon = np.repeat([LUND.lat, SUVA.lat], 50), np.repeat([LUND.lon, SUVA.lon], 50)
    assert background_score(vectors, lat, lon) == 0.0


@pytest.mark.parametrize(("count", "spread"), [(19, 80.0), (100, 0.5), (0, 0.0)])
def test_a_gallery_that_is_small_or_all_in_one_place_has_no_background(count, spread):
    lat = np.linspace(-spread, spread, count)
    assert background_score(directions(count), lat, np.zeros(count)) is None


@pytest.mark.parametrize("bad", [{"neighbors": 0}, {"evidence": 0}, {"floor_km": 0.0}])
def test_settings_that_cannot_work_are_refused(bad):
    with pytest.raises(ConfigError):
        LocatorSettings(**bad)


def decided(neighbors, proposals, **options):
    locator = Locator(
        lambda query, limit: neighbors, lambda coordinate: "named", encoder="e", **options
    )
    reasoned = Reasoned(
        tuple(proposals),
        steps=(Step("lmm zero-shot", "it says so", PARIS, 2.0),),
        models=("some/model",),
        cost_usd=0.25,
    )
    return locator.decide(locator.retrieve(QUERY), image="q.jpg", reasoned=reasoned)


def test_an_adviser_that_agrees_raises_the_probability_of_the_place_and_is_named():
    found = decided(near(LUND, 6, 0.9), [Proposal(LUND, "lmm zero-shot", 3)])
    assert found.best.coordinate.distance_km(LUND) < 0.5
    assert found.best.within[25] > 0.95
    assert "lmm zero-shot" in found.best.origins
    assert (found.models, found.cost_usd) == (("some/model",), 0.25)
    assert [step.name for step in found.steps][-2:] == ["lmm zero-shot", "verification"]
    assert found.seconds >= 2.0


def test_where_no_photo_speaks_the_adviser_answers_and_the_radius_says_how_sure_that_is():
    found = decided([], [Proposal(PARIS, "lmm zero-shot")])
    assert found.reason is None
    assert (found.best.coordinate, found.best.place) == (PARIS, "named")
    assert found.best.evidence == ()
    assert found.best.radius_km[90] > 1000.0


def test_a_share_that_sums_to_a_little_more_than_all_is_still_weighed_with_an_adviser():
    found = Locator(lambda *_: near(LUND, 3, 0.9), str, encoder="e").retrieve(QUERY)
    over = replace(found.candidates[0], share=1.0 + 2**-52)
    reasoned = Reasoned((Proposal(LUND, "lmm zero-shot"),))
    locator = Locator(lambda *_: [], str, encoder="e")
    best = locator.decide(replace(found, candidates=(over,)), image="q.jpg", reasoned=reasoned).best
    assert best is not None
    assert best.within[25] == pytest.approx(1.0, abs=1e-4)


def test_places_too_scattered_to_answer_alone_win_with_an_adviser_who_names_one_of_them():
    locator = Locator(lambda *_: scattered(), str, encoder="e")
    retrieved = locator.retrieve(QUERY)
    assert "scattered" in retrieved.reason
    named = retrieved.candidates[2]
    alone = locator.decide(retrieved, image="q.jpg")
    assert (alone.best, alone.reason) == (None, retrieved.reason)
    said = Reasoned((Proposal(named.coordinate, "lmm zero-shot"),))
    together = locator.decide(retrieved, image="q.jpg", reasoned=said)
    assert together.best.coordinate == named.coordinate
    assert together.best.evidence == named.evidence != ()
    assert together.best.origins == ("fused", "lmm zero-shot")


def test_an_adviser_without_proposals_leaves_answer_and_reason_to_the_photos():
    assert "empty" in decided([], []).reason
    assert decided(near(LUND, 6, 0.9), []).best.coordinate.distance_km(LUND) < 0.5
