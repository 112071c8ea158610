from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosearch.errors import ConfigError, InvalidInput
from geosearch.evaluation.metrics import (
    BANDS_KM,
    Estimate,
    GroupBootstrap,
    errors_km,
    gains,
    geoscore,
    measure,
    recall_at_k,
)
from geosearch.geo import Coordinate

INF = math.inf
errors = st.lists(st.one_of(st.floats(0.0, 20_015.0), st.just(INF)), min_size=2, max_size=40).map(
    np.array
)


def test_the_error_is_the_great_circle_distance_also_across_the_antimeridian() -> None:
    truths = [Coordinate(0.0, 179.5), Coordinate(90.0, 0.0), Coordinate(0.0, 0.0)]
    answers = [Coordinate(0.0, -179.5), Coordinate(90.0, 120.0), Coordinate(0.0, 90.0)]
    assert errors_km(truths, answers) == pytest.approx([111.195, 0.0, 10_007.557], abs=1e-3)


def test_a_photo_without_an_answer_is_infinitely_far_off_and_never_near_zero_zero() -> None:
    assert errors_km([Coordinate(0.1, 0.1)], [None]).tolist() == [INF]


def test_an_answer_at_zero_zero_is_an_answer() -> None:
    assert errors_km([Coordinate(0.0, 0.0)], [Coordinate(0.0, 0.0)]).tolist() == [0.0]


def test_too_few_answers_are_refused_and_not_cut_to_fit() -> None:
    with pytest.raises(InvalidInput, match="1 answers for 2 photos"):
        errors_km([Coordinate(0, 0)] * 2, [None])


def test_geoscore_by_hand() -> None:
    """5000 at home, 5000/e at one decay length, half at 1492.7 ln 2 = 1034.66 km, 0 unanswered."""
    scores = geoscore([0.0, 1492.7, 1492.7 * math.log(2.0), INF])
    assert scores == pytest.approx([5000.0, 1839.397, 2500.0, 0.0], abs=1e-3)


def test_accuracy_by_hand_with_one_of_five_unanswered() -> None:
    error = np.array([0.5, 25.0, 100.0, 3000.0, INF])
    accuracy = measure(error, GroupBootstrap(["a", "b", "c", "d", "e"]))
    shares = [accuracy.within_percent[band].value for band in BANDS_KM]
    assert shares == pytest.approx([20.0, 40.0, 60.0, 60.0, 60.0])
    assert accuracy.unanswered_percent.value == pytest.approx(20.0)
    assert accuracy.error_km[0.5].value == 100.0
    assert accuracy.error_km[0.9].value == INF
    score = 5000 * sum(math.exp(-e / 1492.7) for e in (0.5, 25.0, 100.0, 3000.0)) / 5
    assert accuracy.geoscore.value == pytest.approx(score)
    assert (accuracy.queries, accuracy.groups) == (5, 5)


def test_when_most_photos_are_unanswered_the_median_is_infinite_and_not_of_the_rest() -> None:
    accuracy = measure(np.array([1.0, INF, INF]), GroupBootstrap([1, 2, 3]))
    assert accuracy.error_km[0.5].value == INF


