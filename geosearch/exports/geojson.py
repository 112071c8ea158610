"""Predictions, search results and photos as GeoJSON (RFC 7946); coordinates flip to lon, lat here.

A radius is drawn for the answer only; alternatives and evidence are points, so that the map stays
readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TextIO

from geosearch.exports.circles import circle_rings
from geosearch.exports.documents import (
    candidate_properties,
    evidence_properties,
    photo_properties,
)
from geosearch.exports.text import JsonValue, dump, json_value
from geosearch.geo import Coordinate
from geosearch.records import Candidate, Prediction, SearchResult


def predictions_to_geojson(predictions: Iterable[Prediction]) -> str:
    """A FeatureCollection: answer, radius rings, alternatives and evidence of each prediction.

    Every feature says what it is in `role` and whose in `image`; a prediction without an answer is
    one feature of role `no_answer` with no geometry and its `reason`.
    """
    return dump(predictions_to_features(predictions), indent=None)


def predictions_to_features(predictions: Iterable[Prediction]) -> dict[str, JsonValue]:
    """The document of `predictions_to_geojson`, not yet written as text."""
    features = [feature for prediction in predictions for feature in _features(prediction)]
    return {"type": "FeatureCollection", "features": json_value(features)}


def search_result_to_geojson(result: SearchResult) -> str:
    """A FeatureCollection of hits, with `matched` and `plan` beside the features."""
    return dump(search_result_to_features(result), indent=None)


def search_result_to_features(result: SearchResult) -> dict[str, JsonValue]:
    """The document of `search_result_to_geojson`, not yet written as text."""
    features = [
        _feature(
            _point(hit.photo.coordinate),
            {
                "role": "hit",
                "rank": rank,
                **photo_properties(hit.photo),
                "score": hit.score,
                "distance_km": hit.distance_km,
            },
        )
        for rank, hit in enumerate(result.hits, start=1)
    ]
    return {
        "type": "FeatureCollection",
        "features": json_value(features),
        "matched": result.matched,
        "plan": result.plan,
        "seconds": result.seconds,
    }


def photos_to_geojson(rows: Iterable[Mapping[str, object]], out: TextIO) -> int:
    """Write photos as a FeatureCollection to an open text file, row by row, and return how many.

    Args:
        rows: one mapping a photo, with `lat` and `lon` in degrees or None (a photo without a label
            keeps its feature, with no geometry); every other key becomes a property.
        out: an open text file.

    Raises:
        InvalidCoordinate: a row's `lat` and `lon` are no place on Earth.
    """
    out.write('{"type": "FeatureCollection", "features": [')
    count = 0
    for row in rows:
        out.write(",\n" if count else "\n")
        out.write(dump(_photo(row), indent=None))
        count += 1
    out.write("\n]}\n")
    return count


def photos_to_features(rows: Iterable[Mapping[str, object]]) -> dict[str, JsonValue]:
    """The document of `photos_to_geojson`, not yet written as text; raises as that does."""
    return {"type": "FeatureCollection", "features": json_value([_photo(row) for row in rows])}


def _photo(row: Mapping[str, object]) -> dict[str, JsonValue]:
    lat, lon = row.get("lat"), row.get("lon")
    coordinate = None
    if isinstance(lat, int | float) and isinstance(lon, int | float):
        coordinate = Coordinate(lat, lon)
    properties = {key: value for key, value in row.items() if key not in ("lat", "lon")}
    return _feature(_point(coordinate), properties)


def _features(prediction: Prediction) -> Iterator[dict[str, JsonValue]]:
    image, best = prediction.image, prediction.best
    if best is None:
        yield _feature(
            None,
            {
                "role": "no_answer",
                "image": image,
                "reason": prediction.reason,
                "lmm": str(prediction.lmm),
            },
        )
        return
    yield _candidate_feature(best, {"role": "answer", "image": image, "lmm": str(prediction.lmm)})
    for level, radius_km in sorted(best.radius_km.items(), reverse=True):
        yield _feature(
            _area(best.coordinate, radius_km),
            {"role": "radius", "image": image, "confidence": level, "radius_km": radius_km},
        )
    for rank, candidate in enumerate(prediction.alternatives, start=2):
        yield _candidate_feature(candidate, {"role": "alternative", "image": image, "rank": rank})
    for item in best.evidence:
        yield _feature(
            _point(item.photo.coordinate),
            {"role": "evidence", "image": image}
            | photo_properties(item.photo)
            | evidence_properties(item),
        )


def _candidate_feature(candidate: Candidate, properties: dict[str, object]) -> dict[str, JsonValue]:
    return _feature(_point(candidate.coordinate), properties | candidate_properties(candidate))


def _feature(
    geometry: dict[str, JsonValue] | None, properties: Mapping[str, object]
) -> dict[str, JsonValue]:
    return {"type": "Feature", "geometry": geometry, "properties": json_value(dict(properties))}


def _point(coordinate: Coordinate | None) -> dict[str, JsonValue] | None:
    if coordinate is None:
        return None
    return {"type": "Point", "coordinates": [coordinate.lon, coordinate.lat]}


def _area(center: Coordinate, radius_km: float) -> dict[str, JsonValue]:
    polygons = circle_rings(center, radius_km)
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": json_value(polygons[0])}
    return {"type": "MultiPolygon", "coordinates": json_value(polygons)}
