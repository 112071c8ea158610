"""Exports: JSON, CSV, GeoJSON, KML, and circles cut for maps."""

import csv
import io
import json
import math
from datetime import UTC, datetime
from uuid import UUID
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geosearch import exports
from geosearch.errors import InvalidArea, InvalidCoordinate
from geosearch.geo import (
    EARTH_RADIUS_KM,
    HALF_EARTH_KM,
    Coordinate,
    coordinate_of,
    destination,
    haversine_km,
)
from geosearch.records import (
    Candidate,
    Evidence,
    PhotoFact,
    Prediction,
    SearchHit,
    SearchResult,
    Step,
)

KML = "{http://www.opengis.net/kml/2.2}"
LUND = Coordinate(55.705, 13.193)
NASTY = '=1+1 <script>alert("x")</script> & ]]> \x00\x1b\ud800 \ufffe "quoted", Åsa\n日本'


def photo(**changes):
    facts = {
        "id": UUID(int=7),
        "path": "a/b.jpg",
        "coordinate": LUND,
        "place": "Lund, Sweden",
        "country": "SE",
        "captured_at": datetime(2020, 5, 1, 12, tzinfo=UTC),
        "dataset": "d",
        "author": "A. Author",
        "license": "CC BY",
        "caption": "a street",
    }
    return PhotoFact(**(facts | changes))


def prediction(center=LUND, radius_km=None, **changes):
    evidence = Evidence(photo(**changes), 0.9, 1.5)
    radii = radius_km or {50: 12.0, 90: 300.0}
    best = Candidate(center, 0.75, "Lund, Sweden", radii, (evidence,))
    other = Candidate(Coordinate(48.857, 2.352), 0.25, "Paris, France", {50: 5.0, 90: 900.0}, ())
    steps = (Step("retrieval", "50 photos", LUND, 0.1),)
    return Prediction("q.jpg", best, (other,), steps, "enc", seconds=0.5)


def silence(reason="the gallery is empty"):
    return Prediction(
        "none.jpg", None, (), (Step("retrieval", "0 photos", None, 0.1),), "enc", reason
    )


def result(**changes):
    hits = (SearchHit(photo(**changes), 0.8, 3.2), SearchHit(photo(coordinate=None), None, None))
    return SearchResult(hits, 42, "exact", 0.02)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


# Circles


def sample_sphere(n=400, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    return np.array([(place.lat, place.lon) for place in map(coordinate_of, vectors)]).T


def assert_is_the_circle(area, center, radius_km):
    west, south, east, north = area.bounds
    assert area.is_valid
    assert west >= -180.0
    assert east <= 180.0
    assert south >= -90.0
    assert north <= 90.0
    lat, lon = sample_sphere()
    distance = haversine_km(center.lat, center.lon, lat, lon)
    clear = abs(distance - radius_km) > 20.0 + 0.01 * radius_km
    inside = shapely.contains_xy(area, lon, lat)
    np.testing.assert_array_equal(inside[clear], (distance < radius_km)[clear])
    for part in shapely.get_parts(area):
        assert part.exterior.is_ccw
        assert not any(hole.is_ccw for hole in part.interiors)


CENTERS = st.builds(
    Coordinate,
    st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.9999, 0.0])),
    st.one_of(st.floats(-180, 180), st.sampled_from([180.0, -180.0, 179.9999, 0.0])),
)


@settings(max_examples=300, deadline=None)
@given(CENTERS, st.one_of(st.floats(0.01, 5), st.floats(5, HALF_EARTH_KM)))
def test_a_circle_holds_what_is_within_its_radius_and_nothing_else(center, radius_km):
    assert_is_the_circle(exports.circle_polygon(center, radius_km), center, radius_km)


@pytest.mark.parametrize("lat", [60.0, -60.0, 0.0, 89.0])
@pytest.mark.parametrize("offset_km", [-1e-4, 0.0, 1e-4, 0.5])
def test_a_circle_that_touches_a_pole_is_still_right(lat, offset_km):
    radius_km = math.radians(90.0 - abs(lat)) * EARTH_RADIUS_KM + offset_km
    center = Coordinate(lat, 170.0)
    assert_is_the_circle(exports.circle_polygon(center, radius_km), center, radius_km)


def test_a_small_circle_has_the_area_of_a_circle():
    area = exports.circle_polygon(Coordinate(0.0, 30.0), 100.0)
    square_km = area.area * (math.pi * EARTH_RADIUS_KM / 180.0) ** 2
    assert square_km == pytest.approx(math.pi * 100.0**2, rel=0.002)


