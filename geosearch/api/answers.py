"""Answers as they leave the server: a photo is named by its file, never by its place on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from geosearch import exports
from geosearch.ingest.sources import file_name
from geosearch.records import (
    Candidate,
    Evidence,
    PhotoEntry,
    PhotoFact,
    Prediction,
    SearchResult,
    Step,
)
from geosearch.results import FoundPhotos, LocatedPhoto

Document: TypeAlias = dict[str, object]

GEOJSON = "application/geo+json"
KML = "application/vnd.google-earth.kml+xml"
CSV = "text/csv"
EVENTS = "text/event-stream"

OR_GEOJSON: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {GEOJSON: {"schema": {"type": "object"}}}}
}
"""For the OpenAPI document: what is answered as GeoJSON, too."""

# No folder begins with a space and none follows "<", unlike what people and models write:
# "Rue / Straat, 90 km/h", "</b>".
_FOLDERS = re.compile(r"(?<![\w<])/(?:[^\s/;][^/;\n]*/)+")


def public_result(result: SearchResult) -> FoundPhotos:
    """A search result without places on disk."""
    hits = tuple(replace(hit, photo=_public_photo(hit.photo)) for hit in result.hits)
    return FoundPhotos.of(replace(result, hits=hits))


def public_prediction(prediction: Prediction) -> LocatedPhoto:
    """A prediction without places on disk."""
    return LocatedPhoto.of(
        replace(
            prediction,
            reason=None if prediction.reason is None else public_words(prediction.reason),
            best=None if prediction.best is None else _public_candidate(prediction.best),
            alternatives=tuple(_public_candidate(one) for one in prediction.alternatives),
            steps=tuple(public_step(step) for step in prediction.steps),
            negatives=tuple(
                replace(hit, photo=_public_photo(hit.photo)) for hit in prediction.negatives
            ),
        )
    )


def public_step(step: Step) -> Step:
    """A step whose words name files only."""
    return replace(step, summary=public_words(step.summary))


def public_words(words: str) -> str:
    """Words in which files are named without their folders."""
    return _FOLDERS.sub("", words)


def step_document(step: Step) -> Document:
    """A step as JSON."""
    where = step.coordinate
    return {
        "name": step.name,
        "summary": step.summary,
        "lat": None if where is None else where.lat,
        "lon": None if where is None else where.lon,
        "seconds": step.seconds,
    }


def photo_document(entry: PhotoEntry) -> Document:
    """A photo of the catalogue as JSON."""
    photo, where = entry.photo, entry.photo.coordinate
    return {
        "id": str(photo.id),
        "path": file_name(photo.path),
        "lat": None if where is None else where.lat,
        "lon": None if where is None else where.lon,
        "label_source": None if entry.label_source is None else str(entry.label_source),
        "place": photo.place,
        "country": photo.country,
        "region": entry.region,
        "city": entry.city,
        "captured_at": None if photo.captured_at is None else photo.captured_at.isoformat(),
        "dataset": photo.dataset,
        "author": photo.author,
        "license": photo.license,
        "caption": photo.caption,
        "width": entry.width,
        "height": entry.height,
        "state": str(entry.state),
        "error": None if entry.error is None else public_words(entry.error),
    }


def photos_answer(request: Request, entries: Sequence[PhotoEntry], extra: Document) -> Response:
    """Photos of the catalogue in the form that the request accepts."""
    photos = [photo_document(entry) for entry in entries]
    if GEOJSON in request.headers.get("accept", ""):
        return JSONResponse(exports.photos_to_features(photos) | extra, media_type=GEOJSON)
    return JSONResponse({"photos": photos} | extra)


def search_answer(request: Request, result: FoundPhotos, extra: Document) -> Response:
    """A search result in the form that the request accepts."""
    accepted = request.headers.get("accept", "")
    if GEOJSON in accepted:
        return JSONResponse(exports.search_result_to_features(result) | extra, media_type=GEOJSON)
    if KML in accepted:
        return Response(exports.search_result_to_kml(result), media_type=KML)
    if CSV in accepted:
        return Response(exports.search_result_to_csv(result), media_type=CSV)
    return JSONResponse(exports.search_result_to_dict(result) | extra)


def prediction_answer(request: Request, prediction: LocatedPhoto, extra: Document) -> Response:
    """A prediction in the form that the request accepts."""
    accepted = request.headers.get("accept", "")
    if GEOJSON in accepted:
        return Response(exports.predictions_to_geojson([prediction]), media_type=GEOJSON)
    if KML in accepted:
        return Response(exports.predictions_to_kml([prediction]), media_type=KML)
    if CSV in accepted:
        return Response(exports.predictions_to_csv([prediction]), media_type=CSV)
    return JSONResponse(exports.prediction_to_dict(prediction) | extra)


def _public_photo(photo: PhotoFact) -> PhotoFact:
    return replace(photo, path=file_name(photo.path))


def _public_evidence(evidence: Evidence) -> Evidence:
    return replace(evidence, photo=_public_photo(evidence.photo))


def _public_candidate(candidate: Candidate) -> Candidate:
    return replace(candidate, evidence=tuple(_public_evidence(one) for one in candidate.evidence))
