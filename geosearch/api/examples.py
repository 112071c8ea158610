"""Examples in the OpenAPI document: what to send, and what comes back, for each operation."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from geosearch.api.answers import GEOJSON

_PHOTO_ID = "8d1f5a3e-5d0c-5f57-9b2a-6f6c8a1e0c11"
_JOB_ID = "5b1c9d34-2a7e-4f0e-8f0a-0d8f4a2b7c66"
_ENCODER = "lite+efficientnet-lite0-1.0"

_PHOTO = {
    "id": _PHOTO_ID,
    "path": "lund-0.jpg",
    "lat": 55.704,
    "lon": 13.191,
    "label_source": "exif",
    "place": "Lund, Skåne, Sweden",
    "country": "SE",
    "region": "Skåne",
    "city": "Lund",
    "captured_at": "2022-05-01T12:00:00+00:00",
    "dataset": "trip",
    "author": None,
    "license": None,
    "caption": None,
    "width": 4032,
    "height": 3024,
    "state": "indexed",
    "error": None,
}
_HIT = {
    "id": _PHOTO_ID,
    "path": "lund-0.jpg",
    "lat": 55.704,
    "lon": 13.191,
    "score": 0.91,
    "place": "Lund, Skåne, Sweden",
    "captured_at": "2022-05-01T12:00:00+00:00",
    "distance_km": 1.2,
}
_LOCATED = {
    "image": "unknown.jpg",
    "lat": 55.704,
    "lon": 13.191,
    "radius_km": {"50": 3.1, "90": 40.0},
    "place": "Lund, Skåne, Sweden",
    "alternatives": [],
    "evidence": [{"id": _PHOTO_ID, "path": "lund-0.jpg", "score": 0.91, "distance_km": 0.4}],
    "steps": [{"name": "retrieval", "summary": "12 photos found", "seconds": 0.02}],
    "cost_usd": 0.0,
    "id": "kq3cM9zT0b1uW5xY",
}
_JOB = {
    "id": _JOB_ID,
    "kind": "ingest",
    "state": "queued",
    "photos": 2,
    "done": 1,
    "results": [{"name": "a.jpg", "id": _PHOTO_ID, "reason": None, "outcome": "indexed"}],
    "error": None,
    "created_at": "2026-11-26T04:00:00+00:00",
    "finished_at": None,
}

_FEATURE = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [_PHOTO["lon"], _PHOTO["lat"]]},
    "properties": {name: value for name, value in _PHOTO.items() if name not in ("lat", "lon")},
}

ANSWERS: dict[tuple[str, str], Any] = {
    ("post", "/v1/search"): {
        "hits": [_HIT], "matched": 3, "plan": "exact", "seconds": 0.004, "next": None,
    },
    ("post", "/v1/locate"): _LOCATED,
    ("get", "/v1/located/{name}"): _LOCATED,
    ("get", "/v1/jobs/{job_id}"): _JOB,
    ("get", "/v1/jobs/{job_id}/events"): (
        'event: photo\ndata: {"name": "a.jpg", "outcome": "indexed"}\n\n'
        'event: done\ndata: {"error": null}\n\n'
    ),
    ("post", "/v1/photos"): {
        "photos": [{"name": "a.jpg", "id": _PHOTO_ID, "reason": None, "outcome": "indexed"}]
    },
    ("get", "/v1/photos"): {"photos": [_PHOTO], "next": None},
    ("get", "/v1/photos/{photo_id}"): _PHOTO,
    ("patch", "/v1/photos/{photo_id}"): _PHOTO | {"label_source": "manual"},
    ("get", "/v1/stats"): {
        "photos": {"indexed": 12, "pending": 0, "failed": 0, "unlabelled": 1},
        "countries": {"SE": 3},
        "datasets": {"trip": 12},
        "captured_at": {"first": "2020-05-01T12:00:00+00:00", "last": "2022-05-01T12:00:00+00:00"},
        "encoder": _ENCODER,
        "searches_places": False,
        "version": "0.1.0",
    },
    ("get", "/v1/status"): {
        "photos": {"indexed": 12, "pending": 0, "failed": 0, "unlabelled": 1},
        "pace": {"left": 0, "per_second": 0.0, "seconds_left": None},
        "index": {_ENCODER: 12},
        "last_run": {
            "id": 1,
            "encoder": _ENCODER,
            "started_at": "2026-11-26T04:00:00+00:00",
            "finished_at": "2026-11-26T04:00:09+00:00",
        },
        "errors": [{"path": "broken.jpg", "reason": "not an image"}],
    },
    ("get", "/v1/encoders"): {
        "active": _ENCODER,
        "searches_places": False,
        "encoders": [{"identity": _ENCODER, "photos": 12}],
    },
    ("get", "/healthz"): "ok\n",
    ("get", "/readyz"): "ready\n",
    ("get", "/metrics"): 'geosearch_http_requests_total{method="GET",status="200"} 7\n',
}  # fmt: skip
"""What a successful answer looks like, by method and path."""

ACCEPTED: dict[tuple[str, str], Any] = {
    ("post", "/v1/locate"): _JOB | {"kind": "locate", "done": 0, "results": []},
    ("post", "/v1/photos"): _JOB | {"done": 0, "results": []},
}
"""What 202 looks like: a job that nobody has begun."""

FEATURES: dict[tuple[str, str], Any] = {
    ("get", "/v1/photos"): {"type": "FeatureCollection", "features": [_FEATURE], "next": None},
}
"""What a successful answer looks like as GeoJSON."""

BODIES: dict[tuple[str, str], Any] = {
    ("post", "/v1/search"): {"query": '{"near": [55.7, 13.2], "radius_km": 30, "limit": 20}'},
    ("post", "/v1/locate"): {
        "where": '{"bbox": [5.0, 54.0, 32.0, 72.0], "since": "2019-01-01", "until": "2024-12-31"}',
        "no_lmm": True,
    },
    ("patch", "/v1/photos/{photo_id}"): {"lat": 55.7, "lon": 13.2, "label_source": "manual"},
    ("post", "/v1/photos"): {
        "dataset": "trip",
        "labels": '{"a.jpg": {"lat": 55.7, "lon": 13.2, "captured_at": "2024-05-31T18:30:00Z", '
        '"caption": "the cathedral", "author": "A. Lind", "license": "CC-BY-4.0"}}',
    },
}
"""What is sent, by method and path; files stand for themselves."""

PARAMETERS: dict[str, Any] = {
    "photo_id": _PHOTO_ID,
    "job_id": _JOB_ID,
    "name": "kq3cM9zT0b1uW5xY",
    "state": ["indexed"],
    "id": [_PHOTO_ID],
    "limit": 100,
    "idempotency-key": "trip-1",
    "prefer": "respond-async",
}
"""Values of parameters, by name."""

BEARER = "key"
"""What the document calls the way to give a key."""


def describe(app: FastAPI, *, asks_keys: bool) -> None:
    """Let the document of an application have examples, and say how a key is given."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _add_examples(plain())
            document = app.openapi_schema
            assert document is not None  # the plain one keeps it
            if asks_keys:
                schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
                schemes[BEARER] = {"type": "http", "scheme": "bearer"}
                document["security"] = [{BEARER: []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's manual has it


def _add_examples(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if (name := parameter["name"].lower()) in PARAMETERS:
                    parameter["example"] = PARAMETERS[name]
            content = operation.get("requestBody", {}).get("content", {})
            if (method, path) in BODIES:
                for kind in content.values():
                    kind["example"] = BODIES[method, path]
            for status, examples in (("200", ANSWERS), ("202", ACCEPTED)):
                answers = operation["responses"].get(status, {}).get("content", {})
                if (method, path) in examples:
                    for name, kind in answers.items():
                        shown = FEATURES if name == GEOJSON else examples
                        kind["example"] = shown[method, path]
