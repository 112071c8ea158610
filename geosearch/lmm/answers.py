"""What a model's reply says: an answer, a refusal, or nothing that can be read.

A failure is never a coordinate: (0, 0), which models write for "unknown", is a refusal. Replies are
untrusted text of any length; the time to read one is linear in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from geosearch.geo import Coordinate
from geosearch.lmm.notation import coordinate_from, find_coordinates, read_angle, read_pair

MAX_CHARACTERS = 32_768
"""So much is read of the beginning and of the end of a longer reply."""

MAX_WORDS = 2_000
_MAX_DEPTH = 5
_MAX_OBJECTS = 64

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "can_locate": {"type": "boolean"},
        "latitude": {"type": "number"},
        "longitude": {"type": "number"},
        "place": {"type": "string"},
    },
    "required": ["reasoning", "can_locate", "latitude", "longitude", "place"],
    "additionalProperties": False,
}
"""The reply that is asked for. Reasons come first: what is written last can rest on them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A coordinate that a model proposes, the place in its words, and why."""

    coordinate: Coordinate
    place: str = ""
    reasoning: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model says that it cannot or will not answer, and why.

    `by_policy` tells that a content policy stopped it and not the photo.
    """

    reason: str
    by_policy: bool = False


@dataclass(frozen=True, slots=True)
class Unparsable:
    """A reply without a coordinate that can be relied on.

    Args:
        reason: what is wrong with it, in words that a repair turn can use.
        digest: sha256 (hex) of the reply, for logs; the text itself is not kept.
    """

    reason: str
    digest: str


Outcome: TypeAlias = Answer | Refusal | Unparsable

_LATITUDES = ("latitude", "lat")
_LONGITUDES = ("longitude", "lon", "lng", "long")
_INSIDE = ("coordinates", "coordinate", "location", "answer", "result", "prediction", "gps",
           "position", "best", "guess", "point", "final_answer")  # fmt: skip
