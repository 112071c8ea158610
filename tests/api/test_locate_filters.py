"""POST /v1/locate compares with the photos that match `where`, at once, in events and in jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from geosearch.api import create_app
from geosearch.api.runner import FOLDER
from geosearch.catalogue.jobs import Jobs
from geosearch.client import GeoSearch

MakeJpeg = Callable[..., bytes]

AROUND_LUND = {
    "type": "Feature",
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[12, 55], [14, 55], [14, 56], [12, 56], [12, 55]]],
    },
}


def _locate(api: httpx.Client, where: object, *photos: bytes, **headers: str) -> httpx.Response:
    files = [("image", (f"{n}.jpg", photo)) for n, photo in enumerate(photos)]
    text = where if isinstance(where, str) else json.dumps(where)
    return api.post("/v1/locate", data={"where": text}, files=files, headers=headers)


def _cities(answer: dict[str, Any]) -> set[str]:
    """Of the photos that spoke for an answer or one of its alternatives."""
    spoke = [*answer["evidence"], *(e for a in answer["alternatives"] for e in a["evidence"])]
    return {one["path"].split("-")[0] for one in spoke}


@pytest.mark.parametrize(
    "where",
    [
        {"near": [55.7, 13.2], "radius_km": 30},
        {"bbox": [5, 50, 20, 60]},
        {"within": AROUND_LUND},
        {"country": "se"},
        {"country": "SE", "since": "2000-01-01", "until": "2030-01-01", "dataset": "trip"},
    ],
)
def test_only_photos_that_match_speak_for_an_answer(
    api: httpx.Client, make_jpeg: MakeJpeg, where: dict[str, object]
) -> None:
    nairobi = make_jpeg(1)
    assert "nairobi" in _cities(_locate(api, {}, nairobi).raise_for_status().json())
    assert _cities(_locate(api, where, nairobi).raise_for_status().json()) == {"lund"}


def test_a_filter_that_nothing_matches_gives_no_answer_and_says_why(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    answer = _locate(api, {"author": "nobody"}, make_jpeg(1)).raise_for_status().json()
    assert answer["lat"] is None
    assert answer["reason"]


def test_events_of_locate_obey_the_filter(api: httpx.Client, make_jpeg: MakeJpeg) -> None:
    answer = _locate(api, {"country": "SE"}, make_jpeg(1), Accept="text/event-stream")
    *steps, last = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert steps
    assert _cities(json.loads(last)) == {"lund"}


def test_a_job_obeys_the_filter_for_each_of_its_photos(
    api: httpx.Client, make_jpeg: MakeJpeg
) -> None:
    accepted = _locate(api, {"within": AROUND_LUND}, make_jpeg(1), make_jpeg(1))
    assert accepted.status_code == 202
    events = api.get(f"{accepted.headers['location']}/events").text
    assert "event: done" in events
    results = api.get(accepted.headers["location"]).json()["results"]
    assert [_cities(one) for one in results] == [{"lund"}, {"lund"}]


def test_a_job_that_was_cut_off_keeps_its_filter(filled: GeoSearch, make_jpeg: MakeJpeg) -> None:
    record = Jobs(filled.services.engine)
    options = {"model": None, "no_lmm": True, "hint": None, "where": {"country": "SE"}}
    job = record.add("locate", ["a.jpg", "b.jpg"], options=options)
    record.append(job.id, [{"image": "a.jpg"}])
    folder = filled.services.settings.home / FOLDER / str(job.id)
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(make_jpeg(1))
    runner = (app := create_app(filled)).state.shared.jobs
    try:
        while (now := record.get(job.id)) is not None and now.state == "queued":
            runner.wait(0.5)
    finally:
        app.state.shared.stop()
    assert now is not None
    assert _cities(now.results[1]) == {"lund"}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"radius_km": 5}, "needs a centre"),
        ({"near": [55, 13]}, "add radius_km"),
        ({"near": [95, 0], "radius_km": 1}, "latitude 95"),
        ({"bbox": [0, 0, 0]}, "bbox"),
        ({"since": "yesterday"}, "is not a time"),
        ({"since": "2024-01-02", "until": "2023-01-01"}, "swap the two"),
        ({"country": "S3"}, "is not a country"),
        ({"within": {"type": "Point", "coordinates": [0, 0]}}, "is no area"),
        ({"text": "a bridge"}, "text"),
        ({"licence": "CC0"}, "licence"),
        ("[]", "where"),
        ('{"radius_km": NaN}', "NaN"),
    ],
)
@pytest.mark.parametrize("photos", [1, 2])
def test_a_filter_that_makes_no_sense_gets_one_sentence_and_no_job(
    api: httpx.Client, filled: GeoSearch, make_jpeg: MakeJpeg, where: object, said: str, photos: int
) -> None:
    answer = _locate(api, where, *[make_jpeg(1)] * photos, Accept="text/event-stream")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert len(answer.json()["detail"].splitlines()) == 1
    assert not Jobs(filled.services.engine).queued("locate")
