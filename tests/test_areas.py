from __future__ import annotations

import json
import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch.areas import BoundingBox, Circle, Polygon, areas_from_geojson, to_geojson
from geosearch.errors import InvalidArea
from geosearch.geo import HALF_EARTH_KM, Coordinate, haversine_km
from geosearch.geojson import MAX_POSITIONS

LUND = Coordinate(55.705, 13.193)


def polygon(
    *lon_lat: tuple[float, float], holes: tuple[tuple[Coordinate, ...], ...] = ()
) -> Polygon:
    return Polygon(tuple(Coordinate(lat, lon) for lon, lat in lon_lat), holes)


def feature(*rings: list[list[float]]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


def holds(area: Circle | BoundingBox | Polygon, lat: float, lon: float) -> bool:
    return bool(area.contains([lat], [lon])[0])


# Circles


def test_a_circle_of_no_radius_holds_its_centre_and_nothing_a_metre_away() -> None:
    circle = Circle(LUND, 0.0)
    assert holds(circle, LUND.lat, LUND.lon)
    assert not holds(circle, LUND.lat + 1e-5, LUND.lon)


def test_a_circle_of_half_the_earth_holds_the_antipode() -> None:
    assert holds(Circle(LUND, HALF_EARTH_KM), -LUND.lat, LUND.lon - 180.0)


def test_a_circle_round_a_pole_holds_every_longitude() -> None:
    assert (
        Circle(Coordinate(90.0, 10.0), 112.0)
        .contains([89.0] * 4, [-180.0, -90.0, 0.0, 180.0])
        .all()
    )


def test_a_circle_at_180_holds_points_on_the_other_side() -> None:
    assert holds(Circle(Coordinate(0.0, 179.9), 50.0), 0.0, -179.9)


def test_the_rim_belongs_to_a_circle() -> None:
    rim = Coordinate(48.85, 2.35)
    assert holds(Circle(LUND, LUND.distance_km(rim)), rim.lat, rim.lon)


@pytest.mark.parametrize("radius_km", [-1.0, math.nan, math.inf])
def test_a_radius_that_is_none_is_refused(radius_km: float) -> None:
    with pytest.raises(InvalidArea, match="radius"):
        Circle(LUND, radius_km)


# Boxes


def test_a_box_is_read_as_west_south_east_north() -> None:
    assert BoundingBox.parse(" 12.9, 55.5,13.4,55.8") == BoundingBox(12.9, 55.5, 13.4, 55.8)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,1,1", "0,2,1,1"])
def test_text_that_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(InvalidArea):
        BoundingBox.parse(text)


def test_a_box_with_swapped_axes_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidArea, match="swapped"):
        BoundingBox(south=139.0, west=35.0, north=140.0, east=36.0)


def test_a_box_with_west_beyond_east_lies_across_180() -> None:
    box = BoundingBox(170.0, -10.0, -170.0, 10.0)
    assert box.contains([0.0] * 4, [175.0, -175.0, 180.0, -180.0]).all()
    assert not box.contains([0.0] * 2, [169.0, -169.0]).any()
    assert len(box.pieces()) == 2


def test_a_box_that_only_touches_180_holds_it_from_both_sides() -> None:
    assert BoundingBox(170.0, -10.0, 180.0, 10.0).contains([0.0, 0.0], [180.0, -180.0]).all()
    assert BoundingBox(-180.0, -10.0, -170.0, 10.0).contains([0.0, 0.0], [180.0, -180.0]).all()


def test_a_box_that_reaches_a_pole_holds_it_whatever_its_longitude() -> None:
    box = BoundingBox(30.0, 60.0, 40.0, 90.0)
    assert holds(box, 90.0, -120.0)
    assert not holds(box, 89.9, -120.0)
    assert not holds(box, -90.0, 35.0)


def test_a_box_of_360_degrees_or_more_is_all_longitudes() -> None:
    assert BoundingBox(0.0, -90.0, 360.0, 90.0) == BoundingBox(-180.0, -90.0, 180.0, 90.0)


def test_the_edge_and_the_corners_belong_to_a_box() -> None:
    assert (
        BoundingBox(10.0, 20.0, 30.0, 40.0).contains([20.0, 40.0, 30.0], [10.0, 30.0, 30.0]).all()
    )


def test_a_box_of_one_point_holds_that_point() -> None:
    assert holds(BoundingBox(0.0, 0.0, 0.0, 0.0), 0.0, 0.0)


