"""Errors as problem documents (RFC 9457): what was given, what is allowed, what to do next."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from geosearch.api.answers import public_words
from geosearch.errors import (
    ConfigError,
    GeosearchError,
    InvalidInput,
    LabelRefused,
    StorageFull,
    UnknownPhoto,
)

logger = logging.getLogger(__name__)

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    status: {
        "description": HTTPStatus(status).phrase,
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status", "detail"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "error": {
                            "type": "string",
                            "description": "The kind of error, as Python's clients raise it.",
                        },
                    },
                }
            }
        },
    }
    for status in (400, 401, 403, 404, 408, 409, 410, 411, 413, 421, 422, 429, 500, 503, 507)
}
"""What any operation may answer instead, for the OpenAPI document."""


def problem(
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
    *,
    error: Exception | None = None,
) -> JSONResponse:
    """A problem document; `error` of ours is named in it, so that a client can raise the same."""
    return JSONResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        }
        | ({} if error is None else {"error": type(error).__name__}),
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


def public_error(error: Exception) -> tuple[int, str]:
    """The status of an error of ours, and its words for whoever asked.

    What engines say of themselves is for the log: it may name files and machines.
    """
    if isinstance(error, UnknownPhoto):
        return 404, str(error)
    if isinstance(error, LabelRefused):
        return 409, str(error)
    if isinstance(error, InvalidInput | ConfigError):
        return 422, public_words(str(error))
    if isinstance(error, StorageFull):
        return 507, "the server's disk has no room left"
    return 503, "the server's engines do not answer"


def add_handlers(app: FastAPI) -> None:
    """Turn every kind of error into a problem document."""

    def ours(request: Request, error: Exception) -> JSONResponse:
        status, detail = public_error(error)
        if status >= 500:
            logger.error("%s %s: %s", request.method, request.url.path, error)
        later = {"Retry-After": "5"} if status == 503 else None
        return problem(status, detail, later, error=error)

    def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem(422, f"{where}: {first['msg']}")

    app.add_exception_handler(GeosearchError, ours)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
