"""Errors as problem documents (RFC 9457): what was given, what is allowed, what to do next."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from geosearch.errors import ConfigError, GeosearchError, InvalidInput, StorageFull

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
                    },
                }
            }
        },
    }
    for status in (400, 401, 403, 404, 408, 409, 410, 411, 413, 421, 422, 429, 503, 507)
}
"""What any operation may answer instead, for the OpenAPI document."""


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A problem document."""
    return JSONResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        },
        status_code=status,
        media_type="application/problem+json",
        headers=headers,
    )


def add_handlers(app: FastAPI) -> None:
    """Turn every kind of error into a problem document."""

    def ours(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, InvalidInput | ConfigError):
            return problem(422, str(error))
        logger.error("%s %s: %s", request.method, request.url.path, error)
        if isinstance(error, StorageFull):
            return problem(507, "the server's disk has no room left")
        return problem(503, "the server's engines do not answer", {"Retry-After": "5"})

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
