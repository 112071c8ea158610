"""POST /v1/search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geosearch.api.answers import public_result, search_answer
from geosearch.api.bodies import NO_NUL, ONE_LINE, strict_json
from geosearch.api.shared import SEARCH_TURN, SharedState
from geosearch.errors import InvalidInput

router = APIRouter(tags=["search"])

MOST = 10_000
"""Hits that can be paged through; who wants all photos exports the catalogue."""


class SearchQuery(BaseModel):
    """What is asked for, and where, when and among what to look; coordinates are [lat, lon]."""

    model_config = ConfigDict(extra="forbid")

    like: str | None = Field(None, max_length=64, description="Id of a photo of the collection.")
    text: str | None = Field(None, max_length=2000, pattern=NO_NUL)
    at: tuple[float, float] | None = None
    weights: dict[str, float] | None = None
    near: tuple[float, float] | None = None
    radius_km: float | None = None
    bbox: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north; west > east crosses ±180."
    )
    within: dict[str, Any] | None = Field(None, description="GeoJSON with polygons.")
    country: str | None = Field(None, max_length=2)
    since: str | None = Field(None, max_length=40)
    until: str | None = Field(None, max_length=40)
    dataset: str | None = Field(None, max_length=500, pattern=ONE_LINE)
    author: str | None = Field(None, max_length=500, pattern=ONE_LINE)
    diverse: bool = False
    limit: int = Field(20, ge=1, le=1000)
    cursor: str | None = Field(None, max_length=20, pattern=r"^[0-9]+$")


@router.post("/v1/search", dependencies=[SEARCH_TURN])
def search(
    request: Request,
    shared: SharedState,
    query: Annotated[str, Form(description="A SearchQuery as JSON.", max_length=1_000_000)] = "{}",
    image: Annotated[UploadFile | None, File(description="Find photos like this.")] = None,
) -> Response:
    """Find photos by look, words and place; as JSON, GeoJSON, KML or CSV by `Accept`."""
    try:
        asked = SearchQuery.model_validate(strict_json(query))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "query"
        raise InvalidInput(f"{where}: {first['msg']}") from None
    start = int(asked.cursor or 0)
    end = start + asked.limit
    if end > MOST:
        raise InvalidInput(f"only the first {MOST:,} hits can be paged through; narrow the search")
    options = asked.model_dump(exclude={"limit", "cursor"})
    data = None if image is None else image.file.read()
    found = public_result(shared.geosearch.search(image=data, **options, k=end))
    page = type(found)(found.hits[start:], found.matched, found.plan, found.seconds, found.encoder)
    more = str(end) if len(found.hits) == end < min(found.matched, MOST) else None
    return search_answer(request, page, {"next": more})
