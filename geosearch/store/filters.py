"""The words in which photos are asked for: place, time, data set, and their combinations.

Each filter is a value; `to_qdrant` builds what both stores send to the engine, `matches` says what
it must find. How an area is put to the engine is in `conditions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from geosearch.areas import Area
from geosearch.errors import InvalidInput
from geosearch.store.conditions import area_conditions
from geosearch.store.payload import PointPayload, stored_moment


@dataclass(frozen=True, slots=True)
class Within:
    """Photos taken in an area, its edge included."""

    area: Area


@dataclass(frozen=True, slots=True)
class Country:
    """Photos taken in a country, by its ISO 3166-1 alpha-2 code.

    Raises:
        InvalidInput: the code is not two letters.
    """

    code: str

    def __post_init__(self) -> None:
        code = self.code.strip().upper()
        if not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise InvalidInput(f"{self.code!r} is not a country; give two letters, as in SE or JP")
        object.__setattr__(self, "code", code)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Photos taken from `since` on and before `until`; either end may be open.

    A photo without a time matches no span.

    Raises:
        InvalidInput: both ends are open, an end has no time zone, or nothing lies between them.
    """

    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        ends = [moment for moment in (self.since, self.until) if moment is not None]
        if not ends:
            raise InvalidInput("a time span needs a beginning, an end or both")
        for moment in ends:
            if moment.utcoffset() is None:
                raise InvalidInput(f"{moment} has no time zone; attach one, as in {moment}+00:00")
        if len(ends) == 2 and ends[0] >= ends[1]:
            raise InvalidInput(f"nothing is from {ends[0]} on and before {ends[1]}; swap the two")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Photos of one data set, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Author:
    """Photos by one photographer, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class And:
    """Photos that match every one of the filters; at least one must be given."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _some(self.parts, "And"))


@dataclass(frozen=True, slots=True)
class Or:
    """Photos that match at least one of the filters; at least one must be given."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _some(self.parts, "Or"))


@dataclass(frozen=True, slots=True)
class Not:
    """Photos that do not match; one without a time is not in any time span."""

    part: Filter


Filter: TypeAlias = Within | Country | TimeSpan | Dataset | Author | And | Or | Not
"""Anything that a store can be asked for."""


def all_of(*filters: Filter | None) -> Filter | None:
    """The filters combined with And; those that are None ask for nothing, and so may the result."""
    given = tuple(part for part in filters if part is not None)
    if not given:
        return None
    return given[0] if len(given) == 1 else And(given)


def within_any(areas: Iterable[Area]) -> Filter:
    """Photos in at least one of the areas.

    Raises:
        InvalidInput: no area is given.
    """
    return Or(tuple(Within(area) for area in areas))


def to_qdrant(where: Filter) -> dict[str, Any]:
    """A filter as Qdrant's REST API writes it: an object of must, should and must_not."""
    match where:
        case Within(area):
            conditions = area_conditions(area)
            is_clause = len(conditions) == 1 and "key" not in conditions[0]
            return conditions[0] if is_clause else {"should": conditions}
        case And(parts):
            return {"must": [to_qdrant(part) for part in parts]}
        case Or(parts):
            return {"should": [to_qdrant(part) for part in parts]}
        case Not(part):
            return {"must_not": [to_qdrant(part)]}
        case TimeSpan(since, until):
            ends = {"gte": since, "lt": until}
            written = {name: stored_moment(end) for name, end in ends.items() if end is not None}
            return {"must": [{"key": "captured_at", "range": written}]}
        case Country(value):
            return {"must": [{"key": "country", "match": {"value": value}}]}
        case Dataset(value):
            return {"must": [{"key": "dataset", "match": {"value": value}}]}
        case Author(value):
            return {"must": [{"key": "author", "match": {"value": value}}]}


def matches(where: Filter | None, payloads: Sequence[PointPayload]) -> NDArray[np.bool_]:
    """Which payloads (n,) a filter matches, (n,) bool: the definition that stores are held to."""
    n = len(payloads)
    match where:
        case None:
            return np.ones(n, dtype=np.bool_)
        case Within(area):
            places = [payload.coordinate for payload in payloads]
            return area.contains([place.lat for place in places], [place.lon for place in places])
        case And(parts):
            return _all(matches(part, payloads) for part in parts)
        case Or(parts):
            return ~_all(~matches(part, payloads) for part in parts)
        case Not(part):
            return ~matches(part, payloads)
        case TimeSpan(since, until):
            moments = [payload.captured_at for payload in payloads]
            return _each(
                moment is not None
                and (since is None or since <= moment)
                and (until is None or moment < until)
                for moment in moments
            )
        case Country(value):
            return _each(payload.country == value for payload in payloads)
        case Dataset(value):
            return _each(payload.dataset == value for payload in payloads)
        case Author(value):
            return _each(payload.author == value for payload in payloads)


def _all(claims: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return reduce(np.logical_and, claims)


def _each(claims: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(claims, dtype=np.bool_)


def _some(parts: Iterable[Filter], name: str) -> tuple[Filter, ...]:
    """The parts as a tuple; an engine reads an empty Or as everything, so there is none."""
    given = tuple(parts)
    if not given:
        raise InvalidInput(f"{name} of no filters asks for nothing; give at least one")
    return given
