"""A filter as the objects that the embedded engine takes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from geosearch.store.filters import Filter, to_qdrant

if TYPE_CHECKING:
    from qdrant_edge import ConditionType  # exists in the stubs only


@lru_cache(maxsize=32)  # a search counts first and asks up to three times; a polygon takes 2 ms
def edge_filter(where: Filter | None) -> edge.Filter | None:
    """The engine's filter that matches the same; None matches everything."""
    return None if where is None else edge_clause(to_qdrant(where))


def edge_clause(clause: dict[str, Any]) -> edge.Filter:
    """A REST filter as the engine's objects."""
    parts = {name: [_condition(one) for one in some] for name, some in clause.items()}
    return edge.Filter(parts.get("must"), parts.get("should"), parts.get("must_not"))


def _condition(condition: dict[str, Any]) -> ConditionType:
    if "key" not in condition:
        return edge_clause(condition)
    key = condition["key"]
    match condition:
        case {"match": {"value": value}}:
            return edge.FieldCondition(key, match=edge.MatchValue(value))
        case {"range": ends}:
            return edge.FieldCondition(key, range=edge.RangeDateTime(**ends))
        case {"geo_radius": {"center": center, "radius": radius}}:
            return edge.FieldCondition(key, geo_radius=edge.GeoRadius(_point(center), radius))
        case {"geo_bounding_box": {"top_left": top_left, "bottom_right": bottom_right}}:
            box = edge.GeoBoundingBox(_point(top_left), _point(bottom_right))
            return edge.FieldCondition(key, geo_bounding_box=box)
        case {"geo_polygon": {"exterior": exterior, "interiors": interiors}}:
            polygon = edge.GeoPolygon(_line(exterior), [_line(hole) for hole in interiors])
            return edge.FieldCondition(key, geo_polygon=polygon)
    raise AssertionError(f"to_qdrant builds no such condition: {sorted(condition)}")


def _point(position: dict[str, float]) -> edge.GeoPoint:
    return edge.GeoPoint(position["lon"], position["lat"])


def _line(line: dict[str, list[dict[str, float]]]) -> list[edge.GeoPoint]:
    return [_point(position) for position in line["points"]]
