"""/v1/photos: list photos, show them, say where they belong, delete them."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from geosearch.api.answers import OR_GEOJSON, Document, photo_document, photos_answer
from geosearch.api.bodies import StrictRoute
from geosearch.api.pictures import JPEG, picture
from geosearch.api.shared import CHANGE_TURN, SHOW_TURN, Shared, SharedState
from geosearch.client import photos
from geosearch.errors import UnreadableImage
from geosearch.geo import Coordinate
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.sources import PhotoSource, SourceUnreadable, path_of
from geosearch.records import PhotoState

router = APIRouter(tags=["photos"], route_class=StrictRoute)

MOST_IDS = 100
"""Photos that are asked for by id at once: all must fit into the first line of a request."""

_ASK_FIRST = "private, no-cache"
"""Browsers keep pictures, and ask whether the photo is still there before they show one."""


class NewLabel(BaseModel):
    """A place given by hand, or accepted from a prediction; degrees."""

    model_config = ConfigDict(extra="forbid")

    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    label_source: Literal["manual", "predicted"] = "manual"


@router.get("/v1/photos", response_model=Document, responses=OR_GEOJSON)
def listing(
    request: Request,
    shared: SharedState,
    state: Annotated[list[PhotoState], Query(max_length=len(PhotoState))] = [PhotoState.INDEXED],  # noqa: B006
    limit: Annotated[int, Field(ge=1, le=1000)] = 100,
    cursor: UUID | None = None,
    ids: Annotated[list[UUID], Query(alias="id", max_length=MOST_IDS)] = [],  # noqa: B006
) -> Response:
    """Photos in a state, or in one of several, in order of id; JSON, or GeoJSON by `Accept`.

    With `id`, up to 100 times, only those of them that are there.
    """
    found = photos.page(shared.geosearch.services, state, ids=ids, after=cursor, limit=limit)
    more = str(found[-1].photo.id) if len(found) == limit else None
    return photos_answer(request, found, {"next": more})


@router.get("/v1/photos/{photo_id}")
def facts(shared: SharedState, photo_id: UUID) -> Document:
    """What is known of a photo."""
    return photo_document(shared.geosearch.photo(photo_id))


@router.patch("/v1/photos/{photo_id}", dependencies=[CHANGE_TURN])
def label(shared: SharedState, photo_id: UUID, new: NewLabel) -> Document:
    """Say where a photo was taken; whose word that is stays with it.

    A prediction never replaces a label that was measured or given by a person: 409.
    """
    place = Coordinate(new.lat, new.lon)
    return photo_document(shared.geosearch.relabel(photo_id, place, source=new.label_source))


@router.delete("/v1/photos/{photo_id}", status_code=204, dependencies=[CHANGE_TURN])
def delete(shared: SharedState, photo_id: UUID) -> Response:
    """Delete a photo from catalogue and index, and its file if it was uploaded here."""
    found = photos.recorded(shared.geosearch.services, photo_id)
    shared.forget(photo_id, found.sha256)
    shared.geosearch.delete_recorded(found)
    return Response(status_code=204)


@router.get(
    "/v1/photos/{photo_id}/image",
    response_class=Response,
    responses=JPEG,
    dependencies=[SHOW_TURN],
)
def image(request: Request, shared: SharedState, photo_id: UUID) -> Response:
    """The photo at most 2048 pixels wide and high, without metadata."""
    return _picture(request, shared, photo_id, 2048)


@router.get(
    "/v1/photos/{photo_id}/thumbnail",
    response_class=Response,
    responses=JPEG,
    dependencies=[SHOW_TURN],
)
def thumbnail(request: Request, shared: SharedState, photo_id: UUID) -> Response:
    """The photo at most 320 pixels wide and high, without metadata."""
    return _picture(request, shared, photo_id, 320)


def _picture(request: Request, shared: Shared, photo_id: UUID, edge_px: int) -> Response:
    services = shared.geosearch.services
    photo = photos.recorded(services, photo_id)
    tag = f'"{photo_id}-{edge_px}"'
    headers = {"Cache-Control": _ASK_FIRST, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    try:
        with PhotoReader(services.read_limits) as reader:
            content = reader.read(PhotoSource(photo.uri, path_of(photo.uri)))
        if content.sha256 != photo.sha256:
            raise HTTPException(410, "the file has changed since the photo was taken in")
        small = picture(content.data, edge_px, max_pixels=services.settings.max_pixels)
    except (SourceUnreadable, UnreadableImage):
        raise HTTPException(410, "the photo's file can no longer be read") from None
    return Response(small, media_type="image/jpeg", headers=headers)
