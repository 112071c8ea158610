"""Predictions read back from the documents that `documents.py` writes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from geosearch.geo import Coordinate
from geosearch.records import Candidate, Evidence, LmmState, PhotoFact, Prediction, SearchHit, Step


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
        steps=tuple(
            Step(one["name"], one["summary"], _coordinate(one), one["seconds"])
            for one in document["steps"]
        ),
        encoder=document["encoder"],
        reason=document["reason"],
        cost_usd=document["cost_usd"],
        seconds=document["seconds"],
        is_calibrated=document["is_calibrated"],
        negatives=tuple(SearchHit(_fact(one), one["score"], None) for one in document["negatives"]),
        models=tuple(document["models"]),
        lmm=LmmState(document["lmm"]),
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
