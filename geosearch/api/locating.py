"""POST /v1/locate, with the steps as they happen, and answers that a link opens again."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, File, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse

from geosearch import exports
from geosearch.api.answers import (
    EVENTS,
    file_name,
    prediction_answer,
    public_prediction,
    public_step,
    step_document,
)
from geosearch.api.jobs import job_document
from geosearch.api.pictures import JPEG, picture
from geosearch.api.shared import KeptAnswer, Shared, SharedState
from geosearch.errors import GeosearchError, UnreadableImage
from geosearch.records import Step
from geosearch.results import LocatedPhoto

router = APIRouter(tags=["locate"])

MOST_FILES = 64
"""Photos of one request."""


@router.post("/v1/locate", responses={202: {"description": "A job."}})
def locate(
    request: Request,
    shared: SharedState,
    image: Annotated[list[UploadFile], File(description="The photo, or up to 64 of them.")],
) -> Response:
    """Say where a photo was taken; many photos become a job: 202, its address in Location.

    Server-sent events for one photo if `Accept` is text/event-stream.

    Events are `step` for each step once it is done, then `prediction`, or `error`.
    """
    if len(image) > MOST_FILES:
        raise HTTPException(413, f"{len(image)} photos at once; send at most {MOST_FILES}")
    named = [(file_name(one.filename or "photo"), one.file.read()) for one in image]
    if len(named) > 1:
        job = shared.jobs.submit(named)
        return JSONResponse(
            job_document(job), status_code=202, headers={"Location": f"/v1/jobs/{job.id}"}
        )
    [(name, data)] = named
    if EVENTS in request.headers.get("accept", ""):
        return StreamingResponse(_events(shared, data, name), media_type=EVENTS)
    with shared.turns.turn():
        prediction = public_prediction(shared.geosearch.locate_bytes(data, name=name))
    return prediction_answer(request, prediction, {"id": _keep(shared, prediction, data)})


@router.get("/v1/located/{name}")
def located(request: Request, shared: SharedState, name: str) -> Response:
    """An answer again: as JSON, GeoJSON, KML or CSV by `Accept`."""
    return prediction_answer(request, _kept(shared, name).prediction, {"id": name})


@router.get("/v1/located/{name}/image", response_class=Response, responses=JPEG)
def located_image(shared: SharedState, name: str) -> Response:
    """The photo of an answer, small and without metadata."""
    kept = _kept(shared, name)
    if kept.picture is None:
        raise HTTPException(404, "the photo of this answer cannot be shown")
    return Response(kept.picture, media_type="image/jpeg")


def _kept(shared: Shared, name: str) -> KeptAnswer:
    kept = shared.answer(name)
    if kept is None:
        raise HTTPException(404, "this answer is no longer kept; locate the photo again")
    return kept


def _keep(shared: Shared, prediction: LocatedPhoto, data: bytes) -> str:
    try:
        small = picture(data, 1024)
    except UnreadableImage:
        small = None
    return shared.keep(KeptAnswer(prediction, small))


def _events(shared: Shared, data: bytes, name: str) -> Iterator[str]:
    """The work is done in a thread of its own, so that each step leaves when it is done."""
    said: queue.SimpleQueue[Step | LocatedPhoto | GeosearchError] = queue.SimpleQueue()

    def work() -> None:
        try:
            said.put(shared.geosearch.locate_bytes(data, name=name, on_step=said.put))
        except GeosearchError as error:
            said.put(error)

    thread = threading.Thread(target=work, name="locate")
    thread.start()
    try:
        while isinstance(one := said.get(), Step):
            yield _event("step", step_document(public_step(one)))
        if isinstance(one, GeosearchError):
            yield _event("error", {"detail": str(one)})
        else:
            prediction = public_prediction(one)
            document = exports.prediction_to_dict(prediction)
            yield _event("prediction", document | {"id": _keep(shared, prediction, data)})
    finally:
        thread.join()


def _event(kind: str, document: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(document, allow_nan=False)}\n\n"
