"""JSON from outside: finite numbers, names that are given once, no depth that breaks the parser."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from geosearch.errors import InvalidInput

ONE_LINE = r"^[^\x00-\x1f\x7f]*$"
"""Pattern of names: no line ends, which headers and terminals would obey, and no NUL."""

NO_NUL = r"^[^\x00]*$"
"""Pattern of texts: PostgreSQL holds no NUL."""


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def strict_json(text: str | bytes) -> Any:
    """A JSON document.

    Raises:
        InvalidInput: not JSON as RFC 8259 has it (NaN and Infinity are not), a number that no float
            holds, half a character, a name twice in one object, or nested too deeply.
    """
    try:
        document = json.loads(
            text,
            object_pairs_hook=_named_once,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        if _SURROGATE.search(text if isinstance(text, str) else text.decode(errors="replace")):
            json.dumps(document, ensure_ascii=False).encode()  # half a character cannot be written
        return document
    except RecursionError:
        raise InvalidInput("the JSON is nested too deeply; nothing here needs 100 levels") from None
    except ValueError as error:  # what json says of itself, and our own words below
        raise InvalidInput(f"this is not JSON as it is taken here: {error}") from None


class StrictRoute(APIRoute):
    """A route whose JSON body is read by `strict_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given requests that read their body strictly."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        try:
            return strict_json(await self.body())
        except InvalidInput as error:
            raise HTTPException(422, str(error)) from None


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:60]!r} is given twice in one object")
        found[name] = value
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:60]} is larger than any number")
    return number
