"""One suite for the collection in this process and the one behind a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from geosearch import GeoSearch
from geosearch.areas import BoundingBox, Circle, Polygon
from geosearch.client.embedded import GeoSearch as Embedded
from geosearch.client.remote import RemoteGeoSearch
from geosearch.errors import ConfigError, InvalidArea, InvalidInput, LabelRefused, UnknownPhoto
from geosearch.geo import Coordinate
from geosearch.records import Candidate, LabelSource, PhotoState, SearchHit
from geosearch.results import LocatedPhoto
from geosearch.services import Services
from geosearch.store.filters import (
    And,
    Author,
    Country,
    Dataset,
    Filter,
    TimeSpan,
    Within,
    within_any,
)
from tests.api.conftest import serving

MakeJpeg = Callable[..., bytes]

LUND = (55.70, 13.19)


@pytest.fixture(params=["embedded", "by url"])
def geo(request: pytest.FixtureRequest, services: Services) -> Iterator[GeoSearch]:
    if request.param == "embedded":
        yield Embedded(services)
        return
    with (
        serving(Embedded(services), hosts=("127.0.0.1",)) as url,
        closing(GeoSearch(url=url)) as remote,
    ):
        assert isinstance(remote, RemoteGeoSearch)
        yield remote


@pytest.fixture
def both(services: Services, folder: Path) -> Iterator[tuple[GeoSearch, GeoSearch]]:
    """One collection of twelve photos, asked here and by its address."""
    here = Embedded(services)
    here.ingest(folder, dataset="trip")
    with (
        serving(here, hosts=("127.0.0.1",)) as url,
        closing(GeoSearch(url=url)) as there,
    ):
        yield here, there


def counts(report: object) -> dict[str, int]:
    names = ("scanned", "indexed", "updated", "duplicates", "unlabelled", "failed")
    return {name: n for name in names if (n := getattr(report, name))}


def test_photos_are_taken_in_once(geo: GeoSearch, folder: Path) -> None:
    told: list[int] = []
    report = geo.ingest(folder, dataset="trip", progress=lambda now: told.append(now.indexed))
    assert counts(report) == {"scanned": 12, "indexed": 12}
    assert told
    assert counts(geo.ingest(folder, dataset="trip")) == {"scanned": 12, "duplicates": 12}
    assert geo.status()["photos"]["indexed"] == 12


def test_what_cannot_be_read_is_a_failure_with_a_reason(geo: GeoSearch, folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    report = geo.ingest(folder)
    assert counts(report) == {"scanned": 13, "indexed": 12, "failed": 1}
    [error] = report.errors
    assert Path(error.path).name == "broken.jpg"
    assert error.reason


def test_a_manifest_says_where_and_whose_photos_are(
    geo: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    (tmp_path / "a.jpg").write_bytes(make_jpeg(1))
    table = tmp_path / "labels.csv"
    table.write_text(
        "path,lat,lon,captured_at,author,license,caption,dataset,shelf\n"
        "a.jpg,-33.9,18.4,2020-01-02T03:04:05+02:00,Ann,CC0,A quay,cape,12b\n"
        "missing.jpg,1,2,,,,,,\n"
    )
    assert counts(geo.ingest(manifest=table)) == {"scanned": 2, "indexed": 1, "failed": 1}
    [entry] = geo.photos()
    photo = entry.photo
    assert photo.coordinate == Coordinate(-33.9, 18.4)
    assert (photo.author, photo.license, photo.caption, photo.dataset) == (
        "Ann", "CC0", "A quay", "cape",
    )  # fmt: skip
    assert photo.captured_at is not None
    assert photo.captured_at.isoformat() == "2020-01-02T01:04:05+00:00"
    assert (entry.state, entry.label_source) == (PhotoState.INDEXED, LabelSource.MANIFEST)
    table.write_text("path,lat,lon\na.jpg,-33.8,18.5\n")
    assert counts(geo.ingest(manifest=table)) == {"scanned": 1, "updated": 1}
    assert geo.photo(photo.id).photo.coordinate == Coordinate(-33.8, 18.5)


def test_a_sidecar_goes_with_its_photo(geo: GeoSearch, tmp_path: Path, make_jpeg: MakeJpeg) -> None:
    (tmp_path / "a.jpg").write_bytes(make_jpeg(1))
    (tmp_path / "a.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        'syntax-ns#"><rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        'exif:GPSLatitude="55,42.0N" exif:GPSLongitude="13,12.0E"/></rdf:RDF></x:xmpmeta>'
    )
    assert counts(geo.ingest(tmp_path)) == {"scanned": 1, "indexed": 1}
    [entry] = geo.photos()
    assert entry.label_source is LabelSource.XMP
    assert entry.photo.coordinate == Coordinate(55.7, 13.2)


def test_searches_by_look_and_place(geo: GeoSearch, folder: Path) -> None:
    geo.ingest(folder, dataset="trip")
    found = geo.search(image=folder / "lund-0.jpg", k=5)
    assert [Path(hit.photo.path).name[:4] for hit in found][:3] == ["lund"] * 3
    assert found.hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert (found.matched, len(found)) == (12, 5)
    around = geo.search(image=folder / "lund-0.jpg", near=LUND, radius_km=50, k=50)
    assert {Path(hit.photo.path).name[:4] for hit in around} == {"lund"}
    assert all(hit.distance_km is not None and hit.distance_km < 50 for hit in around)
    boxed = geo.search(bbox="13,55.5,13.5,56", since="2021-01-01", dataset="trip", k=50)
    assert 0 < len(boxed) <= 3
    assert geo.search(country="ZZ").hits == ()
    like = geo.search(like=found.hits[0].photo.id, k=1)
    assert like.hits[0].photo.id == found.hits[0].photo.id
    assert len(geo.search(image=(folder / "lund-0.jpg").read_bytes(), diverse=True, k=50)) == 4
    assert found.to_geojson()["features"]
    assert "<svg" in found._repr_html_() or "<div" in found._repr_html_()


def test_areas_come_as_files_and_as_documents(geo: GeoSearch, folder: Path, tmp_path: Path) -> None:
    geo.ingest(folder)
    ring = [[13.0, 55.5], [13.5, 55.5], [13.5, 56.0], [13.0, 56.0], [13.0, 55.5]]
    area = {"type": "Polygon", "coordinates": [ring]}
    file = tmp_path / "area.geojson"
    file.write_text(json.dumps(area))
    by_file, by_document = geo.search(within=file, k=50), geo.search(within=area, k=50)
    assert len(by_file) == len(by_document) == 3


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"near": (95.0, 0.0), "radius_km": 1}, InvalidInput),
        ({"weights": {"image": 1.0}}, ConfigError),
        ({"bbox": "1,2,3"}, InvalidArea),
        ({"within": {"type": "Point", "coordinates": [0, 0]}}, InvalidInput),
        ({"since": "yesterday"}, InvalidInput),
        ({"k": 0}, ConfigError),
        ({"like": str(uuid4())}, InvalidInput),
        ({"image": b"no picture"}, InvalidInput),
    ],
)
def test_wrong_searches_raise_the_same_error_with_a_sentence(
    geo: GeoSearch, folder: Path, wrong: dict[str, object], kind: type[Exception]
) -> None:
    geo.ingest(folder / "lund-0.jpg")
    with pytest.raises(kind, match=r"\w+ \w+"):
        geo.search(**wrong)  # type: ignore[arg-type]


def test_photos_are_located_with_their_evidence(
    geo: GeoSearch, folder: Path, tmp_path: Path, make_jpeg: MakeJpeg
) -> None:
    geo.ingest(folder)
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    (unknown / "a.jpg").write_bytes(make_jpeg(0, size=(80, 60)))
    (unknown / "b.jpg").write_bytes(b"no picture")
    located = list(geo.locate(unknown, no_lmm=True))
    assert [Path(one.image).name for one in located] == ["a.jpg", "b.jpg"]
    first, second = located
    assert first.best is not None
    assert first.best.coordinate.distance_km(Coordinate(*LUND)) < 5.0
    assert first.best.evidence
    assert first.steps
    assert first.to_geojson()["features"]
    assert second.best is None
    assert second.reason
    skipped = list(geo.locate(unknown, no_lmm=True, skip=lambda name: name.endswith("a.jpg")))
    assert [Path(one.image).name for one in skipped] == ["b.jpg"]


AROUND_LUND = Polygon(tuple(Coordinate(lat, lon) for lat, lon in [(55, 12), (55, 14), (57, 13)]))
IN_KENYA = Polygon(tuple(Coordinate(lat, lon) for lat, lon in [(-5, 35), (-5, 41), (4, 38)]))


@pytest.mark.parametrize(
    ("where", "cities"),
    [
        (Within(Circle(Coordinate(*LUND), 50.0)), {"lund"}),
        (Within(BoundingBox(5.0, 50.0, 20.0, 60.0)), {"lund"}),
        (Within(AROUND_LUND), {"lund"}),
        (within_any([AROUND_LUND, IN_KENYA]), {"lund", "nairobi"}),
        (And((Country("se"), Dataset("trip"))), {"lund"}),
        (TimeSpan(since=datetime(2100, 1, 1, tzinfo=UTC)), set()),
        (Author("nobody"), set()),
    ],
    ids=lambda given: type(given).__name__,
)
def test_only_photos_that_match_speak_when_a_photo_is_located(
    geo: GeoSearch, folder: Path, where: Filter, cities: set[str]
) -> None:
    geo.ingest(folder, dataset="trip")
    [located] = geo.locate(folder / "nairobi-0.jpg", where=where, no_lmm=True)
    assert spoke(located) == cities
    assert (located.best is None) == (not cities)
    assert cities or located.reason


def spoke(located: LocatedPhoto) -> set[str]:
    """The cities of the photos that spoke for an answer or one of its alternatives."""
    spoken = [one for candidate in candidates(located) for one in candidate.evidence]
    return {Path(one.photo.path).name.split("-")[0] for one in spoken}


def test_places_can_be_given_and_photos_deleted(geo: GeoSearch, folder: Path) -> None:
    geo.ingest(folder)
    [hit] = geo.search(image=folder / "lund-0.jpg", k=1)
    with pytest.raises(LabelRefused):
        geo.relabel(hit.photo.id, (0.0, 10.0), source="predicted")
    changed = geo.relabel(hit.photo.id, (59.9, 10.7))
    assert (changed.label_source, changed.photo.country) == (LabelSource.MANUAL, "NO")
    assert geo.photo(hit.photo.id) == changed
    assert len(geo.search(country="NO", k=50)) >= 1
    geo.delete(hit.photo.id)
    for gone in (geo.photo, geo.delete):
        with pytest.raises(UnknownPhoto):
            gone(hit.photo.id)
    assert len(list(geo.photos(state="indexed"))) == 11
    with pytest.raises(InvalidInput, match="not the id of a photo"):
        geo.photo("seven")
    with pytest.raises(ConfigError, match="no state of a photo"):
        list(geo.photos(state="lost"))


def test_a_deleted_photo_can_be_taken_in_again(geo: GeoSearch, folder: Path) -> None:
    geo.ingest(folder / "lund-0.jpg")
    [entry] = geo.photos()
    geo.delete(entry.photo.id)
    assert counts(geo.ingest(folder / "lund-0.jpg")) == {"scanned": 1, "indexed": 1}
    assert [again.photo.id for again in geo.photos()] == [entry.photo.id]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"image": "lund-0.jpg", "k": 12},
        {"image": "suva-1.jpg", "near": LUND, "k": 12},
        {"image": "suva-1.jpg", "near": (-1.3, 36.8), "radius_km": 5000.0, "k": 5},
        {"image": "nairobi-2.jpg", "weights": {"image": 2.5}, "k": 7},
        {"image": "nairobi-2.jpg", "diverse": True},
        {"bbox": (100.0, -60.0, -100.0, 60.0), "since": "2021-01-01"},
    ],
    ids=repr,
)
def test_searches_are_answered_alike_here_and_by_url(
    both: tuple[GeoSearch, GeoSearch], folder: Path, query: dict[str, Any]
) -> None:
    asked = query | ({"image": folder / query["image"]} if "image" in query else {})
    here, there = (geo.search(**asked) for geo in both)
    assert len(here) > 0
    assert named(there.hits) == named(here.hits)
    assert (there.matched, there.plan, there.encoder) == (here.matched, here.plan, here.encoder)
    assert [hit.score for hit in there] == pytest.approx([hit.score for hit in here], abs=ROUNDING)
    distances = [[hit.distance_km for hit in found] for found in (here, there)]
    assert distances[0] == distances[1]


@pytest.mark.parametrize("where", [None, Within(AROUND_LUND), Dataset("trip"), Author("nobody")])
@pytest.mark.parametrize("name", ["lund-0.jpg", "suva-1.jpg", "honolulu-2.jpg"])
def test_photos_are_located_alike_here_and_by_url(
    both: tuple[GeoSearch, GeoSearch], folder: Path, name: str, where: Filter | None
) -> None:
    [here], [there] = (list(geo.locate(folder / name, where=where, no_lmm=True)) for geo in both)
    assert (there.image, there.reason) == (here.image, here.reason)
    assert (there.encoder, there.is_calibrated, there.lmm, there.models) == (
        here.encoder, here.is_calibrated, here.lmm, here.models,
    )  # fmt: skip
    assert [step.name for step in there.steps] == [step.name for step in here.steps]
    assert named(there.negatives) == named(here.negatives)
    assert (there.best is None) == (here.best is None)
    for ours, theirs in zip(candidates(here), candidates(there), strict=True):
        assert theirs.coordinate == ours.coordinate
        assert (theirs.place, theirs.origins) == (ours.place, ours.origins)
        assert theirs.share == pytest.approx(ours.share, abs=ROUNDING)
        assert theirs.radius_km == pytest.approx(ours.radius_km)
        assert theirs.within == pytest.approx(ours.within)
        assert [one.photo.id for one in theirs.evidence] == [one.photo.id for one in ours.evidence]
        for one, other in zip(theirs.evidence, ours.evidence, strict=True):
            assert one.score == pytest.approx(other.score, abs=ROUNDING)
            assert one.distance_km == pytest.approx(other.distance_km)


ROUNDING = 2e-7
"""Of cosines in float32."""


def named(hits: Iterable[SearchHit]) -> list[tuple[UUID, str, Coordinate | None]]:
    return [(hit.photo.id, Path(hit.photo.path).name, hit.photo.coordinate) for hit in hits]


def candidates(located: LocatedPhoto) -> list[Candidate]:
    return [] if located.best is None else [located.best, *located.alternatives]


def test_answers_are_measured_against_a_manifest(geo: GeoSearch, folder: Path) -> None:
    geo.ingest(folder)
    table = folder / "truth.csv"
    rows = [
        f"{Path(entry.photo.path).name},{entry.photo.coordinate.lat},{entry.photo.coordinate.lon}"
        for entry in geo.photos()
        if entry.photo.coordinate is not None
    ]
    table.write_text("path,lat,lon\n" + "\n".join(rows) + "\n")
    report = geo.evaluate(table, images=folder, resamples=50)
    [method] = report.methods
    assert report.asked == len(method.outcomes) == 12
    assert all(outcome.error_km < 1.0 for outcome in method.outcomes)


@pytest.mark.parametrize("name", ["all.csv", "all.geojson", "all.kml"])
def test_the_collection_is_written_to_a_file(
    geo: GeoSearch, folder: Path, tmp_path: Path, name: str
) -> None:
    geo.ingest(folder)
    assert geo.export(tmp_path / name) == 12
    assert "lund-0.jpg" in (tmp_path / name).read_text()