def test_the_vertices_lie_where_bearings_lead():
    ring = exports.circle_polygon(LUND, 300.0, n_points=4).exterior.coords
    expected = [destination(LUND, bearing_deg=b, distance_km=300.0) for b in (0, 90, 180, 270)]
    for place in expected:
        nearest = min(place.distance_km(Coordinate(lat, lon)) for lon, lat in ring)
        assert nearest < 1e-6


def test_a_circle_over_the_antimeridian_comes_in_two_parts():
    parts = shapely.get_parts(exports.circle_polygon(Coordinate(-17.0, 179.5), 100.0))
    assert sorted(round(part.bounds[0]) for part in parts) == [-180, 179]


def test_a_circle_over_a_pole_reaches_it_at_every_longitude():
    area = exports.circle_polygon(Coordinate(89.0, 40.0), 500.0)
    assert area.bounds[0] == -180.0
    assert area.bounds[2:] == (180.0, 90.0)
    assert shapely.contains_xy(area, np.arange(-179.0, 180.0), 89.999).all()


def test_a_circle_of_half_the_earth_is_the_world():
    assert exports.circle_polygon(LUND, HALF_EARTH_KM).equals(shapely.box(-180, -90, 180, 90))


@pytest.mark.parametrize("radius_km", [0.0, -1.0, math.nan, math.inf])
def test_a_radius_that_makes_no_circle_is_refused(radius_km):
    with pytest.raises(InvalidArea, match="radius"):
        exports.circle_polygon(LUND, radius_km)


# JSON


def test_one_prediction_is_one_json_object_in_the_promised_shape():
    document = json.loads(exports.predictions_to_json([prediction()]))
    assert (document["image"], document["lat"], document["lon"]) == ("q.jpg", 55.705, 13.193)
    assert document["radius_km"] == {"50": 12.0, "90": 300.0}
    assert document["place"] == "Lund, Sweden"
    assert document["reason"] is None
    assert document["alternatives"][0]["place"] == "Paris, France"
    assert document["alternatives"][0]["lat"] == 48.857
    assert document["evidence"][0]["path"] == "a/b.jpg"
    assert document["evidence"][0]["distance_km"] == 1.5
    assert document["steps"] == [
        {"name": "retrieval", "summary": "50 photos", "lat": 55.705, "lon": 13.193, "seconds": 0.1}
    ]
    assert (document["cost_usd"], document["encoder"], document["seconds"]) == (0.0, "enc", 0.5)


def test_several_predictions_are_an_array():
    documents = json.loads(exports.predictions_to_json([prediction(), silence()]))
    assert [document["image"] for document in documents] == ["q.jpg", "none.jpg"]
    assert json.loads(exports.predictions_to_json([])) == []


def test_no_answer_has_null_coordinates_and_its_reason():
    document = json.loads(exports.predictions_to_json([silence()]))
    assert (document["lat"], document["lon"], document["radius_km"]) == (None, None, None)
    assert document["reason"] == "the gallery is empty"
    assert document["evidence"] == []


def test_a_search_result_has_the_promised_shape():
    document = json.loads(exports.search_result_to_json(result()))
    first, second = document["hits"]
    assert first["id"] == str(UUID(int=7))
    assert (first["lat"], first["lon"], first["score"]) == (55.705, 13.193, 0.8)
    assert (first["captured_at"], first["distance_km"]) == ("2020-05-01T12:00:00+00:00", 3.2)
    assert (second["lat"], second["score"], second["distance_km"]) == (None, None, None)
    assert (document["matched"], document["plan"], document["seconds"]) == (42, "exact", 0.02)


def test_json_survives_control_characters_and_can_be_written_as_utf8():
    text = exports.search_result_to_json(result(caption=NASTY, path="\udcff.jpg"))
    document = json.loads(text.encode("utf-8"))
    assert document["hits"][0]["caption"] == NASTY.replace("\ud800", "\ufffd")
    assert document["hits"][0]["path"] == "\ufffd.jpg"


# CSV


def test_a_prediction_is_a_row_and_no_answer_has_empty_numbers():
    answer, none = rows_of(exports.predictions_to_csv([prediction(), silence()]))
    assert (answer["lat"], answer["radius_km_90"]) == ("55.705", "300.0")
    assert (answer["best_evidence"], answer["best_score"]) == ("a/b.jpg", "0.9")
    assert (none["lat"], none["lon"], none["place"]) == ("", "", "")
    assert none["reason"] == "the gallery is empty"


def test_a_hit_is_a_row():
    first, second = rows_of(exports.search_result_to_csv(result()))
    assert (first["path"], first["lat"], first["score"]) == ("a/b.jpg", "55.705", "0.8")
    assert first["captured_at"] == "2020-05-01T12:00:00+00:00"
    assert (second["lat"], second["score"]) == ("", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start):
    (first, _) = rows_of(exports.search_result_to_csv(result(caption=start + "cmd|' /C calc'!A0")))
    assert first["caption"] == "'" + start + "cmd|' /C calc'!A0"