@given(errors)
def test_shares_grow_with_distance_and_leave_room_for_the_unanswered(
    error: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    accuracy = measure(error, GroupBootstrap(list(range(len(error))), resamples=20))
    shares = [accuracy.within_percent[band].value for band in BANDS_KM]
    assert shares == sorted(shares)
    assert shares[-1] + accuracy.unanswered_percent.value <= 100.0 + 1e-9
    quantiles = [estimate.value for estimate in accuracy.error_km.values()]
    assert quantiles == sorted(quantiles)


@given(errors, st.integers(0, 2**32 - 1))
def test_an_interval_is_finite_or_infinite_but_never_nan(
    error: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int
) -> None:
    bootstrap = GroupBootstrap([row % 2 for row in range(len(error))], resamples=20, seed=seed)
    for estimate in bootstrap.quantiles(error, (0.25, 0.5, 0.9)):
        assert not math.isnan(estimate.low)
        assert estimate.low <= estimate.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values, groups = np.arange(40.0), [row // 4 for row in range(40)]
    first = GroupBootstrap(groups, seed=0).mean(values)
    assert GroupBootstrap(groups, seed=0).mean(values) == first
    assert GroupBootstrap(groups, seed=1).mean(values) != first


def test_copies_of_a_photo_within_its_group_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).random(30)
    once = GroupBootstrap(list(range(30))).mean(values)
    copied = GroupBootstrap([row for row in range(30) for _ in range(50)]).mean(values.repeat(50))
    assert copied.low == pytest.approx(once.low)
    assert copied.high == pytest.approx(once.high)


def test_the_interval_is_that_of_a_plain_loop_over_drawn_groups() -> None:
    values, groups = np.array([1.0, 2.0, 3.0, 10.0, 20.0]), np.array([0, 0, 1, 2, 2])
    generator = np.random.default_rng(3)
    means, medians = [], []
    for drawn in generator.integers(0, 3, size=(200, 3)):
        rows = np.concatenate([values[groups == group] for group in drawn])
        means.append(rows.mean())
        medians.append(np.quantile(rows, 0.5, method="inverted_cdf"))
    bootstrap = GroupBootstrap(groups, resamples=200, seed=3)
    mean, median = bootstrap.mean(values), bootstrap.quantiles(values, [0.5])[0]
    low, high = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert (mean.value, mean.low, mean.high) == pytest.approx((7.2, low, high))
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    assert (median.value, median.low, median.high) == (3.0, low, high)


def test_one_place_allows_no_interval_and_says_so() -> None:
    with pytest.raises(InvalidInput, match="one place or photographer \\(lund\\)"):
        GroupBootstrap(["lund"] * 8)


def test_an_empty_data_set_is_said_to_be_empty() -> None:
    with pytest.raises(InvalidInput, match="no photo to evaluate"):
        GroupBootstrap([])


def test_no_resamples_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 resamples"):
        GroupBootstrap(["a", "b"], resamples=0)


def test_an_error_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(InvalidInput, match="photo 1 is not a number"):
        measure(np.array([1.0, math.nan]), GroupBootstrap(["a", "b"]))


def test_a_method_gains_nothing_over_itself_and_the_interval_is_exactly_nothing() -> None:
    error = np.array([1.0, 30.0, INF, 800.0])
    gain = gains(error, error, GroupBootstrap([1, 2, 3, 4]))
    assert set(gain.values()) == {Estimate(0.0, 0.0, 0.0)}
    assert not gain[25.0].excludes_zero


def test_a_gain_is_counted_in_percentage_points_of_all_photos() -> None:
    gain = gains(np.array([5.0, INF, 5.0, 5.0]), np.array([INF, 5.0, 50.0, 5.0]),
                 GroupBootstrap([1, 2, 3, 4]))  # fmt: skip
    assert gain[25.0].value == pytest.approx(25.0)


def test_recall_looks_at_the_first_k_only() -> None:
    distances = np.array([[500.0, 10.0, 0.5], [INF, INF, INF]])
    recall = {
        (one.k, one.radius_km): one.percent.value
        for one in recall_at_k(
            distances, GroupBootstrap([1, 2]), ks=(1, 2, 3, 10), radii_km=(1.0, 25.0)
        )
    }
    assert recall == {
        (1, 1.0): 0.0, (1, 25.0): 0.0, (2, 1.0): 0.0, (2, 25.0): 50.0, (3, 1.0): 50.0,
        (3, 25.0): 50.0,
    }  # fmt: skip


def test_a_ratio_is_of_what_it_is_taken_of() -> None:
    ratio = GroupBootstrap([1, 2, 3]).ratio([100.0, 0.0, 0.0], [1.0, 1.0, 0.0])
    assert ratio.value == pytest.approx(50.0)
    with pytest.raises(InvalidInput, match="nothing"):
        GroupBootstrap([1, 2]).ratio([0, 0], [0, 0])
