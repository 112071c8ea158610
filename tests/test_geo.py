from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geosearch.errors import InvalidCoordinate
from geosearch.geo import (
    EARTH_RADIUS_KM,
    HALF_EARTH_KM,
    Coordinate,
    chord_of,
    coordinate_of,
    destination,
    distance_words,
    haversine_km,
    parse_coordinate,
    unit_vectors,
)

lats = st.floats(-90, 90)
lons = st.floats(-180, 180)


def test_a_degree_along_the_equator_is_a_360th_of_the_circumference() -> None:
    assert Coordinate(0, 0).distance_km(Coordinate(0, 1)) == pytest.approx(111.195, abs=0.001)


def test_distance_is_short_across_the_antimeridian() -> None:
    assert Coordinate(0, 179.5).distance_km(Coordinate(0, -179.5)) == pytest.approx(
        111.195, abs=0.001
    )


def test_distance_between_the_poles_is_half_the_circumference() -> None:
    poles = Coordinate(90, 12), Coordinate(-90, -80)
    assert poles[0].distance_km(poles[1]) == pytest.approx(HALF_EARTH_KM)


def test_distance_at_a_pole_does_not_depend_on_longitude() -> None:
    assert Coordinate(90, 0).distance_km(Coordinate(90, 123)) == pytest.approx(0.0, abs=1e-9)


def test_distance_matches_a_published_pair() -> None:
    """Paris to New York, great circle on a sphere of 6371.009 km: 5837.4 km."""
    paris, new_york = Coordinate(48.8566, 2.3522), Coordinate(40.7128, -74.0060)
    assert paris.distance_km(new_york) == pytest.approx(5837.4, abs=0.5)


@given(lats, lons, lats, lons)
def test_distance_agrees_with_the_angle_of_unit_vectors(
    lat1: float, lon1: float, lat2: float, lon2: float
) -> None:
    a, b = unit_vectors(lat1, lon1), unit_vectors(lat2, lon2)
    angle = math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))
    # Haversine loses half the digits of a double at the antipodes: 0.2 m there.
    assert haversine_km(lat1, lon1, lat2, lon2) == pytest.approx(angle * EARTH_RADIUS_KM, abs=2e-4)


@given(lats, lons)
def test_a_unit_vector_points_back_at_its_coordinate(lat: float, lon: float) -> None:
    there = coordinate_of(3.0 * unit_vectors(lat, lon))
    assert there.distance_km(Coordinate(lat, lon)) < 1e-6


def test_the_zero_vector_points_at_no_place() -> None:
    with pytest.raises(InvalidCoordinate, match="no place"):
        coordinate_of([0.0, 0.0, 0.0])


@given(lats, lons, st.floats(0, 360), st.floats(0, 20000))
def test_a_destination_is_as_far_as_asked(
    lat: float, lon: float, bearing: float, km: float
) -> None:
    start = Coordinate(lat, lon)
    assert destination(start, bearing_deg=bearing, distance_km=km).distance_km(
        start
    ) == pytest.approx(km, abs=2e-4)


@given(st.floats(0, 20015))
def test_a_chord_is_the_straight_line_of_a_distance(km: float) -> None:
    there = destination(Coordinate(0, 0), bearing_deg=90, distance_km=km)
    straight = np.linalg.norm(unit_vectors(0, 0) - unit_vectors(there.lat, there.lon))
    assert chord_of(km) == pytest.approx(float(straight), abs=1e-9)


@pytest.mark.parametrize(
    ("given", "wrapped"), [(180, 180), (-180, -180), (181, -179), (-181, 179), (539, 179), (360, 0)]
)
def test_longitude_is_wrapped_once(given: float, wrapped: float) -> None:
    assert Coordinate(0, given).lon == pytest.approx(wrapped)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    for pair in ((value, 0.0), (0.0, value)):
        with pytest.raises(InvalidCoordinate, match="finite"):
            Coordinate(*pair)


@pytest.mark.parametrize("lat", [90.0001, -91, 1e9])
def test_latitude_outside_90_is_refused(lat: float) -> None:
    with pytest.raises(InvalidCoordinate, match="outside -90"):
        Coordinate(lat, 0)


def test_swapped_axes_are_hinted_at() -> None:
    with pytest.raises(InvalidCoordinate, match="swapped"):
        Coordinate(139.69, 35.68)


def test_a_longitude_far_out_of_range_is_refused_and_not_wrapped() -> None:
    with pytest.raises(InvalidCoordinate, match="longitude 13193"):
        Coordinate(55.7, 13193.0)


def test_the_origin_is_a_place() -> None:
    assert Coordinate(0, 0) == Coordinate(0.0, 0.0)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "55.7;13.2"])
def test_text_that_is_no_coordinate_says_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidCoordinate, match="LAT,LON"):
        parse_coordinate(text)


def test_text_is_read_as_lat_then_lon() -> None:
    assert parse_coordinate(" 55.705, 13.193") == Coordinate(55.705, 13.193)


@pytest.mark.parametrize(
    ("distance_km", "words"),
    [(0.25, "0.25 km"), (1.366, "1.37 km"), (99.4, "99.4 km"), (12_030.4, "12,030 km")],
)
def test_distances_are_written_without_exponents(distance_km: float, words: str) -> None:
    assert distance_words(distance_km) == words
