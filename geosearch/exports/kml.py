"""Predictions and search results as KML 2.2 for Google Earth; coordinates flip to lon, lat here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TextIO
from xml.etree import ElementTree as ET

from geosearch.exports.circles import circle_rings
from geosearch.exports.documents import (
    candidate_properties,
    evidence_properties,
    photo_properties,
)
from geosearch.exports.text import printable
from geosearch.geo import Coordinate, distance_words
from geosearch.records import Candidate, LmmState, PhotoFact, Prediction, SearchResult

# Styles are named by what a feature is; KML colours are alpha, blue, green, red.
_KML_STYLES = {
    "answer": {"IconStyle": {"color": "ff2b2bd9", "scale": "1.3"}},
    "alternative": {"IconStyle": {"color": "ff18a0f5", "scale": "1.0"}},
    "evidence": {"IconStyle": {"color": "ffd98c2b", "scale": "0.8"}},
    "hit": {"IconStyle": {"color": "ffd98c2b", "scale": "1.0"}},
    "radius": {
        "LineStyle": {"color": "ff2b2bd9", "width": "2"},
        "PolyStyle": {"color": "262b2bd9"},
    },
}


def predictions_to_kml(predictions: Iterable[Prediction]) -> str:
    """A KML document with one folder a prediction: answer, radius, alternatives, evidence."""
    document, root = _kml_document("GeoSearch predictions")
    for prediction in predictions:
        folder = ET.SubElement(document, "Folder")
        _text(folder, "name", prediction.image)
        best = prediction.best
        if best is None:
            _text(folder, "description", html.escape(f"No answer: {prediction.reason}"))
            continue
        if prediction.lmm is not LmmState.NOT_ASKED:
            _text(folder, "description", f"Large multimodal model: {prediction.lmm}")
        _candidate_placemark(folder, "answer", best.place or "Answer", best)
        for level, radius_km in sorted(best.radius_km.items(), reverse=True):
            placemark = _placemark(
                folder, "radius", f"{level} % radius: {distance_words(radius_km)}", {}
            )
            _kml_area(placemark, best.coordinate, radius_km)
        for rank, candidate in enumerate(prediction.alternatives, start=2):
            name = f"{rank}. {candidate.place}"
            _candidate_placemark(folder, "alternative", name, candidate)
        for item in best.evidence:
            facts = photo_properties(item.photo) | evidence_properties(item)
            placemark = _placemark(folder, "evidence", item.photo.path, facts)
            _kml_photo(placemark, item.photo)
    return _kml_text(root)


def search_result_to_kml(result: SearchResult) -> str:
    """A KML document with one placemark a hit, in order; dated photos have a time stamp."""
    document, root = _kml_document("GeoSearch results")
    for hit in result.hits:
        facts = photo_properties(hit.photo) | {
            "score": hit.score,
            "distance_km": hit.distance_km,
        }
        _kml_photo(_placemark(document, "hit", hit.photo.path, facts), hit.photo)
    return _kml_text(root)


def photos_to_kml(rows: Iterable[Mapping[str, object]], out: TextIO) -> int:
    """Write photos as KML to an open text file, row by row, and return how many.

    Args:
        rows: one mapping a photo, with `path`, and `lat` and `lon` in degrees or None (then the
            placemark has no geometry); every other key becomes a line of its description.
        out: an open text file.

    Raises:
        InvalidCoordinate: a row's `lat` and `lon` are no place on Earth.
    """
    _, root = _kml_document("GeoSearch photos")
    # The document is left open: a catalogue need not fit in memory.
    head, tail = _kml_text(root).rsplit("  </Document>", 1)
    out.write(head)
    count = 0
    for row in rows:
        facts = {key: value for key, value in row.items() if key not in ("path", "lat", "lon")}
        parent = ET.Element("Document")
        placemark = _placemark(parent, "hit", str(row.get("path", "")), facts)
        if isinstance(taken := row.get("captured_at"), datetime):
            _kml_time(placemark, taken)
        lat, lon = row.get("lat"), row.get("lon")
        if isinstance(lat, int | float) and isinstance(lon, int | float):
            _kml_point(placemark, Coordinate(lat, lon))
        ET.indent(placemark, level=2)
        out.write(f"    {ET.tostring(placemark, encoding='unicode').strip()}\n")
        count += 1
    out.write(f"  </Document>{tail}")
    return count


def _kml_document(name: str) -> tuple[ET.Element, ET.Element]:
    root = ET.Element("kml", {"xmlns": "http://www.opengis.net/kml/2.2"})
    document = ET.SubElement(root, "Document")
    _text(document, "name", name)
    for style_id, parts in _KML_STYLES.items():
        style = ET.SubElement(document, "Style", {"id": style_id})
        for part, values in parts.items():
            element = ET.SubElement(style, part)
            for tag, value in values.items():
                _text(element, tag, value)
    return document, root


def _kml_text(root: ET.Element) -> str:
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = printable(text)


def _placemark(
    parent: ET.Element, style: str, name: str, facts: Mapping[str, object]
) -> ET.Element:
    """A placemark without geometry; its balloon lists the facts that are known."""
    placemark = ET.SubElement(parent, "Placemark")
    _text(placemark, "name", name)
    # Google Earth shows a description as HTML, so a stranger's caption is escaped twice.
    lines = [f"{key}: {value}" for key, value in facts.items() if value not in (None, "")]
    _text(placemark, "description", "<br/>".join(html.escape(line) for line in lines))
    _text(placemark, "styleUrl", f"#{style}")
    return placemark


def _candidate_placemark(parent: ET.Element, style: str, name: str, candidate: Candidate) -> None:
    placemark = _placemark(parent, style, name, candidate_properties(candidate))
    _kml_point(placemark, candidate.coordinate)


def _kml_photo(placemark: ET.Element, photo: PhotoFact) -> None:
    if photo.captured_at is not None:
        _kml_time(placemark, photo.captured_at)
    if photo.coordinate is not None:
        _kml_point(placemark, photo.coordinate)


def _kml_time(placemark: ET.Element, moment: datetime) -> None:
    # The schema wants the time before the style and the geometry.
    stamp = ET.Element("TimeStamp")
    _text(stamp, "when", moment.isoformat())
    placemark.insert(2, stamp)


def _kml_point(placemark: ET.Element, coordinate: Coordinate) -> None:
    point = ET.SubElement(placemark, "Point")
    _text(point, "coordinates", f"{coordinate.lon!r},{coordinate.lat!r},0")


def _kml_area(placemark: ET.Element, center: Coordinate, radius_km: float) -> None:
    shapes = ET.SubElement(placemark, "MultiGeometry")
    for rings in circle_rings(center, radius_km):
        polygon = ET.SubElement(shapes, "Polygon")
        _text(polygon, "tessellate", "1")
        for tag, ring in zip(
            ["outerBoundaryIs"] + ["innerBoundaryIs"] * (len(rings) - 1), rings, strict=True
        ):
            boundary = ET.SubElement(ET.SubElement(polygon, tag), "LinearRing")
            _text(boundary, "coordinates", " ".join(f"{lon},{lat},0" for lon, lat in ring))
