"""The OpenAPI document: complete, and its examples are true."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from geosearch.api import create_app
from geosearch.api.examples import ACCEPTED, ANSWERS, BODIES, FEATURES
from geosearch.client import GeoSearch


def _examples(operation: dict[str, Any]) -> list[Any]:
    contents = [
        *operation.get("requestBody", {}).get("content", {}).values(),
        *operation["responses"].get("200", {}).get("content", {}).values(),
        *operation["responses"].get("202", {}).get("content", {}).values(),
        *operation.get("parameters", ()),
    ]
    return [content["example"] for content in contents if "example" in content]


def test_every_operation_has_an_example_and_a_sentence(geosearch: GeoSearch) -> None:
    app = create_app(geosearch)
    app.state.shared.stop()
    document = app.openapi()
    operations = {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) >= 18
    assert not [name for name, operation in operations.items() if not _examples(operation)]
    assert not [name for name, operation in operations.items() if not operation.get("description")]
    known = {f"{method} {path}" for method, path in (*ANSWERS, *BODIES)}
    assert known <= set(operations)
    assert "security" not in document
    jobs = {name for name, one in operations.items() if "202" in one["responses"]}
    assert jobs == {"post /v1/locate", "post /v1/photos"}
    for name in jobs:
        response = operations[name]["responses"]["202"]
        assert response["content"]["application/json"]["example"]["state"] == "queued"
        assert "Location" in response["headers"]


def test_a_server_that_asks_for_keys_says_how_they_are_given(geosearch: GeoSearch) -> None:
    app = create_app(geosearch, asks_keys=True)
    app.state.shared.stop()
    document = app.openapi()
    assert document["security"] == [{"key": []}]
    scheme = document["components"]["securitySchemes"]["key"]
    assert scheme == {"type": "http", "scheme": "bearer"}


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/encoders", "/v1/photos"])
def test_examples_of_answers_have_the_parts_that_answers_have(api: httpx.Client, path: str) -> None:
    answer = api.get(path).raise_for_status().json()
    example = ANSWERS["get", path]
    assert set(example) == set(answer)
    if path == "/v1/photos":
        assert set(example["photos"][0]) == set(answer["photos"][0])


def test_examples_of_jobs_and_of_geojson_have_the_parts_that_answers_have(
    api: httpx.Client, make_jpeg: Callable[..., bytes]
) -> None:
    photos = [("a.jpg", make_jpeg(1)), ("b.jpg", make_jpeg(2))]
    asked = api.post("/v1/locate", files=[("image", photo) for photo in photos])
    sent = api.post(
        "/v1/photos",
        files=[("files", photo) for photo in photos],
        headers={"Prefer": "respond-async"},
    )
    for path, answer in (("/v1/locate", asked), ("/v1/photos", sent)):
        assert answer.status_code == 202
        example = ACCEPTED["post", path]
        assert set(example) == set(answer.json())
        assert example["kind"] == answer.json()["kind"]
    listed = api.get("/v1/photos", headers={"Accept": "application/geo+json"}).json()
    example = FEATURES["get", "/v1/photos"]
    assert set(example) == set(listed)
    assert set(example["features"][0]) == set(listed["features"][0])
    assert set(example["features"][0]["properties"]) == set(listed["features"][0]["properties"])


def test_the_examples_of_searches_and_answers_work(
    api: httpx.Client, make_jpeg: Callable[..., bytes]
) -> None:
    found = api.post("/v1/search", data=BODIES["post", "/v1/search"]).raise_for_status().json()
    assert set(ANSWERS["post", "/v1/search"]) <= set(found)
    assert set(ANSWERS["post", "/v1/search"]["hits"][0]) <= set(found["hits"][0])
    body = BODIES["post", "/v1/locate"]
    located = api.post("/v1/locate", data=body, files={"image": ("a.jpg", make_jpeg(1))}).json()
    assert 54.0 <= located["lat"] <= 72.0
    assert set(ANSWERS["post", "/v1/locate"]) <= set(located)
    photo = f"/v1/photos/{found['hits'][0]['id']}"
    changed = api.patch(photo, json=BODIES["patch", "/v1/photos/{photo_id}"]).raise_for_status()
    assert changed.json()["label_source"] == "manual"
    assert json.loads(api.get("/openapi.json").text)["info"]["title"] == "GeoSearch"
