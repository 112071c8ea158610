"""No route tells where anything lies on the server, in whatever form it answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from geosearch.client import GeoSearch
from geosearch.records import PhotoState

MakeJpeg = Callable[..., bytes]
answers = pytest.importorskip("geosearch.api.answers", reason="the extra api is not installed")

FORMS = (
    "application/json",
    "application/geo+json",
    "application/vnd.google-earth.kml+xml",
    "text/csv",
    "text/event-stream",
)
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def ids(
    api: httpx.Client, filled: GeoSearch, folder: Path, make_jpeg: MakeJpeg
) -> dict[str, list[str]]:
    """Values of the parameters of paths, in a collection with photos of every kind.

    Beside the labelled ones: without a place, damaged, gone from the disk, changed on the disk,
    uploaded; a job of each kind, and answers to a photo and to what is none.
    """
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (folder / "nameless.jpg").write_bytes(make_jpeg(40))
    filled.ingest(folder)
    (folder / "lund-0.jpg").unlink()
    (folder / "suva-0.jpg").write_bytes(b"\xff\xd8\xff broken")
    upload = {"files": ("up.jpg", make_jpeg(41, gps=(1.0, 1.0)))}
    api.post("/v1/photos", files=upload).raise_for_status()
    both = [make_jpeg(1), b"no photo"]
    jobs = [
        api.post("/v1/photos", files=[("files", ("a.jpg", one)) for one in both], headers=ASYNC),
        api.post("/v1/locate", files=[("image", ("a.jpg", one)) for one in both]),
    ]
    for job in jobs:
        api.get(f"{job.headers['location']}/events")
    answers = [api.post("/v1/locate", files={"image": ("a.jpg", one)}).json() for one in both]
    listed: list[dict[str, Any]] = []
    for state in PhotoState:
        listed += api.get("/v1/photos", params={"state": state.value}).json()["photos"]
    assert {photo["state"] for photo in listed} >= {"indexed", "unlabelled", "failed"}
    assert [photo["error"] for photo in listed if photo["error"]]
    unknown = "6d1e1f9c-6c1b-5d0e-9a53-0c6b1d0f7a11"
    return {
        "photo_id": [*(photo["id"] for photo in listed), unknown, "..%2f"],
        "job_id": [*(job.json()["id"] for job in jobs), unknown],
        "name": [*(answer["id"] for answer in answers), "unknown"],
    }


def _bodies(make_jpeg: MakeJpeg) -> dict[str, list[dict[str, Any]]]:
    """What is posted to each route, taken as it should be and not."""
    photo, other = make_jpeg(2), make_jpeg(42, gps=(2.0, 2.0))
    areas = ({}, {"near": [55.7, 13.2], "radius_km": 30}, {"like": "x"}, {"no": 1})
    return {
        "/v1/search": [
            *({"data": {"query": json.dumps(area)}} for area in areas),
            *({"files": {"image": ("q.jpg", data)}} for data in (photo, b"no photo")),
        ],
        "/v1/locate": [
            {"files": {"image": ("q.jpg", photo)}},
            {"files": {"image": ("q.jpg", b"no photo")}},
            {"files": {"image": ("q.jpg", photo)}, "data": {"model": "nobody/knows"}},
            {"files": [("image", ("q.jpg", photo)), ("image", ("r.jpg", b"no photo"))]},
        ],
        "/v1/photos": [
            {"files": {"files": ("u.jpg", other)}},
            {"files": {"files": ("u.jpg", b"no photo")}},
            {"files": {"files": ("u.jpg", photo)}, "data": {"dataset": "a\nb"}},
            {"files": [("files", ("v.jpg", other)), ("files", ("w.jpg", photo))], "headers": ASYNC},
        ],
    }


def _requests(
    api: httpx.Client, ids: dict[str, list[str]], make_jpeg: MakeJpeg
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and options of requests to every GET and POST of the OpenAPI document."""
    bodies = _bodies(make_jpeg)
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        if "post" in methods:
            yield from (("POST", path, body) for body in bodies.pop(path))
        if "get" not in methods:
            continue
        name = path.partition("{")[2].partition("}")[0]
        for value in ids[name] if name else [""]:
            yield "GET", path.replace(f"{{{name}}}", value), {}
        if path == "/v1/photos":
            yield from (("GET", path, {"params": {"state": s.value}}) for s in PhotoState)
            yield "GET", path, {"params": {"state": "nowhere", "cursor": "x"}}
    assert not bodies, "routes that are not in the document"
    for path in ("/", "/docs", "/page.json", "/openapi.json", "/static/", "/static/none", "/none"):
        yield "GET", path, {}


def test_no_route_tells_where_home_or_photos_lie(
    api: httpx.Client,
    filled: GeoSearch,
    folder: Path,
    ids: dict[str, list[str]],
    make_jpeg: MakeJpeg,
) -> None:
    home = filled.services.settings.home
    places = {str(place) for one in (home, folder) for place in (one, one.resolve())}
    seen: dict[int, int] = {}
    told = []
    for method, path, options in _requests(api, ids, make_jpeg):
        extra = options.pop("headers", {})
        forms = FORMS if path.startswith(("/v1/search", "/v1/loc")) else FORMS[:1]
        for form in forms:
            answer = api.request(method, path, headers={"Accept": form} | extra, **options)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
            said = answer.text + "\n".join(f"{k}: {v}" for k, v in answer.headers.items())
            told += [f"{method} {path} {form}: {place}" for place in places if place in said]
    assert told == []
    assert seen[200] > 100
    assert {202, 404, 410, 422} <= set(seen)
    assert not [status for status in seen if status >= 500]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cannot read /srv/photos/2024/a.jpg: gone", "cannot read a.jpg: gone"),
        ("cannot read '/srv/my photos/a b/c.jpg'", "cannot read 'c.jpg'"),
        ("/srv/one/a.jpg; /srv/two/b.jpg", "a.jpg; b.jpg"),
    ],
)
def test_files_are_named_without_their_folders(words: str, told: str) -> None:
    assert answers.public_words(words) == told


@pytest.mark.parametrize(
    "words",
    [
        "signs read Rue / Straat, speeds in km/h, open 24/7",
        "left / right, here / there / everywhere",
        "a shop named <b>Nord</b>, prices in kr/kg",
    ],
)
def test_slashes_in_what_a_model_says_are_no_folders(words: str) -> None:
    assert answers.public_words(words) == words
