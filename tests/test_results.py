"""Results taken elsewhere: GeoJSON, data frames, notebooks."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from geosearch.client import GeoSearch
from geosearch.geo import Coordinate
from geosearch.records import Candidate, Evidence, PhotoFact, Prediction, SearchHit, SearchResult
from geosearch.results import FoundPhotos, LocatedPhoto, predictions_to_dataframe

PHOTO = PhotoFact(
    UUID(int=1), "a/<b>.jpg", Coordinate(-18.141, 178.442), "Suva, Fiji", "FJ",
    datetime(2020, 5, 1, 12, tzinfo=UTC), "trip", None, None, None,
)  # fmt: skip
FOUND = FoundPhotos.of(
    SearchResult(
        (SearchHit(PHOTO, 0.75, None), SearchHit(replace(PHOTO, coordinate=None), None, None)),
        2,
        "exact",
        0.1,
    )
)
BEST = Candidate(
    Coordinate(1.0, 2.0), 0.5, "Nowhere", {50: 1.0, 90: 2.0}, (Evidence(PHOTO, 0.75, 3.0),)
)
LOCATED = LocatedPhoto.of(Prediction("x.jpg", BEST, (), (), "fake"))
UNANSWERED = LocatedPhoto.of(Prediction("<y>.jpg", None, (), (), "fake", reason="<nothing>"))


def test_search_and_locate_give_results_that_convert(geosearch: GeoSearch, folder: Path) -> None:
    geosearch.ingest(folder)
    found = geosearch.search(country="SE")
    assert [feature["properties"]["country"] for feature in found.to_geojson()["features"]] == [
        "SE"
    ] * 3
    (located,) = geosearch.locate(folder / "lund-0.jpg")
    assert located.best is not None
    answer = located.to_geojson()["features"][0]
    assert answer["properties"]["role"] == "answer"
    assert answer["geometry"]["coordinates"] == [
        located.best.coordinate.lon,
        located.best.coordinate.lat,
    ]


def test_results_iterate_over_their_hits_and_flip_to_lon_lat_in_geojson() -> None:
    assert len(FOUND) == 2
    assert [hit.score for hit in FOUND] == [0.75, None]
    geometries = [feature["geometry"] for feature in FOUND.to_geojson()["features"]]
    assert geometries == [{"type": "Point", "coordinates": [178.442, -18.141]}, None]


def test_data_frames_have_a_row_a_hit_and_one_type_a_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = FOUND.to_dataframe()
    assert list(frame["lat"].fillna(0.0)) == [-18.141, 0.0]
    assert frame["captured_at"].iloc[0] == pandas.Timestamp("2020-05-01T12:00Z")
    assert frame["id"].iloc[0] == str(PHOTO.id)
    both = predictions_to_dataframe([LOCATED, UNANSWERED])
    assert list(both["radius_km_90"].fillna(-1.0)) == [2.0, -1.0]
    assert both["reason"].iloc[1] == "<nothing>"


def test_a_data_frame_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from geosearch.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingDependency, match=r"geosearch\[pandas\]"):
        FOUND.to_dataframe()


def test_a_notebook_shows_a_map_and_no_foreign_markup() -> None:
    html = FOUND._repr_html_()
    svg = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert svg is not None
    assert base64.b64decode(svg[1]).startswith(b"<svg")
    assert "Suva, Fiji" in html
    assert "<b>.jpg" not in html
    assert "Nowhere" in LOCATED._repr_html_()
    assert "&lt;nothing&gt;" in UNANSWERED._repr_html_()


def test_evaluate_locates_the_photos_of_a_manifest_and_measures_the_errors(
    geosearch: GeoSearch, folder: Path
) -> None:
    manifest = folder / "asked.csv"
    manifest.write_text("path,lat,lon\nlund-2.jpg,55.705,13.193\nsuva-2.jpg,-18.141,178.442\n")
    asked = [folder / "lund-2.jpg", folder / "suva-2.jpg"]
    geosearch.ingest([path for path in folder.glob("*.jpg") if path not in asked])
    report = geosearch.evaluate(manifest, resamples=20)
    assert report.asked == 2
    assert all(outcome.error_km < 5.0 for outcome in report.methods[0].outcomes)
