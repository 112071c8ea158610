"""What is said of photos when they are uploaded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from geosearch.client import GeoSearch

MakeJpeg = Callable[..., bytes]

SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"
    exif:GPSLatitude="48,51.504N" exif:GPSLongitude="2,17.67E"/>
 </rdf:RDF>
</x:xmpmeta>"""


def _upload(
    api: httpx.Client, photos: dict[str, bytes], labels: object, **form: str
) -> httpx.Response:
    return api.post(
        "/v1/photos",
        files=[("files", photo) for photo in photos.items()],
        data={"labels": labels if isinstance(labels, str) else json.dumps(labels), **form},
    )


def _outcomes(answer: httpx.Response) -> list[str]:
    return [photo["outcome"] for photo in answer.raise_for_status().json()["photos"]]


def _photo(api: httpx.Client, answer: httpx.Response, number: int = 0) -> dict[str, Any]:
    photo_id = answer.json()["photos"][number]["id"]
    found: dict[str, Any] = api.get(f"/v1/photos/{photo_id}").raise_for_status().json()
    return found


def test_labels_by_file_name_place_photos_and_say_who_took_them(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    labels = {
        "a.jpg": {
            "latitude": 48.8584, "lon": "2,2945", "captured_at": "2020-05-01T12:00:00+02:00",
            "caption": "a tower", "author": "A. Lind", "license": "CC-BY-4.0", "accuracy_m": 25,
        }
    }  # fmt: skip
    answer = _upload(api, {"a.jpg": make_jpeg(40), "b.jpg": make_jpeg(41)}, labels, dataset="paris")
    assert _outcomes(answer) == ["indexed", "unlabelled"]
    photo = _photo(api, answer)
    assert (photo["lat"], photo["lon"], photo["label_source"]) == (48.8584, 2.2945, "manifest")
    assert photo["captured_at"] == "2020-05-01T10:00:00+00:00"
    assert (photo["caption"], photo["author"], photo["license"], photo["dataset"]) == (
        "a tower", "A. Lind", "CC-BY-4.0", "paris",
    )  # fmt: skip
    assert photo["country"] == "FR"


def test_labels_in_the_order_of_files_tell_files_of_one_name_apart(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    labels = json.dumps([{"lat": 1, "lon": 2}, None, {"lat": 3, "lon": 4, "dataset": "own"}])
    answer = api.post(
        "/v1/photos",
        files=[("files", ("same.jpg", make_jpeg(seed))) for seed in (42, 43, 44)],
        data={"labels": labels, "dataset": "all"},
    )
    assert _outcomes(answer) == ["indexed", "unlabelled", "indexed"]
    assert [_photo(api, answer, number)["lat"] for number in range(3)] == [1, None, 3]
    assert [_photo(api, answer, number)["dataset"] for number in range(3)] == ["all", "all", "own"]


def test_an_upload_corrects_the_label_of_a_photo_that_is_there_and_nothing_else(
    api: httpx.Client, filled: GeoSearch, folder: Path
) -> None:
    data = {"copy.jpg": (folder / "lund-0.jpg").read_bytes()}
    assert _outcomes(_upload(api, data, {})) == ["duplicates"]
    moved = _upload(api, data, {"copy.jpg": {"lat": 55.5, "lon": 13.5}})
    assert _outcomes(moved) == ["updated"]
    assert (_photo(api, moved)["lat"], _photo(api, moved)["path"]) == (55.5, "lund-0.jpg")
    assert _outcomes(_upload(api, data, {"copy.jpg": {"lat": 55.5, "lon": 13.5}})) == ["duplicates"]
    kept = filled.services.settings.home / "uploads"
    assert not [path for path in kept.rglob("*") if path.is_file()]


def test_a_photo_whose_file_is_gone_is_kept_when_it_comes_again_with_a_label(
    api: httpx.Client, filled: GeoSearch, folder: Path
) -> None:
    data = {"copy.jpg": (folder / "lund-0.jpg").read_bytes()}
    (folder / "lund-0.jpg").unlink()
    moved = _upload(api, data, {"copy.jpg": {"lat": 55.5, "lon": 13.5}})
    assert _outcomes(moved) == ["updated"]
    photo = moved.json()["photos"][0]["id"]
    assert api.get(f"/v1/photos/{photo}/thumbnail").status_code == 200


def test_a_sidecar_comes_along_with_its_photo(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    answer = _upload(api, {"a.jpg": make_jpeg(45)}, {"a.jpg": {"xmp": SIDECAR}})
    assert _outcomes(answer) == ["indexed"]
    photo = _photo(api, answer)
    assert (photo["lat"], photo["label_source"]) == (pytest.approx(48.8584), "xmp")


def test_labels_of_a_job_go_to_their_photos(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    job = api.post(
        "/v1/photos",
        files=[("files", (f"{seed}.jpg", make_jpeg(seed))) for seed in range(50, 84)],
        data={"labels": json.dumps([{"lat": seed, "lon": 10} for seed in range(50, 84)])},
        headers={"Prefer": "respond-async"},
    )
    assert job.status_code == 202
    while (found := api.get(job.headers["location"]).json())["state"] == "queued":
        time.sleep(0.05)
    assert [one["outcome"] for one in found["results"]] == ["indexed"] * 34
    last = api.get(f"/v1/photos/{found['results'][-1]['id']}").json()
    assert (last["path"], last["lat"]) == ("83.jpg", 83)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("{", "not JSON"),
        ('"a.jpg"', "object of rows by file name"),
        ({"b.jpg": {"lat": 1, "lon": 2}}, "'b.jpg', which is not among the files"),
        ([], "0 rows for 1 files"),
        ({"a.jpg": 7}, "labels of 'a.jpg' must be an object"),
        ({"a.jpg": {"lat": 95, "lon": 2}}, "labels of 'a.jpg': latitude 95"),
        ({"a.jpg": {"lat": 1}}, "lon is blank and the other is not"),
        ({"a.jpg": {"lat": "north", "lon": 2}}, "lat 'north' is not a number"),
        ({"a.jpg": {"lat": 1, "latitude": 1, "lon": 2}}, "say lat twice"),
        ({"a.jpg": {"tags": ["a"]}}, "tags must be text, a number, true or false"),
        ({"a.jpg": {"xmp": 1}}, "xmp must be the text of an XMP file"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_before_anything_is_taken_in(
    api: httpx.Client, make_jpeg: MakeJpeg, labels: object, words: str
) -> None:
    answer = _upload(api, {"a.jpg": make_jpeg(46)}, labels)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert answer.json()["error"] == "InvalidInput"
    assert api.get("/v1/stats").json()["photos"]["indexed"] == 12


def test_the_same_key_with_other_labels_is_another_upload(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    def send(lat: float) -> httpx.Response:
        return api.post(
            "/v1/photos",
            files={"files": ("a.jpg", make_jpeg(47))},
            data={"labels": json.dumps([{"lat": lat, "lon": 2}])},
            headers={"Idempotency-Key": "one"},
        )

    first = send(1.0)
    assert _outcomes(first) == ["indexed"]
    assert send(1.0).json() == first.json()
    assert send(1.5).status_code == 422


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ('{"a.jpg": {"lat": 1, "lon": 2, "lat": 3}}', "twice"),
        ('{"a.jpg": {"lat": NaN, "lon": 2}}', "NaN"),
        ('[{"shelf": "a\\u0000b"}]', "NUL"),
        ('[{"she\\u0000lf": "a"}]', "NUL"),
    ],
)
def test_labels_are_read_as_strictly_as_other_json(
    api: httpx.Client, make_jpeg: MakeJpeg, labels: str, words: str
) -> None:
    answer = _upload(api, {"a.jpg": make_jpeg(44)}, labels)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
