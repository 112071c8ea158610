"""The page and the documentation: HTML files, their assets, and the few settings needed."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response

from geosearch.settings import Settings


def page_routes(static: Path, settings: Settings) -> APIRouter:
    """Routes of the page in a folder."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def page() -> Response:
        return FileResponse(static / "index.html", media_type="text/html")

    @router.get("/docs")
    def documentation() -> Response:
        return FileResponse(static / "docs.html", media_type="text/html")

    @router.get("/page.json")
    def configuration() -> Response:
        return JSONResponse(
            {"tile_url": settings.tile_url, "tile_attribution": settings.tile_attribution or ""}
        )

    return router
