"""Predictions and search results as JSON documents, in the shapes that the commands promise."""

from __future__ import annotations

from collections.abc import Sequence

from geosearch.exports.text import JsonValue, dump, json_value
from geosearch.geo import Coordinate
from geosearch.records import Candidate, Evidence, PhotoFact, Prediction, SearchResult


def predictions_to_json(predictions: Sequence[Prediction]) -> str:
    """One prediction as an object, any other number of them as an array of such objects."""
    documents = [prediction_to_dict(prediction) for prediction in predictions]
    return dump(documents[0] if len(documents) == 1 else documents)


def prediction_to_dict(prediction: Prediction) -> dict[str, JsonValue]:
    """One prediction as a JSON object; with no answer `lat`, `lon` are null and `reason` is set."""
    best = prediction.best
    return {
        "image": json_value(prediction.image),
        **_lat_lon(best.coordinate if best is not None else None),
        "radius_km": _radii(best) if best is not None else None,
        "place": json_value(best.place) if best is not None else None,
        "share": best.share if best is not None else None,
        "within_km": _within(best) if best is not None else None,
        "is_calibrated": prediction.is_calibrated,
        "origins": list(best.origins) if best is not None else [],
        "reason": json_value(prediction.reason),
        "alternatives": [_candidate(candidate) for candidate in prediction.alternatives],
        "evidence": [_evidence(item) for item in best.evidence] if best is not None else [],
        "steps": [
            {
                "name": step.name,
                "summary": json_value(step.summary),
                **_lat_lon(step.coordinate),
                "seconds": step.seconds,
            }
            for step in prediction.steps
        ],
        "negatives": [
            {**_lat_lon(hit.photo.coordinate), **photo_properties(hit.photo), "score": hit.score}
            for hit in prediction.negatives
        ],
        "models": list(prediction.models),
        "lmm": str(prediction.lmm),
        "encoder": prediction.encoder,
        "cost_usd": prediction.cost_usd,
        "seconds": prediction.seconds,
    }


def search_result_to_json(result: SearchResult) -> str:
    """A search result as one JSON document."""
    return dump(search_result_to_dict(result))


def search_result_to_dict(result: SearchResult) -> dict[str, JsonValue]:
    """A search result as a JSON object: the hits in order, what matched, the plan, the seconds."""
    return {
        "hits": [
            {
                **_lat_lon(hit.photo.coordinate),
                **photo_properties(hit.photo),
                "score": json_value(hit.score),
                "distance_km": json_value(hit.distance_km),
            }
            for hit in result.hits
        ],
        "matched": result.matched,
        "plan": result.plan,
        "encoder": result.encoder,
        "seconds": result.seconds,
    }


def photo_properties(photo: PhotoFact) -> dict[str, JsonValue]:
    """What is known of a photo besides its coordinate."""
    return {
        "id": str(photo.id),
        "path": json_value(photo.path),
        "place": json_value(photo.place),
        "country": photo.country,
        "captured_at": json_value(photo.captured_at),
        "dataset": json_value(photo.dataset),
        "author": json_value(photo.author),
        "license": json_value(photo.license),
        "caption": json_value(photo.caption),
    }


def candidate_properties(candidate: Candidate) -> dict[str, JsonValue]:
    """A candidate's place, share and radii as one flat row, as map layers want them."""
    radii = {f"radius_km_{level}": km for level, km in sorted(candidate.radius_km.items())}
    return {"place": json_value(candidate.place), "share": candidate.share, **radii}


def evidence_properties(evidence: Evidence) -> dict[str, JsonValue]:
    """How near a piece of evidence is: by look, and to the answer."""
    return {"score": evidence.score, "distance_km": evidence.distance_km}


def _candidate(candidate: Candidate) -> dict[str, JsonValue]:
    return {
        **_lat_lon(candidate.coordinate),
        "radius_km": _radii(candidate),
        "place": json_value(candidate.place),
        "share": candidate.share,
        "within_km": _within(candidate),
        "origins": list(candidate.origins),
        "evidence": [_evidence(item) for item in candidate.evidence],
    }


def _evidence(evidence: Evidence) -> dict[str, JsonValue]:
    return {
        **_lat_lon(evidence.photo.coordinate),
        **photo_properties(evidence.photo),
        "score": evidence.score,
        "distance_km": evidence.distance_km,
    }


def _lat_lon(coordinate: Coordinate | None) -> dict[str, JsonValue]:
    if coordinate is None:
        return {"lat": None, "lon": None}
    return {"lat": coordinate.lat, "lon": coordinate.lon}


def _within(candidate: Candidate) -> dict[str, JsonValue]:
    return {str(km): probability for km, probability in sorted(candidate.within.items())}


def _radii(candidate: Candidate) -> dict[str, JsonValue]:
    return {str(level): radius for level, radius in sorted(candidate.radius_km.items())}