# Polygons


def test_an_uncut_polygon_across_180_is_read_the_short_way() -> None:
    area = polygon((170, -10), (-170, -10), (-170, 10), (170, 10))
    assert area.contains([0.0] * 3, [175.0, -175.0, 180.0]).all()
    assert not holds(area, 0.0, 0.0)
    assert len(area.pieces()) == 2


def test_longitudes_beyond_180_mean_the_same_as_wrapped_ones() -> None:
    [area] = areas_from_geojson(feature([[170, -10], [190, -10], [190, 10], [170, 10], [170, -10]]))
    assert area == polygon((170, -10), (-170, -10), (-170, 10), (170, 10), (170, -10))


def test_a_polygon_cut_at_180_as_rfc_7946_asks_is_whole() -> None:
    east, west = areas_from_geojson(
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[170, -10], [180, -10], [180, 10], [170, 10], [170, -10]]],
                [[[-180, -10], [-170, -10], [-170, 10], [-180, 10], [-180, -10]]],
            ],
        }
    )
    assert holds(east, 0.0, -180.0)
    assert holds(west, 0.0, 180.0)
    assert not holds(east, 0.0, -175.0)


@pytest.mark.parametrize("west", [-180.0, 0.0, -90.0])
def test_a_ring_of_360_degrees_is_the_whole_world(west: float) -> None:
    ring = [[west, -90], [west + 360, -90], [west + 360, 90], [west, 90], [west, -90]]
    [area] = areas_from_geojson(feature(ring))
    assert area.contains([0, 0, 90, -90, 45], [0, 180, 0, 0, -123.4]).all()


def test_a_half_world_beyond_180_is_the_half_that_was_drawn() -> None:
    [area] = areas_from_geojson(feature([[90, -60], [270, -60], [270, 60], [90, 60], [90, -60]]))
    assert holds(area, 0.0, 180.0)
    assert not holds(area, 0.0, 0.0)


@pytest.mark.parametrize("eastward", [True, False])
@pytest.mark.parametrize("lat", [-70.0, 70.0])
def test_a_ring_round_the_earth_holds_the_pole_on_its_side(lat: float, eastward: bool) -> None:
    lons = [-150, -90, -30, 30, 90, 150]
    area = polygon(*((lon, lat) for lon in (lons if eastward else lons[::-1])))
    side = math.copysign(1.0, lat)
    assert area.contains([side * 90, side * 75, side * 75], [0, 180, 31]).all()
    assert not area.contains([side * 65, -side * 75], [0, 0]).any()


@pytest.mark.parametrize("eastward", [True, False])
def test_a_ring_round_the_earth_on_both_sides_of_the_equator_holds_what_is_on_its_left(
    eastward: bool,
) -> None:
    places = [(-150, 10), (-90, -10), (-30, 10), (30, -10), (90, 10), (150, -10)]
    area = polygon(*(places if eastward else places[::-1]))
    assert holds(area, 60.0, 0.0) is eastward
    assert holds(area, -60.0, 0.0) is not eastward


def test_a_wavy_ring_round_a_pole_that_turns_back_on_itself_is_closed_rightly() -> None:
    area = polygon((0, 60), (20, 70), (-20, 65), (-60, 50), (-150, 60), (120, 55), (60, 60))
    assert area.contains([85, 85, 85, 90, 62], [0, 90, -170, 12, 10]).all()
    assert not area.contains([30, 30, 67], [0, -170, 10]).any()


def test_a_ring_twice_round_the_earth_is_refused() -> None:
    lons = [-150, -90, -30, 30, 90, 150]
    with pytest.raises(InvalidArea, match="2 times round"):
        polygon(*((lon, 60) for lon in lons), *((lon, 70) for lon in lons))


def test_180_and_then_minus_180_inside_a_ring_is_no_step() -> None:
    area = polygon((170, 0), (180, 0), (-180, 0), (-170, 0), (-170, 9), (170, 9))
    assert area.contains([5, 5], [175, -175]).all()
    assert not holds(area, 5.0, 0.0)


def test_a_hole_is_left_out_and_its_edge_is_not() -> None:
    hole = tuple(Coordinate(lat, lon) for lat, lon in ((2, 2), (2, 8), (8, 8), (8, 2)))
    area = polygon((0, 0), (10, 0), (10, 10), (0, 10), holes=(hole,))
    assert not holds(area, 5.0, 5.0)
    assert area.contains([1.0, 2.0, 2.0], [1.0, 2.0, 5.0]).all()


