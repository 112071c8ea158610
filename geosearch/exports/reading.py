"""Predictions, search results and photos read back from the JSON that stands for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from geosearch.geo import Coordinate
from geosearch.records import (
    Candidate,
    Evidence,
    LabelSource,
    LmmState,
    PhotoEntry,
    PhotoFact,
    PhotoState,
    Prediction,
    SearchHit,
    SearchResult,
    Step,
)


def prediction_from_dict(document: Mapping[str, Any]) -> Prediction:
    """A prediction from its JSON object, equal to the one that was written.

    Raises:
        KeyError: a part is missing.
        ValueError: a part is not what it should be.
        TypeError: a part is of another kind.
    """
    return Prediction(
        image=document["image"],
        best=None if document["lat"] is None else _candidate(document),
        alternatives=tuple(_candidate(one) for one in document["alternatives"]),
        steps=tuple(step_from_dict(one) for one in document["steps"]),
        encoder=document["encoder"],
        reason=document["reason"],
        cost_usd=document["cost_usd"],
        seconds=document["seconds"],
        is_calibrated=document["is_calibrated"],
        negatives=tuple(SearchHit(_fact(one), one["score"], None) for one in document["negatives"]),
        models=tuple(document["models"]),
        lmm=LmmState(document["lmm"]),
    )


def step_from_dict(document: Mapping[str, Any]) -> Step:
    """A step from its JSON object; raises as `prediction_from_dict` does."""
    return Step(document["name"], document["summary"], _coordinate(document), document["seconds"])


def search_result_from_dict(document: Mapping[str, Any]) -> SearchResult:
    """A search result from its JSON object; raises as `prediction_from_dict` does."""
    return SearchResult(
        hits=tuple(
            SearchHit(_fact(hit), hit["score"], hit["distance_km"]) for hit in document["hits"]
        ),
        matched=document["matched"],
        plan=document["plan"],
        seconds=document["seconds"],
        encoder=document["encoder"],
    )


def photo_entry_from_dict(document: Mapping[str, Any]) -> PhotoEntry:
    """A photo of the collection from its JSON object; raises as `prediction_from_dict` does."""
    source = document["label_source"]
    return PhotoEntry(
        photo=_fact(document),
        state=PhotoState(document["state"]),
        label_source=None if source is None else LabelSource(source),
        region=document["region"],
        city=document["city"],
        width=document["width"],
        height=document["height"],
        error=document["error"],
    )


def _candidate(document: Mapping[str, Any]) -> Candidate:
    coordinate = _coordinate(document)
    if coordinate is None:
        raise ValueError("a candidate has no coordinate")
    return Candidate(
        coordinate=coordinate,
        share=document["share"],
        place=document["place"],
        radius_km=_by_number(document["radius_km"]),
        evidence=tuple(
            Evidence(_fact(one), one["score"], one["distance_km"]) for one in document["evidence"]
        ),
        within=_by_number(document["within_km"]),
        origins=tuple(document["origins"]),
    )


def _fact(document: Mapping[str, Any]) -> PhotoFact:
    captured_at = document["captured_at"]
    return PhotoFact(
        id=UUID(document["id"]),
        path=document["path"],
        coordinate=_coordinate(document),
        place=document["place"],
        country=document["country"],
        captured_at=None if captured_at is None else datetime.fromisoformat(captured_at),
        dataset=document["dataset"],
        author=document["author"],
        license=document["license"],
        caption=document["caption"],
    )


def _coordinate(document: Mapping[str, Any]) -> Coordinate | None:
    if document["lat"] is None:
        return None
    return Coordinate(document["lat"], document["lon"])


def _by_number(document: Mapping[str, float]) -> dict[int, float]:
    return {int(name): float(value) for name, value in document.items()}
