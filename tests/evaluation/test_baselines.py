from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosearch.errors import ConfigError, InvalidInput
from geosearch.evaluation.baselines import best_constant, draw_places
from geosearch.evaluation.metrics import geoscore
from geosearch.evaluation.settlements import load_settlements
from geosearch.geo import Coordinate, haversine_km


def test_the_best_constant_of_a_crowd_and_a_stray_is_in_the_crowd() -> None:
    best = best_constant([50.0, 50.1, 50.2, -40.0], [10.0, 10.0, 10.0, 170.0])
    assert best == Coordinate(50.1, 10.0)


def test_median_and_geoscore_may_choose_differently() -> None:
    """Medians by hand: 7° from 15 N, 8° from 0 and 8 N. Scores: 3.07, 3.05, 2.84 times 5000."""
    lat, lon = [0.0, 0.0, 8.0, 15.0, 22.0], [0.0] * 5
    assert best_constant(lat, lon, objective="median") == Coordinate(15.0, 0.0)
    assert best_constant(lat, lon, objective="geoscore") == Coordinate(0.0, 0.0)


def test_photos_on_both_sides_of_the_antimeridian_are_one_crowd() -> None:
    best = best_constant([0.0, 0.0, 0.0, 0.0], [179.0, -179.0, 180.0, 0.0])
    assert best.lon == 180.0


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=20),
)
def test_no_photo_of_the_gallery_would_be_a_better_constant(
    points: list[tuple[float, float]],
) -> None:
    lat, lon = np.array(points).T
    best = best_constant(lat, lon)
    reached = geoscore(haversine_km(best.lat, best.lon, lat, lon)).mean()
    for other_lat, other_lon in points:
        assert reached >= geoscore(haversine_km(other_lat, other_lon, lat, lon)).mean() - 1e-6


def test_lots_follow_the_weights_and_the_seed() -> None:
    drawn = draw_places([1.0, 2.0, 3.0], [0.0] * 3, 4000, weights=[3.0, 1.0, 0.0], seed=1)
    share = sum(place.lat == 1.0 for place in drawn) / 4000
    assert share == pytest.approx(0.75, abs=0.03)
    assert all(place.lat != 3.0 for place in drawn)
    assert drawn == draw_places([1.0, 2.0, 3.0], [0.0] * 3, 4000, weights=[3, 1, 0], seed=1)


def test_nothing_to_choose_from_is_said() -> None:
    with pytest.raises(InvalidInput, match="gallery is empty"):
        best_constant([], [])
    with pytest.raises(InvalidInput, match="no place to draw"):
        draw_places([1.0], [1.0], 1, weights=[0.0])
    with pytest.raises(ConfigError, match="at or above 0"):
        draw_places([1.0], [1.0], 1, weights=[-1.0])


def test_settlements_know_where_people_live() -> None:
    places = load_settlements()
    assert len(places.population) > 100_000
    near_tokyo = haversine_km(35.7, 139.7, places.lat, places.lon) < 50
    assert places.population[near_tokyo].sum() > 5e6