def test_negative_numbers_are_not_touched():
    first, _ = rows_of(exports.search_result_to_csv(result(coordinate=Coordinate(-33.5, -70.25))))
    assert (first["lat"], first["lon"]) == ("-33.5", "-70.25")


def test_a_path_that_looks_like_a_formula_still_opens_the_same_file():
    first, _ = rows_of(exports.search_result_to_csv(result(path="=sum.jpg")))
    assert first["path"] == "./=sum.jpg"


def test_no_control_character_reaches_a_csv():
    text = exports.search_result_to_csv(result(caption=NASTY))
    assert not set(text) & set("\x00\x1b\ud800\ufffe")
    assert rows_of(text)[0]["caption"].endswith("Åsa\n日本")


def test_photos_stream_to_csv_with_the_promised_columns_first():
    rows = ({"path": f"{n}.jpg", "lat": n, "lon": 0.5, "city": "Lund"} for n in range(3))
    out = io.StringIO(newline="")
    assert exports.photos_to_csv(rows, out) == 3
    table = rows_of(out.getvalue())
    promised = ["path", "lat", "lon", "captured_at", "dataset", "country", "city", "state"]
    assert list(table[0])[:8] == promised
    assert (table[0]["lat"], table[2]["path"], table[1]["city"]) == ("0", "2.jpg", "Lund")
    assert table[0]["captured_at"] == ""


def test_photos_can_be_written_with_columns_of_choice():
    out = io.StringIO(newline="")
    exports.photos_to_csv([{"path": "a.jpg", "score": 0}], out, columns=("score", "path"))
    assert out.getvalue() == "score,path\r\n0,a.jpg\r\n"


# GeoJSON


@settings(max_examples=50, deadline=None)
@given(CENTERS, st.floats(0.5, HALF_EARTH_KM), st.floats(0.5, HALF_EARTH_KM))
def test_every_geometry_of_a_prediction_is_valid_and_inside_the_map(center, first_km, second_km):
    text = exports.predictions_to_geojson([prediction(center, {50: first_km, 90: second_km})])
    features = json.loads(text)["features"]
    for feature in features:
        geometry = shapely.from_geojson(json.dumps(feature["geometry"]))
        west, south, east, north = geometry.bounds
        assert geometry.is_valid
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
    assert [feature["properties"]["role"] for feature in features] == [
        "answer",
        "radius",
        "radius",
        "alternative",
        "evidence",
    ]


def test_geojson_positions_are_longitude_first_and_the_wide_ring_is_below_the_narrow_one():
    features = json.loads(exports.predictions_to_geojson([prediction()]))["features"]
    assert features[0]["geometry"] == {"type": "Point", "coordinates": [13.193, 55.705]}
    assert features[0]["properties"]["radius_km_50"] == 12.0
    assert [f["properties"]["confidence"] for f in features[1:3]] == [90, 50]
    assert features[1]["geometry"]["type"] == "Polygon"


def test_a_ring_over_the_antimeridian_is_a_multipolygon():
    features = json.loads(
        exports.predictions_to_geojson([prediction(Coordinate(-17.0, 179.9), {90: 100.0})])
    )["features"]
    assert features[1]["geometry"]["type"] == "MultiPolygon"


def test_no_answer_is_a_feature_without_geometry():
    (feature,) = json.loads(exports.predictions_to_geojson([silence()]))["features"]
    assert feature["geometry"] is None
    assert feature["properties"]["reason"] == "the gallery is empty"


def test_hits_are_ranked_points_and_one_without_a_place_stays_in_the_list():
    document = json.loads(exports.search_result_to_geojson(result(caption=NASTY)))
    first, second = document["features"]
    assert first["geometry"]["coordinates"] == [13.193, 55.705]
    assert (first["properties"]["rank"], second["geometry"]) == (1, None)
    assert document["matched"] == 42


