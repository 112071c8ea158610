from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from support.blocked_store import BlockedStore

from geosearch import __version__
from geosearch.client import GeoSearch

MakeJpeg = Callable[..., bytes]


def _search(api: httpx.Client, image: bytes | None = None, **query: object) -> httpx.Response:
    files = None if image is None else {"image": ("q.jpg", image)}
    return api.post("/v1/search", data={"query": json.dumps(query)}, files=files)


def _upload(
    api: httpx.Client, data: bytes, name: str = "new.jpg", **headers: str
) -> httpx.Response:
    return api.post("/v1/photos", files=[("files", (name, data))], headers=headers)


def test_a_search_by_image_finds_the_photos_of_that_city(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    found = _search(api, make_jpeg(0), limit=3).raise_for_status().json()
    assert [hit["path"][:4] for hit in found["hits"]] == ["lund"] * 3
    assert found["hits"][0]["score"] > 0.99


def test_pages_follow_each_other_without_gap_or_repetition(api: httpx.Client) -> None:
    seen, cursor = [], None
    while True:
        page = _search(api, limit=5, cursor=cursor).raise_for_status().json()
        seen += [hit["id"] for hit in page["hits"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 12


@pytest.mark.parametrize(
    ("query", "city"),
    [
        ({"near": [55.7, 13.2], "radius_km": 30}, "lund"),
        ({"bbox": [30, -5, 40, 5]}, "nairobi"),
        ({"bbox": [170, -30, -170, 0]}, "suva"),
        ({"country": "US"}, "honolulu"),
        (
            {"within": {"type": "Polygon", "coordinates": [
                [[12, 55], [14, 55], [14, 56], [12, 56], [12, 55]]]}},
            "lund",
        ),
    ],
)  # fmt: skip
def test_areas_and_countries_narrow_a_search(
    api: httpx.Client, query: dict[str, object], city: str
) -> None:
    found = _search(api, **query).raise_for_status().json()
    assert {hit["path"].split("-")[0] for hit in found["hits"]} == {city}
    assert found["matched"] == 3


def test_times_and_datasets_narrow_a_search(api: httpx.Client) -> None:
    found = _search(api, since="2021-01-01", until="2021-12-31", dataset="trip")
    assert found.raise_for_status().json()["matched"] == 4
    assert _search(api, dataset="other").json()["matched"] == 0


def test_a_search_answers_geojson_when_asked(api: httpx.Client) -> None:
    answer = api.post("/v1/search", headers={"Accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    feature = answer.json()["features"][0]
    assert -180 <= feature["geometry"]["coordinates"][0] <= 180
    assert len(answer.json()["features"]) == 12


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"radius_km": 5},
        {"bbox": [0, 0, 0]},
        {"since": "yesterday"},
        {"country": "Sweden"},
        {"near": [95, 0], "radius_km": 1},
        {"within": {"type": "Point", "coordinates": [0, 0]}},
        {"colour": "red"},
        {"like": "../../etc/passwd"},
        {"text": " "},
    ],
)
def test_a_query_that_makes_no_sense_gets_a_problem_document(
    api: httpx.Client, query: dict[str, object]
) -> None:
    answer = _search(api, **query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 422
    assert answer.json()["detail"]


def test_locate_answers_one_photo_at_once(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    answer = api.post("/v1/locate", files={"image": ("unknown.jpg", make_jpeg(1))})
    found = answer.raise_for_status().json()
    assert found["lat"] == pytest.approx(-1.286, abs=0.1)
    assert found["image"] == "unknown.jpg"
    assert "/" not in found["evidence"][0]["path"]


def test_locate_tells_its_steps_as_events(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    answer = api.post(
        "/v1/locate",
        files={"image": ("unknown.jpg", make_jpeg(1))},
        headers={"Accept": "text/event-stream"},
    )
    kinds = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert kinds[0] == "step"
    assert kinds[-1] == "prediction"


def test_a_step_comes_as_an_event_while_the_next_one_is_still_at_work(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg
) -> None:
    files = {"image": ("unknown.jpg", make_jpeg(1))}
    api.post("/v1/locate", files=files).raise_for_status()  # the index is looked at as a whole
    blocked = filled.services.index.store = BlockedStore(filled.services.index.store)  # type: ignore[assignment]
    try:
        with api.stream(
            "POST", "/v1/locate", files=files, headers={"Accept": "text/event-stream"}
        ) as answer:
            data = (line[6:] for line in answer.iter_lines() if line.startswith("data: "))
            assert json.loads(next(data))["name"] == "encoding"
            assert not blocked.may_answer.is_set()
            blocked.may_answer.set()
            assert [json.loads(one).get("name") for one in data][:3] == [
                "search",
                "search",
                "retrieval",
            ]
    finally:
        blocked.may_answer.set()


def test_an_upload_is_found_shown_labelled_and_gone_after_deletion(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg
) -> None:
    data = make_jpeg(77, size=(80, 60))
    [result] = _upload(api, data).raise_for_status().json()["photos"]
    assert result["outcome"] == "unlabelled"
    photo = f"/v1/photos/{result['id']}"
    changed = api.patch(photo, json={"lat": 0.0, "lon": 0.0}).raise_for_status().json()
    assert changed["label_source"] == "manual"
    assert changed["state"] == "indexed"
    assert _search(api, data, limit=1).json()["hits"][0]["id"] == result["id"]
    kept = list((filled.services.settings.home / "uploads").rglob("*.jpg"))
    assert len(kept) == 1
    assert api.delete(photo).status_code == 204
    assert api.get(photo).status_code == 404
    assert api.delete(photo).status_code == 404
    assert not list((filled.services.settings.home / "uploads").rglob("*.jpg"))
    assert result["id"] not in {hit["id"] for hit in _search(api, data, limit=100).json()["hits"]}
    assert not filled.services.store.existing([result["id"]])


def test_deleting_a_photo_of_a_folder_leaves_the_folder_alone(
    api: httpx.Client, folder: Path
) -> None:
    before = sorted(folder.iterdir())
    hit = _search(api, limit=1).json()["hits"][0]
    assert api.delete(f"/v1/photos/{hit['id']}").status_code == 204
    assert sorted(folder.iterdir()) == before
    assert _search(api, limit=100).json()["matched"] == 11


def test_an_accepted_prediction_never_replaces_a_measured_label(api: httpx.Client) -> None:
    hit = _search(api, limit=1).json()["hits"][0]
    guess = {"lat": 1.0, "lon": 2.0, "label_source": "predicted"}
    assert api.patch(f"/v1/photos/{hit['id']}", json=guess).status_code == 409
    after = api.get(f"/v1/photos/{hit['id']}").json()
    assert (after["lat"], after["label_source"]) == (hit["lat"], "exif")


def test_a_repeated_upload_with_its_idempotency_key_gets_the_first_answer(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    data = make_jpeg(5, gps=(10.0, 10.0))
    first = _upload(api, data, **{"Idempotency-Key": "one"}).raise_for_status().json()
    assert first["photos"][0]["outcome"] == "indexed"
    assert _upload(api, data, **{"Idempotency-Key": "one"}).json() == first
    assert _upload(api, data, **{"Idempotency-Key": "two"}).json() != first
    assert _upload(api, make_jpeg(6), **{"Idempotency-Key": "one"}).status_code == 422


def test_pictures_carry_no_metadata(api: httpx.Client) -> None:
    hit = _search(api, limit=1).json()["hits"][0]
    for kind in ("image", "thumbnail"):
        picture = api.get(f"/v1/photos/{hit['id']}/{kind}").raise_for_status()
        assert picture.headers["content-type"] == "image/jpeg"
        assert b"Exif" not in picture.content


def test_the_server_says_how_it_is(api: httpx.Client) -> None:
    assert api.get("/healthz").text == "ok\n"
    assert api.get("/readyz").text == "ready\n"
    assert api.get("/v1/stats").json()["photos"]["indexed"] == 12
    encoders = api.get("/v1/encoders").json()
    assert encoders["encoders"] == [
        {"identity": encoders["active"], "state": "active", "photos": 12}
    ]
    assert 'geosearch_photos{state="indexed"} 12' in api.get("/metrics").text


def test_no_answer_names_a_folder_of_the_server(api: httpx.Client, folder: Path) -> None:
    answers = [_search(api, limit=20), api.get("/v1/photos"), api.get("/v1/stats")]
    assert not [answer for answer in answers if str(folder.parent) in answer.text]


def test_photos_are_listed_as_geojson_page_by_page(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    _upload(api, make_jpeg(78, size=(80, 60))).raise_for_status()
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 5, "state": ["indexed", "unlabelled"]}
    while params.get("cursor", "") is not None:
        page = api.get("/v1/photos", params=params, headers={"Accept": "application/geo+json"})
        assert page.headers["content-type"] == "application/geo+json"
        collection = page.json()
        assert (collection["type"], len(collection["features"])) == (
            "FeatureCollection", 5 if len(seen) < 10 else 3,
        )  # fmt: skip
        for feature in collection["features"]:
            photo = api.get(f"/v1/photos/{feature['properties']['id']}").json()
            lat, lon = photo.pop("lat"), photo.pop("lon")
            point = {"type": "Point", "coordinates": [lon, lat]}
            assert feature == {
                "type": "Feature",
                "geometry": None if lat is None else point,
                "properties": photo,
            }
            seen.append(photo["id"])
        params["cursor"] = collection["next"]
    assert len(seen) == len(set(seen)) == 13


def test_a_search_as_geojson_says_where_the_next_page_begins(api: httpx.Client) -> None:
    query = {"query": json.dumps({"limit": 5})}
    page = api.post("/v1/search", data=query, headers={"Accept": "application/geo+json"}).json()
    assert page["next"] == _search(api, limit=5).json()["next"] == "5"


def test_photos_are_asked_for_by_id_many_at_once(api: httpx.Client) -> None:
    listed = [photo["id"] for photo in api.get("/v1/photos").json()["photos"]]
    unknown = "00000000-0000-0000-0000-000000000000"
    found = api.get("/v1/photos", params={"id": [listed[3], unknown, listed[1]]}).json()
    assert [photo["id"] for photo in found["photos"]] == [listed[1], listed[3]]
    assert found["next"] is None
    none = api.get("/v1/photos", params={"id": listed, "state": "unlabelled"}).json()
    assert none["photos"] == []
    ids = [str(UUID(int=number)) for number in range(101)]
    assert api.get("/v1/photos", params={"id": ids[:100]}).status_code == 200
    assert api.get("/v1/photos", params={"id": ids}).status_code == 422


def test_a_photo_that_is_deleted_is_read_once(
    api: httpx.Client, filled: GeoSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit = _search(api, limit=1).json()["hits"][0]
    read: list[object] = []
    known_photos = filled.services.catalogue.known_photos

    def counted(ids: Any, **options: Any) -> Any:
        read.append(ids)
        return known_photos(ids, **options)

    monkeypatch.setattr(filled.services.catalogue, "known_photos", counted)
    assert api.delete(f"/v1/photos/{hit['id']}").status_code == 204
    assert len(read) == 1


def test_every_answer_names_the_version(api: httpx.Client) -> None:
    for path, status in (("/healthz", 200), ("/v1/stats", 200), ("/v1/nothing", 404)):
        answer = api.get(path)
        assert (answer.status_code, answer.headers["geosearch-version"]) == (status, __version__)


def test_every_listed_photo_can_be_paged_through(api: httpx.Client) -> None:
    seen, cursor = [], None
    while True:
        params = {"limit": 5} | ({} if cursor is None else {"cursor": cursor})
        page = api.get("/v1/photos", params=params).raise_for_status().json()
        seen += [photo["id"] for photo in page["photos"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 12