_EMPTY = "the coordinate is left empty"
_LISTS = ("candidates", "answers", "predictions", "guesses", "locations", "results")
_REFUSES = re.compile(
    r"\b(?:can(?:no|')?t|cannot|can not|could not|couldn['’]t|unable|not able|not possible|"
    r"impossible|won['’]t|will not|sorry|apologi[sz]e|decline|not comfortable|no idea|"
    r"(?:do|does) not (?:know|contain|provide|show)|don['’]t know|insufficient|refuse|unknown)\b"
    r"|can['’]t",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"\b(?:final(?: answer)?|best (?:guess|estimate|answer)|most likely|my (?:answer|guess)|"
    r"answer|conclusion|therefore)\b",
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def parse_reply(text: str) -> Outcome:
    """Read a model's reply, whatever is around the answer: fences, prose, other objects.

    Of several objects with a coordinate the last counts, of a list in one object the most
    confident or else the first; of several coordinates in prose the one called the answer.
    """
    shown = _shortened(text)
    documents = list(_objects(shown))
    answers = [found for found in map(_from_document, documents) if isinstance(found, Answer)]
    if answers:
        return answers[-1]
    for document in reversed(documents):
        said = _from_document(document)
        if isinstance(said, str):
            return Unparsable(said, _digest(text))
        if said is not None:
            return said
    return _from_prose(shown, text)


def clean_words(text: object, limit: int = MAX_WORDS) -> str:
    """A model's words without control characters, on one line, cut to `limit` characters."""
    words = _UNPRINTABLE.sub("", text[: 2 * limit] if isinstance(text, str) else "")
    return " ".join(words.split())[:limit]


def _from_document(document: Any, depth: int = 0) -> Answer | Refusal | str | None:
    """What an object says; a string says why its coordinate is none, None that it has none."""
    if isinstance(document, list):
        return _from_list(document, depth)
    if not isinstance(document, Mapping) or depth > _MAX_DEPTH:
        return None
    fields = {str(name).strip().lower(): value for name, value in document.items()}
    words = clean_words(
        fields.get("reasoning") or fields.get("reason") or fields.get("explanation")
    )
    place = clean_words(fields.get("place") or fields.get("location_name"), 200)
    if fields.get("can_locate") is False or "refusal" in fields:
        return Refusal(words or clean_words(fields.get("refusal")) or "it says it cannot locate it")
    read = _read_fields(fields)
    if read is None:
        for name in _LISTS + _INSIDE:
            inner = fields.get(name)
            if isinstance(inner, Mapping | list):
                found = _from_document(inner, depth + 1)
                if isinstance(found, Answer):
                    return Answer(
                        found.coordinate,
                        found.place or place,
                        found.reasoning or words,
                        found.notes,
                    )
                if found is not None:
                    return found
        return None
    if read == _EMPTY:
        return Refusal(words or "it left the coordinate empty")
    if isinstance(read, str):
        return read
    coordinate, was_swapped = read
    return _answer(coordinate, was_swapped, place=place, words=words)


def _from_list(items: list[Any], depth: int) -> Answer | Refusal | str | None:
    best: Answer | None = None
    best_confidence, other = float("-inf"), None
    for item in items[:_MAX_OBJECTS]:
        found = _from_document(item, depth + 1)
        if isinstance(found, Answer):
            confidence = _confidence(item)
            if best is None or confidence > best_confidence:
                best, best_confidence = found, confidence
        elif found is not None and other is None:
            other = found
    return best if best is not None else other


def _read_fields(fields: Mapping[str, Any]) -> tuple[Coordinate, bool] | str | None:
    """The coordinate of an object; what is wrong with it, or `_EMPTY` if it is left out."""
    lat_name = next((name for name in _LATITUDES if name in fields), None)
    lon_name = next((name for name in _LONGITUDES if name in fields), None)
    if lat_name is not None and lon_name is not None:
        lat, lon = fields[lat_name], fields[lon_name]
        if _is_empty(lat) or _is_empty(lon):
            return _EMPTY
        return _read_two(lat, lon)
    for name in _INSIDE:
        value = fields.get(name)
        if isinstance(value, str):
            pair = read_pair(value)
            if pair is not None:
                return pair
        if isinstance(value, list) and len(value) == 2 and not isinstance(value[0], Mapping):
            # GeoJSON writes longitude first; everything else that models write does not.
            first, second = value if fields.get("type") != "Point" else reversed(value)
            return _read_two(first, second)
    return None


def _read_two(lat: Any, lon: Any) -> tuple[Coordinate, bool] | str:
    first, second = _read_number(lat), _read_number(lon)
    if first is None or second is None:
        given = f"{clean_words(str(lat), 40)!r} and longitude {clean_words(str(lon), 40)!r}"
        return f"latitude {given} are no numbers"
    if first[1] == "lon" or second[1] == "lat":
        first, second = second, first
    found = coordinate_from(first[0], second[0])
    if found is None:
        return f"latitude {first[0]:g} and longitude {second[0]:g} are no place on Earth"
    return found


def _read_number(value: Any) -> tuple[float, str] | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        return read_angle(value)
    try:
        return float(value), ""
    except OverflowError:
        return None


def _from_prose(shown: str, text: str) -> Outcome:
    alone = read_pair(shown.strip().strip("`*").strip()) if len(shown) < 200 else None
    if alone is not None:
        return _answer(*alone)
    found = find_coordinates(shown)
    if len(found) > 1:
        marks = [match.start() for match in _FINAL.finditer(shown)]
        after = [reading for reading in found if marks and reading.at >= marks[-1]]
        found = after[:1] or found
    if len(found) == 1:
        return _answer(found[0].coordinate, found[0].was_swapped, words=clean_words(shown))
    if found:
        return Unparsable(
            f"it names {len(found)} different coordinates and says of none that it is the answer",
            _digest(text),
        )
    if _REFUSES.search(shown):
        return Refusal(clean_words(shown, 300))
    reason = "it is empty" if not shown.strip() else "it has no coordinate"
    return Unparsable(reason, _digest(text))


def _answer(
    coordinate: Coordinate, was_swapped: bool, *, place: str = "", words: str = ""
) -> Answer | Refusal:
    if coordinate.lat == 0.0 and coordinate.lon == 0.0:
        return Refusal(words or "it gave (0, 0), which stands for an unknown place")
    notes = ("latitude and longitude were exchanged",) if was_swapped else ()
    return Answer(coordinate, place, words, notes)


def _objects(text: str) -> Iterator[Any]:
    """The JSON objects and lists at the outermost level of a text, in linear time.

    Brackets are matched by one pass of a stack; of a text with unmatched ones, the pieces that do
    match are tried. Each character is parsed once.
    """
    found = 0
    for start, end in _balanced(text):
        try:
            yield json.loads(text[start:end])
        except (ValueError, RecursionError):
            continue
        found += 1
        if found >= _MAX_OBJECTS:
            return


def _balanced(text: str) -> list[tuple[int, int]]:
    """Spans of balanced braces and brackets that lie in no other, outside of JSON strings."""
    spans: list[tuple[int, int]] = []
    stack: list[tuple[str, int]] = []
    in_string = is_escaped = False
    for at, character in enumerate(text):
        if in_string:
            # No JSON string holds a line break: an odd quote in prose ends with its line.
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character in '"\n':
                in_string = False
        elif character == '"' and stack:
            in_string = True
        elif character in "{[":
            stack.append((character, at))
        elif character in "}]" and stack:
            opening = "{" if character == "}" else "["
            while stack and stack[-1][0] != opening:
                stack.pop()  # left open, as in broken JSON
            if stack:
                start = stack.pop()[1]
                while spans and spans[-1][0] >= start:
                    spans.pop()
                spans.append((start, at + 1))
    return spans


def _is_empty(value: Any) -> bool:
    return value is None or (
        isinstance(value, str)
        and value.strip().lower() in ("", "null", "none", "unknown", "n/a", "nan")
    )


def _confidence(item: Any) -> float:
    value = item.get("confidence", item.get("probability")) if isinstance(item, Mapping) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6:
        return float(value)
    return float("-inf")


def _shortened(text: str) -> str:
    if len(text) <= 2 * MAX_CHARACTERS:
        return text
    return text[:MAX_CHARACTERS] + "\n\n" + text[-MAX_CHARACTERS:]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