def test_a_hole_across_180_is_left_out_on_both_sides() -> None:
    hole = tuple(Coordinate(lat, lon) for lat, lon in ((-5, 175), (-5, -175), (5, -175), (5, 175)))
    area = polygon((160, -20), (-160, -20), (-160, 20), (160, 20), holes=(hole,))
    assert not area.contains([0, 0, 0], [179, -179, 180]).any()
    assert area.contains([0, 0, 10], [174, -174, 180]).all()


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        ([(0, 0), (10, 10)], "distinct"),
        ([(0, 0), (10, 10), (0, 0), (10, 10)], "distinct"),
        ([(0, 0), (5, 5), (10, 10)], "no area|cannot be used"),
        ([(0, 0), (10, 10), (10, 0), (0, 10)], "Self-intersection"),
    ],
)
def test_a_ring_that_encloses_nothing_or_crosses_itself_is_refused(
    ring: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(InvalidArea, match=message):
        polygon(*ring)


def test_holes_that_leave_nothing_are_refused() -> None:
    ring = tuple(Coordinate(lat, lon) for lat, lon in ((0, 0), (0, 9), (9, 9)))
    with pytest.raises(InvalidArea, match="leave nothing"):
        Polygon(ring, (ring,))


places = st.builds(
    Coordinate,
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 0.0, 90.0])),
    st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, 0.0, 180.0])),
)


@given(center=st.tuples(st.floats(-60, 60), st.floats(-120, 120)), data=st.data())
@settings(max_examples=150, deadline=None)
def test_polygons_away_from_180_and_the_poles_hold_what_shapely_says(
    center: tuple[float, float], data: st.DataObject
) -> None:
    corners = data.draw(st.integers(3, 9))
    reach = data.draw(st.lists(st.floats(1, 25), min_size=corners, max_size=corners))
    angles = np.arange(corners) * (2 * math.pi / corners)
    ring = [
        (center[1] + r * math.cos(angle), center[0] + r * math.sin(angle))
        for r, angle in zip(reach, angles, strict=True)
    ]
    rng = np.random.default_rng(corners)
    lon, lat = center[1] + rng.uniform(-30, 30, 200), center[0] + rng.uniform(-29, 29, 200)
    truth = shapely.intersects_xy(shapely.Polygon(ring), lon, lat)
    assert (polygon(*ring).contains(lat, lon) == truth).all()


@given(shift=st.floats(-180, 180), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_polygon_turned_round_the_axis_holds_the_turned_points(
    shift: float, data: st.DataObject
) -> None:
    corners = data.draw(st.integers(3, 9))
    reach = data.draw(st.lists(st.floats(1, 80), min_size=corners, max_size=corners))
    angles = np.arange(corners) * (2 * math.pi / corners)
    ring = np.array(
        [(r * math.cos(a), r * math.sin(a)) for r, a in zip(reach, angles, strict=True)]
    )
    rng = np.random.default_rng(corners)
    lon, lat = rng.uniform(-170, 170, 300), rng.uniform(-85, 85, 300)
    still = polygon(*ring)
    turned = polygon(*(ring + np.array([shift, 0.0])))
    turned_lon = [Coordinate(0.0, value).lon for value in lon + shift]
    assert (still.contains(lat, lon) == turned.contains(lat, turned_lon)).all()


@given(area=st.builds(Circle, places, st.floats(0, 21_000)), place=places)
def test_circles_hold_what_is_within_their_radius(area: Circle, place: Coordinate) -> None:
    distance_km = float(haversine_km(area.center.lat, area.center.lon, place.lat, place.lon))
    if abs(distance_km - area.radius_km) > 1e-3:
        assert holds(area, place.lat, place.lon) is (distance_km < area.radius_km)


# GeoJSON

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]


