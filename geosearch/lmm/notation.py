"""Coordinates as people and models write them in prose: decimals, degrees and minutes, N and W.

Every pattern has bounded repetition and no nesting, so the time is linear in the text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from geosearch.errors import InvalidCoordinate
from geosearch.geo import Coordinate

_NUMBER = r"[-+−–]?\d{1,3}(?:[.,]\d{1,12})?"
_DEGREE = r"\s{0,2}(?:°|º|deg(?:rees?)?\b)\s{0,2}"
_ANGLE = re.compile(
    rf"(?P<before>\b[NSEW]\s{{0,2}})?(?P<degrees>{_NUMBER}){_DEGREE}"
    r"(?:(?P<minutes>\d{1,2}(?:[.,]\d{1,9})?)\s{0,2}(?:'|′|’|m\b|min\b)\s{0,2}"
    r"(?:(?P<seconds>\d{1,2}(?:[.,]\d{1,9})?)\s{0,2}(?:\"|″|”|''|′′|s\b|sec\b)\s{0,2})?)?"
    r"(?P<after>[NSEW]\b|north\b|south\b|east\b|west\b)?",
    re.IGNORECASE,
)
_LETTERED = re.compile(
    r"(?:\b(?P<before>[NSEW])\s{0,2}(?P<first>\d{1,3}(?:\.\d{1,12})?)"
    r"|(?<![\d.])(?P<second>\d{1,3}(?:\.\d{1,12})?)\s{0,2}(?P<after>[NSEW])\b)"
)
_LABELLED = re.compile(
    r"\b(?P<name>lat(?:itude)?|lon(?:g(?:itude)?)?|lng)\b[\"'*]{0,3}\s{0,3}(?:is|of|=|:|≈|~)?"
    rf"\s{{0,3}}[\"'*~≈]{{0,3}}\s{{0,2}}(?P<number>{_NUMBER})"
    r"\s{0,2}(?:°|º)?\s{0,2}(?P<after>[NSEW]\b)?",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"(?<![\d./:-])(?P<first>[-+−–]?\d{1,3}\.\d{2,12})\s{0,3}[,;/ ]\s{0,3}"
    r"(?P<second>[-+−–]?\d{1,3}\.\d{2,12})(?![\d/]|\.\d)"
)
_BARE = re.compile(rf"\s{{0,9}}[(\[]?\s{{0,3}}(?P<first>{_NUMBER})\s{{0,3}}[,;]\s{{0,3}}"
                   rf"(?P<second>{_NUMBER})\s{{0,3}}[)\]]?[.\s]{{0,9}}")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """A pair of numbers read as a coordinate, where it begins, and whether they were swapped."""

    coordinate: Coordinate
    at: int
    was_swapped: bool = False


def coordinate_from(lat: float, lon: float) -> tuple[Coordinate, bool] | None:
    """A coordinate of two numbers; None if they can be none.

    A latitude beyond 90 with a longitude within 90 can only be the two exchanged: they are put
    right, and the second value says so. Longitudes up to 360 are wrapped.
    """
    if not (math.isfinite(lat) and math.isfinite(lon)):
        return None
    was_swapped = 90.0 < abs(lat) <= 180.0 and abs(lon) <= 90.0
    if was_swapped:
        lat, lon = lon, lat
    if abs(lat) > 90.0 or abs(lon) > 360.0:
        return None
    try:
        return Coordinate(lat, lon), was_swapped
    except InvalidCoordinate:
        return None


def read_angle(text: str) -> tuple[float, str] | None:
    """One angle alone in a short text: degrees, and `lat`, `lon` or nothing by its letter."""
    text = text.strip()[:64]
    match = _ANGLE.fullmatch(text) or _ANGLE.match(text)
    if match is not None:
        return _degrees(match)
    lettered = _LETTERED.fullmatch(text)
    if lettered is not None:
        letter = (lettered["before"] or lettered["after"]).upper()
        return _signed(float(lettered["first"] or lettered["second"]), letter)
    try:
        return _number(text), ""
    except ValueError:
        return None


def read_pair(text: str) -> tuple[Coordinate, bool] | None:
    """A coordinate that is all of a short text, as `48, 2` or `48.85 N, 2.35 E`."""
    bare = _BARE.fullmatch(text[:200])
    if bare is not None:
        return coordinate_from(_number(bare["first"]), _number(bare["second"]))
    found = find_coordinates(text[:200])
    return (found[0].coordinate, found[0].was_swapped) if len(found) == 1 else None


def find_coordinates(text: str) -> list[Reading]:
    """Every coordinate written in a text, in order; lone numbers and f-stops are none.

    Decimals without degree signs, letters or names count only with two or more decimal places.
    """
    readings = [*_labelled(text), *_paired(text, _ANGLE), *_paired(text, _LETTERED)]
    for match in _PLAIN.finditer(text):
        found = coordinate_from(_number(match["first"]), _number(match["second"]))
        if found is not None:
            readings.append(Reading(found[0], match.start(), found[1]))
    readings.sort(key=lambda reading: reading.at)
    kept: list[Reading] = []
    for reading in readings:
        # The same place in two notations is one reading.
        if all(reading.coordinate.distance_km(other.coordinate) > 1.0 for other in kept[-4:]):
            kept.append(reading)
    return kept


def _labelled(text: str) -> list[Reading]:
    """`lat 48.85 … lon 2.35`, in either order."""
    found: list[Reading] = []
    waiting: tuple[str, float, int] | None = None
    for match in _LABELLED.finditer(text):
        kind = "lat" if match["name"].lower().startswith("lat") else "lon"
        value = _number(match["number"])
        if match["after"]:
            value, _ = _signed(abs(value), match["after"].upper())
        if waiting is not None and waiting[0] != kind and match.start() - waiting[2] < 200:
            lat, lon = (waiting[1], value) if kind == "lon" else (value, waiting[1])
            pair = coordinate_from(lat, lon)
            if pair is not None:
                found.append(Reading(pair[0], waiting[2], pair[1]))
            waiting = None
        else:
            waiting = (kind, value, match.start())
    return found


def _paired(text: str, pattern: re.Pattern[str]) -> list[Reading]:
    """Two angles beside each other, told apart by their letters or else by their order."""
    found: list[Reading] = []
    waiting: tuple[float, str, int, int] | None = None
    for match in pattern.finditer(text):
        if pattern is _ANGLE:
            read = _degrees(match)
        else:
            letter = match["before"] or match["after"]
            read = _signed(float(match["first"] or match["second"]), letter.upper())
        if read is None:
            waiting = None
            continue
        value, kind = read
        if waiting is not None and match.start() - waiting[3] <= 12 and waiting[1] != (kind or "?"):
            is_reversed = waiting[1] == "lon" or kind == "lat"
            lat, lon = (value, waiting[0]) if is_reversed else (waiting[0], value)
            pair = coordinate_from(lat, lon)
            if pair is not None:
                found.append(Reading(pair[0], waiting[2], pair[1]))
            waiting = None
        else:
            waiting = (value, kind, match.start(), match.end())
    return found


def _degrees(match: re.Match[str]) -> tuple[float, str] | None:
    degrees = _number(match["degrees"])
    minutes, seconds = (_number(match[name] or "0") for name in ("minutes", "seconds"))
    if minutes >= 60.0 or seconds >= 60.0:
        return None
    size = abs(degrees) + minutes / 60.0 + seconds / 3600.0
    letter = (match["before"] or match["after"] or "").strip().upper()[:1]
    if letter:
        return _signed(size, letter)
    return math.copysign(size, degrees), ""


def _signed(size: float, letter: str) -> tuple[float, str]:
    return (-size if letter in "SW" else size), ("lat" if letter in "NS" else "lon")


def _number(text: str) -> float:
    """A number with any of the minus signs that models write, and a decimal point or comma."""
    return float(text.strip().replace("−", "-").replace("–", "-").replace(",", "."))
