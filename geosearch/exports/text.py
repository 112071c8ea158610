"""Values from outside made safe to write: captions, paths and attributes can hold anything."""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime
from enum import Enum
from typing import TypeAlias

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

# All that XML 1.0 (fifth edition, production 2) forbids; a lone surrogate cannot be UTF-8 either.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """Text with control characters and lone surrogates as U+FFFD; tabs and line ends stay."""
    return _NOT_XML.sub("\ufffd", text)


def json_value(value: object) -> JsonValue:
    """A value as JSON can hold it: dates in ISO 8601, enums by value, NaN and infinity as null."""
    if isinstance(value, Enum):
        return json_value(value.value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): json_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(member) for member in value]
    # A path with undecodable bytes carries lone surrogates, which no UTF-8 file can hold.
    return _SURROGATES.sub("\ufffd", str(value))


def dump(document: object, *, indent: int | None = 2) -> str:
    """One JSON document, names readable in their own script."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