@pytest.mark.parametrize(
    ("document", "n"),
    [
        (feature(SQUARE), 1),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE]]}, 2),
        ({"type": "Feature", "properties": None, "geometry": feature(SQUARE)}, 1),
        (
            {
                "type": "FeatureCollection",
                "features": [{"type": "Feature", "geometry": feature(SQUARE)}],
            },
            1,
        ),
        ({"type": "GeometryCollection", "geometries": [feature(SQUARE), feature(SQUARE)]}, 2),
        (feature([[*position, 100.0] for position in SQUARE]), 1),
    ],
)
def test_every_form_of_polygon_in_geojson_is_read(document: object, n: int) -> None:
    areas = areas_from_geojson(document)
    assert len(areas) == n
    assert all(holds(area, 5.0, 5.0) and not holds(area, 5.0, 11.0) for area in areas)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "not a GeoJSON object"),
        ([], "not a GeoJSON object"),
        ("Polygon", "not a GeoJSON object"),
        ({}, "is no area"),
        ({"type": "Point", "coordinates": [0, 0]}, "is no area"),
        ({"type": ["Polygon"]}, "is no area"),
        ({"type": "Polygon"}, "must be a list"),
        ({"type": "Polygon", "coordinates": []}, "no rings"),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
        ({"type": "Feature", "geometry": None}, "not a GeoJSON object"),
        (feature(SQUARE[:3]), "needs 4"),
        (feature(SQUARE[:4]), "repeat its first position"),
        (feature([*SQUARE[:2], [10], *SQUARE[3:]]), "longitude, latitude"),
        (feature([*SQUARE[:2], [10, "10"], *SQUARE[3:]]), "two numbers"),
        (feature([*SQUARE[:2], [10, True], *SQUARE[3:]]), "two numbers"),
        (feature([*SQUARE[:2], [10, math.nan], *SQUARE[3:]]), "finite"),
        (feature([*SQUARE[:2], [10**400, 10], *SQUARE[3:]]), "degrees"),
        (feature([*SQUARE[:2], [10, 139], *SQUARE[3:]]), "longitude, latitude"),
        (feature([*SQUARE[:2], [1e6, 1], *SQUARE[3:]]), "outside -180..180"),
        (feature([[0, 0]] * (MAX_POSITIONS + 1)), "simplify"),
        (
            {"type": "MultiPolygon", "coordinates": [[SQUARE]] * (MAX_POSITIONS // 5 + 1)},
            "simplify",
        ),
    ],
)
def test_geojson_that_is_no_area_is_refused_in_a_sentence(document: object, message: str) -> None:
    with pytest.raises(InvalidArea, match=message) as caught:
        areas_from_geojson(document)
    assert len(str(caught.value)) < 400


def test_geojson_nested_without_end_is_refused() -> None:
    document: dict[str, object] = feature(SQUARE)
    for _ in range(5000):
        document = {"type": "GeometryCollection", "geometries": [document]}
    with pytest.raises(InvalidArea, match="nested"):
        areas_from_geojson(document)


def test_swapped_axes_in_geojson_are_refused_with_a_hint() -> None:
    tokyo = [[35.6, 139.6], [35.8, 139.6], [35.8, 139.8], [35.6, 139.6]]
    with pytest.raises(InvalidArea, match=r"\[longitude, latitude\]"):
        areas_from_geojson(feature(tokyo))


@pytest.mark.parametrize(
    "area",
    [
        Circle(LUND, 25.0),
        Circle(Coordinate(0.0, 180.0), 500.0),
        Circle(Coordinate(89.0, 0.0), 500.0),
        Circle(Coordinate(-60.0, 10.0), 6000.0),
        Circle(Coordinate(10.0, 100.0), 15_000.0),
        Circle(LUND, 30_000.0),
        BoundingBox(170.0, -10.0, -170.0, 10.0),
        BoundingBox(-180.0, -90.0, 180.0, 90.0),
        BoundingBox(-100.0, -20.0, 100.0, 20.0),
        polygon((170, -10), (-170, -10), (-170, 10), (170, 10)),
        polygon((-150, 60), (-30, 60), (90, 60)),
    ],
)
def test_an_area_written_as_geojson_and_read_again_holds_the_same_points(
    area: Circle | BoundingBox | Polygon,
) -> None:
    document = json.loads(json.dumps(to_geojson(area)))
    rng = np.random.default_rng(0)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, 4000))), rng.uniform(-180, 180, 4000)
    again = np.any([part.contains(lat, lon) for part in areas_from_geojson(document)], axis=0)
    # A circle is drawn with 128 corners, so points near the rim may fall outside of the drawing.
    differing = np.mean(again != area.contains(lat, lon))
    assert differing <= (0.004 if isinstance(area, Circle) else 0.0)
