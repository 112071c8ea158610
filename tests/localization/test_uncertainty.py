"""Radii from the spread of support."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.errors import ConfigError
from geosearch.geo import HALF_EARTH_KM, Coordinate
from geosearch.localization.uncertainty import FLOOR_KM, support_radii

LUND = Coordinate(55.705, 13.193)


def radii(points, weights=None, center=LUND, **options):
    lat, lon = np.array(points, dtype=float).T
    weights = np.ones(len(lat)) if weights is None else weights
    return support_radii(center, lat, lon, weights, **options)


def test_many_photos_of_one_place_give_the_floor():
    assert radii([(55.705, 13.193)] * 50) == {50: FLOOR_KM, 90: FLOOR_KM}


def test_a_radius_reaches_to_the_neighbor_that_completes_its_level():
    # 100 photos on a meridian, a degree apart: half of them lie within 50 degrees.
    points = [(-90.0 + step, 0.0) for step in range(1, 101)]
    found = radii(points, center=Coordinate(-90.0, 0.0))
    assert found[50] == pytest.approx(50 * 111.195, abs=112)
    assert found[90] == pytest.approx(90 * 111.195, abs=112)


def test_support_elsewhere_widens_the_radius():
    near = [(55.705, 13.193)] * 40
    far = [(-33.9, 151.2)] * 20
    assert radii(near + far)[90] == pytest.approx(
        LUND.distance_km(Coordinate(-33.9, 151.2)), rel=0.01
    )
    assert radii(near + far)[50] == FLOOR_KM


def test_neighbors_count_by_their_weight():
    points = [(55.705, 13.193)] * 20 + [(-33.9, 151.2)] * 20
    light = radii(points, weights=[1.0] * 20 + [0.01] * 20)
    heavy = radii(points, weights=[0.01] * 20 + [1.0] * 20)
    assert light[90] < 10.0
    assert heavy[50] > 10_000.0


def test_one_photo_alone_does_not_make_an_answer_look_certain():
    assert radii([(55.705, 13.193)])[90] > 5000.0


def test_a_center_at_the_pole_and_neighbors_across_180_are_measured_on_the_sphere():
    found = radii([(89.0, 180.0)] * 50 + [(89.0, -180.0)] * 50, center=Coordinate(90.0, 0.0))
    assert found[50] == pytest.approx(111.195, rel=0.01)


@pytest.mark.parametrize("level", [0, 100, -5])
def test_levels_that_are_no_percentages_are_refused(level):
    with pytest.raises(ConfigError, match="percentage"):
        radii([(0.0, 0.0)], levels=(level,))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.floats(0.001, 1.0)),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 99),
)
def test_a_radius_holds_its_level_and_nothing_smaller_does(rows, level):
    lat, lon, weights = np.array(rows).T
    found = support_radii(LUND, lat, lon, weights, levels=(level,), floor_km=1e-9)[level]

    def held(radius_km):
        n = len(rows)
        distance = np.array([LUND.distance_km(Coordinate(a, b)) for a, b, _ in rows])
        near = weights[distance <= radius_km + 1e-6].sum() / weights.sum()
        cap = (1.0 - math.cos(radius_km / 6371.0088)) / 2.0
        return (n * near + cap) / (n + 1)

    assert 0.0 < found <= HALF_EARTH_KM
    assert held(found) >= level / 100.0 - 1e-6
    assert found < 2e-3 or held(found - 1e-3) < level / 100.0 + 1e-6


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20))
def test_the_wider_level_has_the_wider_radius_within_half_the_earth(points):
    found = radii(points)
    assert FLOOR_KM <= found[50] <= found[90] <= HALF_EARTH_KM
