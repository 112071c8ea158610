"""Candidate places: weights, density on the sphere, modes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import Coordinate, coordinate_of, unit_vectors
from geosearch.localization.candidates import (
    DensitySettings,
    find_places,
    limit_bursts,
    neighbor_weights,
    score_weights,
)

DEFAULT = DensitySettings()
LUND, PARIS, SUVA = (55.705, 13.193), (48.857, 2.352), (-18.141, 178.442)


def places_of(points, weights=None, settings=DEFAULT):
    lat, lon = np.array(points, dtype=float).T
    weights = np.ones(len(lat)) if weights is None else np.asarray(weights, dtype=float)
    return find_places(lat, lon, weights / weights.sum(), settings)


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def around(point, n, spread_km, seed=0):
    steps = np.random.default_rng(seed).normal(scale=spread_km / 111.0, size=(n, 2))
    return [(point[0] + a, point[1] + b / math.cos(math.radians(point[0]))) for a, b in steps]


def test_weights_sum_to_one_and_fall_with_the_score():
    weights = score_weights([0.9, 0.8, 0.7, 0.5])
    assert weights.sum() == pytest.approx(1.0)
    assert (np.diff(weights) < 0).all()


def test_weights_do_not_depend_on_the_scale_of_an_encoders_scores():
    scores = np.array([0.9, 0.8, 0.7, 0.5])
    np.testing.assert_allclose(score_weights(scores), score_weights(0.3 * scores + 0.5))


def test_scores_that_differ_by_less_than_noise_weigh_nearly_the_same():
    weights = score_weights([0.8001, 0.8])
    assert weights[0] / weights[1] < 1.05


def test_equal_scores_weigh_the_same():
    assert score_weights([0.5, 0.5, 0.5]).tolist() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("scores", [[], [0.5, math.nan], [math.inf, 0.1]])
def test_scores_that_are_missing_or_not_finite_are_refused(scores):
    with pytest.raises(InvalidInput, match="finite"):
        score_weights(scores)


def test_a_burst_of_one_street_counts_as_a_few_photos():
    vectors = unit_vectors([55.7] * 100 + [48.0], [13.2] * 100 + [2.0])
    weights = limit_bursts(np.full(101, 1 / 101), vectors, burst_km=1.0, burst_cap=3.0)
    assert weights[:100].sum() == pytest.approx(0.75)
    assert weights[100] == pytest.approx(0.25)


def test_a_few_photos_of_one_street_keep_their_weight():
    vectors = unit_vectors([55.7] * 3 + [48.0], [13.2] * 3 + [2.0])
    weights = limit_bursts(np.full(4, 0.25), vectors, burst_km=1.0, burst_cap=3.0)
    assert weights.tolist() == pytest.approx([0.25] * 4)


def test_a_burst_of_worse_photos_does_not_drown_three_better_ones():
    points = around(LUND, 200, 0.1) + around(PARIS, 3, 0.1)
    lat, lon = np.array(points).T
    scores = np.array([0.8] * 200 + [0.82] * 3)
    weights = neighbor_weights(lat, lon, scores, DensitySettings(min_gap=0.05))
    best = find_places(lat, lon, weights, DEFAULT)[0]
    assert best.coordinate.distance_km(Coordinate(*PARIS)) < 1.0


def test_no_neighbors_make_no_place():
    assert find_places([], [], [], DEFAULT) == ()


def test_one_neighbor_is_the_place():
    (place,) = places_of([LUND])
    assert place.coordinate.distance_km(Coordinate(*LUND)) < 1e-6
    assert (place.share, place.members) == (1.0, (0,))


def test_the_cluster_beats_scattered_single_photos():
    points = [PARIS, *around(LUND, 5, 2.0), SUVA, (10.0, 10.0)]
    best = places_of(points)[0]
    assert best.coordinate.distance_km(Coordinate(*LUND)) < 5.0
    assert sorted(best.members) == [1, 2, 3, 4, 5]
    assert best.share == pytest.approx(5 / 8)


def test_members_are_named_heaviest_first():
    places = places_of([LUND, LUND, LUND], weights=[1.0, 3.0, 2.0])
    assert places[0].members == (1, 2, 0)


def test_the_answer_is_never_an_average_between_two_clusters():
    points = around(LUND, 4, 0.5, seed=1) + around(PARIS, 4, 0.5, seed=2)
    places = places_of(points)
    ends = [Coordinate(*LUND), Coordinate(*PARIS)]
    assert [min(place.coordinate.distance_km(end) for end in ends) < 2 for place in places] == [
        True,
        True,
    ]


def test_alternatives_are_not_ten_points_of_one_street():
    points = [*around(LUND, 30, 8.0), PARIS, SUVA]
    places = places_of(points)
    apart = [
        a.coordinate.distance_km(b.coordinate)
        for i, a in enumerate(places)
        for b in places[i + 1 :]
    ]
    assert len(places) == 3
    assert min(apart) > DEFAULT.separation_km


def test_a_weak_photo_beside_a_large_cluster_is_not_ranked_by_its_neighbors_support():
    # 120 km off Lund: inside the widest kernel of ten photos, but alone.
    points = [*around(LUND, 10, 1.0), (54.63, 13.193), PARIS]
    places = places_of(points, weights=[1.0] * 10 + [0.2, 0.8])
    assert places[1].coordinate.distance_km(Coordinate(*PARIS)) < 1.0


def test_a_cluster_across_the_antimeridian_is_one_place():
    points = [(-17.0, 179.997), (-17.0, -179.997), (-17.003, 180.0), (-16.997, -180.0)]
    (place,) = places_of(points)
    assert place.coordinate.distance_km(Coordinate(-17.0, 180.0)) < 0.01
    assert place.share == pytest.approx(1.0)


@pytest.mark.parametrize("lat", [89.95, -89.95])
def test_a_cluster_round_a_pole_is_at_the_pole(lat):
    settings = DensitySettings(bandwidths_km=(25.0,))
    (place,) = places_of([(lat, lon) for lon in (0.0, 90.0, 180.0, -90.0)], settings=settings)
    assert place.coordinate.distance_km(Coordinate(math.copysign(90.0, lat), 0.0)) < 0.01


def test_antipodal_neighbors_of_equal_weight_do_not_crash_and_both_are_places():
    places = places_of([(10.0, 20.0), (-10.0, -160.0)])
    assert [place.share for place in places] == [0.5, 0.5]


def test_a_ring_that_balances_to_nothing_under_a_very_wide_kernel_does_not_crash():
    settings = DensitySettings(bandwidths_km=(1e7,))
    places = places_of([(0.0, lon) for lon in (0.0, 90.0, 180.0, -90.0)], settings=settings)
    assert all(0.0 < place.share <= 1.0 for place in places)


def test_neighbors_without_weight_support_no_place():
    places = places_of([LUND, PARIS], weights=[1.0, 0.0])
    assert [place.members for place in places] == [(0,)]


def test_at_most_so_many_places_are_given_as_asked():
    points = [(float(lat), 0.0) for lat in range(-80, 80, 10)]
    assert len(places_of(points, settings=DensitySettings(max_places=3))) == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": 0.0},
        {"bandwidths_km": ()},
        {"bandwidths_km": (1.0, -1.0)},
        {"burst_cap": 0.5},
        {"max_places": 0},
        {"separation_km": math.nan},
    ],
)
def test_settings_that_cannot_work_are_refused(bad):
    with pytest.raises(ConfigError):
        DensitySettings(**bad)


SCENES = st.integers(0, 10_000)


def scene(seed):
    """A dominant cluster anywhere, poles and ±180 included, and scattered photos."""
    random = np.random.default_rng(seed)
    center = unit_vectors(*random.choice([[90.0, 0.0], [0.0, 180.0], [-33.9, 151.2]]))
    cluster = center + random.normal(scale=3e-4, size=(6, 3))
    vectors = np.vstack([cluster, random.normal(size=(8, 3))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = np.concatenate([random.uniform(1, 2, 6), random.uniform(0, 1, 8)])
    return vectors, weights / weights.sum()


def degrees(vectors):
    return np.array([(place.lat, place.lon) for place in map(coordinate_of, vectors)]).T


@settings(max_examples=60, deadline=None)
@given(SCENES, SCENES)
def test_rotating_all_neighbors_rotates_the_answer(seed, turn):
    vectors, weights = scene(seed)
    turned = rotation(turn)
    plain = find_places(*degrees(vectors), weights, DEFAULT)[0]
    rotated = find_places(*degrees(vectors @ turned.T), weights, DEFAULT)[0]
    expected = coordinate_of(turned @ unit_vectors(plain.coordinate.lat, plain.coordinate.lon))
    assert rotated.coordinate.distance_km(expected) < 0.01
    assert rotated.members == plain.members
    assert rotated.share == pytest.approx(plain.share)


@settings(max_examples=60, deadline=None)
@given(SCENES, st.permutations(range(14)))
def test_the_order_of_neighbors_changes_nothing(seed, order):
    vectors, weights = scene(seed)
    lat, lon = degrees(vectors)
    order = np.array(order)
    plain = find_places(lat, lon, weights, DEFAULT)
    shuffled = find_places(lat[order], lon[order], weights[order], DEFAULT)
    assert [place.coordinate for place in shuffled] == [place.coordinate for place in plain]
    assert [[order[i] for i in place.members] for place in shuffled] == [
        list(place.members) for place in plain
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(0.01, 1.0)),
        min_size=1,
        max_size=20,
    )
)
def test_shares_never_sum_to_more_than_everything(rows):
    places = places_of([row[:2] for row in rows], weights=[row[2] for row in rows])
    assert len(places) >= 1
    assert sum(place.share for place in places) <= 1.0 + 1e-9
    indices = [index for place in places for index in place.members]
    assert len(indices) == len(set(indices))
