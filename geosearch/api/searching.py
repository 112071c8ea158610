"""POST /v1/search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response
from pydantic import Field

from geosearch.api.answers import public_result, search_answer
from geosearch.api.bodies import NO_NUL
from geosearch.api.filters import MOST_CHARACTERS, FilterFields, read_field
from geosearch.api.shared import SEARCH_TURN, SharedState
from geosearch.errors import InvalidInput

router = APIRouter(tags=["search"])

MOST = 10_000
"""Hits that can be paged through; who wants all photos exports the catalogue."""


class SearchQuery(FilterFields):
    """What is asked for, and where, when and among what to look; coordinates are [lat, lon]."""

    like: str | None = Field(None, max_length=64, description="Id of a photo of the collection.")
    text: str | None = Field(None, max_length=2000, pattern=NO_NUL)
    at: tuple[float, float] | None = None
    weights: dict[str, float] | None = None
    diverse: bool = False
    limit: int = Field(20, ge=1, le=1000)
    cursor: str | None = Field(None, max_length=20, pattern=r"^[0-9]+$")


@router.post("/v1/search", dependencies=[SEARCH_TURN])
def search(
    request: Request,
    shared: SharedState,
    query: Annotated[
        str, Form(description="A SearchQuery as JSON.", max_length=MOST_CHARACTERS)
    ] = "{}",
    image: Annotated[UploadFile | None, File(description="Find photos like this.")] = None,
) -> Response:
    """Find photos by look, words and place; as JSON, GeoJSON, KML or CSV by `Accept`."""
    asked = read_field(SearchQuery, query, name="query")
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