def test_photos_stream_to_geojson_with_all_their_properties():
    rows = [
        {"path": "a.jpg", "lat": 1.5, "lon": 2.5, "captured_at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"path": "b.jpg", "lat": None, "lon": None, "width": math.nan},
    ]
    out = io.StringIO()
    assert exports.photos_to_geojson(iter(rows), out) == 2
    first, second = json.loads(out.getvalue())["features"]
    assert first["geometry"] == {"type": "Point", "coordinates": [2.5, 1.5]}
    assert first["properties"] == {"path": "a.jpg", "captured_at": "2020-01-01T00:00:00+00:00"}
    assert (second["geometry"], second["properties"]["width"]) == (None, None)


def test_no_photos_are_an_empty_collection():
    out = io.StringIO()
    assert exports.photos_to_geojson([], out) == 0
    assert json.loads(out.getvalue()) == {"type": "FeatureCollection", "features": []}


@pytest.mark.parametrize(("lat", "lon"), [(91.0, 0.0), (math.nan, 0.0)])
def test_a_photo_at_no_place_on_earth_is_refused(lat, lon):
    with pytest.raises(InvalidCoordinate):
        exports.photos_to_geojson([{"lat": lat, "lon": lon}], io.StringIO())


# KML


def test_kml_of_predictions_has_a_folder_each_with_answer_rings_alternatives_and_evidence():
    root = ET.fromstring(exports.predictions_to_kml([prediction(), silence()]))
    styles = {style.get("id") for style in root.iter(f"{KML}Style")}
    used = [url.text for url in root.iter(f"{KML}styleUrl")]
    answer, none = root.iter(f"{KML}Folder")
    assert used == ["#answer", "#radius", "#radius", "#alternative", "#evidence"]
    assert {url[1:] for url in used} <= styles
    assert answer.find(f"{KML}name").text == "q.jpg"
    assert answer.find(f".//{KML}Point/{KML}coordinates").text == "13.193,55.705,0"
    assert none.find(f"{KML}description").text == "No answer: the gallery is empty"
    assert none.find(f".//{KML}Point") is None


@pytest.mark.parametrize(
    ("center", "radius_km", "parts"),
    [(LUND, 100.0, 1), (Coordinate(-17.0, 180.0), 100.0, 2), (LUND, 19_000.0, 1)],
)
def test_kml_rings_are_closed_and_cut_like_the_circle(center, radius_km, parts):
    root = ET.fromstring(exports.predictions_to_kml([prediction(center, {90: radius_km})]))
    polygons = list(root.iter(f"{KML}Polygon"))
    assert len(polygons) == parts
    for ring in root.iter(f"{KML}LinearRing"):
        positions = ring.find(f"{KML}coordinates").text.split()
        numbers = np.array([position.split(",") for position in positions], dtype=float)
        assert positions[0] == positions[-1]
        assert abs(numbers[:, 0]).max() <= 180.0
        assert abs(numbers[:, 1]).max() <= 90.0


def test_a_caption_is_text_in_kml_and_in_the_balloon_that_shows_it_as_html():
    root = ET.fromstring(exports.search_result_to_kml(result(caption=NASTY)).encode("utf-8"))
    description = root.find(f".//{KML}Placemark/{KML}description").text
    assert "&lt;script&gt;" in description
    assert "<script>" not in description
    assert "Åsa" in description


def test_a_dated_hit_has_a_time_stamp_before_its_geometry():
    root = ET.fromstring(exports.search_result_to_kml(result()))
    first, second = root.iter(f"{KML}Placemark")
    tags = [child.tag.removeprefix(KML) for child in first]
    assert tags == ["name", "description", "TimeStamp", "styleUrl", "Point"]
    assert first.find(f"{KML}TimeStamp/{KML}when").text == "2020-05-01T12:00:00+00:00"
    assert second.find(f"{KML}Point") is None
    assert "score: 0.8" in first.find(f"{KML}description").text


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_in_a_photo_makes_every_format_readable(text):
    found = result(caption=text, path=text, author=text, place=text)
    ET.fromstring(exports.search_result_to_kml(found).encode("utf-8"))
    json.loads(exports.search_result_to_geojson(found).encode("utf-8"))
    table = rows_of(exports.search_result_to_csv(found))
    assert len(table) == 2
    assert not table[0]["author"].startswith(("=", "+", "-", "@"))


def test_the_public_names_are_those_that_exist():
    assert all(hasattr(exports, name) for name in exports.__all__)


def test_photos_stream_to_kml_that_parses_whatever_they_say():
    out = io.StringIO()
    rows = [
        {"path": NASTY, "lat": 1.0, "lon": 2.0, "captured_at": datetime(2020, 5, 1, tzinfo=UTC)},
        {"path": "b.jpg", "lat": None, "lon": None, "caption": NASTY},
    ]
    assert exports.photos_to_kml(iter(rows), out) == 2
    root = ET.fromstring(out.getvalue())
    first, second = root.iter(f"{KML}Placemark")
    assert first.findtext(f"{KML}Point/{KML}coordinates") == "2.0,1.0,0"
    assert first.findtext(f"{KML}TimeStamp/{KML}when") == "2020-05-01T00:00:00+00:00"
    assert second.find(f"{KML}Point") is None
    empty = io.StringIO()
    assert exports.photos_to_kml([], empty) == 0
    ET.fromstring(empty.getvalue())
