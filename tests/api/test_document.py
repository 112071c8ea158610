"""The OpenAPI document: complete, and its examples are true."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from geosearch.api import create_app
from geosearch.api.examples import ANSWERS, BODIES
from geosearch.client import GeoSearch


def _examples(operation: dict[str, Any]) -> list[Any]:
    contents = [
        *operation.get("requestBody", {}).get("content", {}).values(),
        *operation["responses"].get("200", {}).get("content", {}).values(),
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
