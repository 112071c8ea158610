"""POST /v1/locate, with the steps as they happen, and answers that a link opens again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, TypedDict

from fastapi import APIRouter, File, Form, HTTPException, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from geosearch import exports
from geosearch.api.answers import (
    EVENTS,
    Document,
    prediction_answer,
    public_prediction,
    public_step,
    public_words,
    step_document,
)
from geosearch.api.bodies import NO_NUL, ONE_LINE
from geosearch.api.filters import MOST_CHARACTERS, read_area_criteria
from geosearch.api.jobs import ACCEPTED, accepted
from geosearch.api.names import safe_name
from geosearch.api.pictures import JPEG, picture
from geosearch.api.problems import public_error
from geosearch.api.shared import KeptAnswer, Shared, SharedState
from geosearch.api.uploads import GONE
from geosearch.catalogue.jobs import Job
from geosearch.client.wishes import LmmWishes
from geosearch.criteria import Criteria
from geosearch.errors import ConfigError, GeosearchError, UnreadableImage
from geosearch.lmm.prompts import MAX_HINT
from geosearch.records import Step
from geosearch.results import LocatedPhoto
from geosearch.store.filters import Filter

_Said: TypeAlias = Step | LocatedPhoto | Exception

logger = logging.getLogger(__name__)

router = APIRouter(tags=["locate"])

MOST_FILES = 64
"""Photos of one request."""


class Wishes(TypedDict):
    """How a large multimodal model is to help."""

    model: str | None
    no_lmm: bool
    hint: str | None


@dataclass(frozen=True, slots=True)
class _Compared:
    """Which photos of the collection count: as a filter, and as JSON that `Criteria.of` reads."""

    where: Filter | None
    document: Document


@dataclass(frozen=True, slots=True)
class _Asked:
    """A photo to be located at once, and how."""

    data: bytes
    name: str
    wishes: Wishes
    where: Filter | None


@router.post("/v1/locate", responses=ACCEPTED)
async def locate(
    request: Request,
    shared: SharedState,
    image: Annotated[list[UploadFile], File(description="The photo, or up to 64 of them.")],
    model: Annotated[
        str | None, Form(max_length=500, pattern=ONE_LINE, description="Model to ask.")
    ] = None,
    no_lmm: Annotated[bool, Form(description="Ask no large multimodal model.")] = False,
    hint: Annotated[
        str | None,
        Form(max_length=MAX_HINT, pattern=NO_NUL, description="What is known, for the model."),
    ] = None,
    where: Annotated[
        str,
        Form(
            max_length=MOST_CHARACTERS,
            description="Which photos are compared with, as JSON with the filters of a "
            "SearchQuery: `near` with `radius_km`, `bbox`, `within`, `country`, `since`, `until`, "
            "`dataset`, `author`; a model is told the area.",
        ),
    ] = "{}",
) -> Response:
    """Say where a photo was taken; many photos become a job: 202, its address in Location.

    With `where` only photos of the collection that match are compared with.

    Server-sent events for one photo if `Accept` is text/event-stream.

    Events are `step` for each step once it is done, then `prediction`, or `error`.
    """
    if len(image) > MOST_FILES:
        raise HTTPException(413, f"{len(image)} photos at once; send at most {MOST_FILES}")
    wishes: Wishes = {"model": model or None, "no_lmm": no_lmm, "hint": hint or None}
    compared = await run_in_threadpool(_compared, where)
    await run_in_threadpool(_check, shared, wishes)
    named = [(safe_name(one.filename), await one.read()) for one in image]
    if len(named) > 1:
        options = {**wishes, "where": compared.document}
        return accepted(await run_in_threadpool(shared.jobs.submit, "locate", named, options))
    [(name, data)] = named
    asked = _Asked(data, name, wishes, compared.where)
    if EVENTS in request.headers.get("accept", ""):
        await shared.locating.take()  # before the answer begins, so that it can still be refused
        return StreamingResponse(_events(shared, data, _working(shared, asked)), media_type=EVENTS)
    async with shared.locating.turn():
        return await run_in_threadpool(_answer, request, shared, asked)


def locate_job(shared: Shared, job: Job, files: Sequence[Path]) -> Generator[Sequence[Document]]:
    """Locate the photos of a job that are left, one by one."""
    wishes = dict(job.options)
    # Jobs of servers that did not know filters yet have none.
    where = Criteria.of(wishes.pop("where", {})).filter()
    for name, file in zip(job.names[len(job.names) - len(files) :], files, strict=True):
        try:
            data = file.read_bytes()
        except OSError:
            yield [{"image": name, "reason": GONE}]
            continue
        with shared.locating.patient_turn():
            located = shared.geosearch.locate_bytes(data, name=name, where=where, **wishes)
            prediction = public_prediction(located)
        yield [dict(exports.prediction_to_dict(prediction))]


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


def _compared(where: str) -> _Compared:
    """Polygons may have very many corners: not a thing for the event loop."""
    criteria = read_area_criteria(where, name="where")
    return _Compared(criteria.filter(), criteria.document())


def _check(shared: Shared, wishes: Wishes) -> None:
    """Make sure that the model can be asked; where lmm.yaml lies is nobody's business."""
    try:
        shared.geosearch.check_lmm(LmmWishes(**wishes))
    except ConfigError as error:
        raise HTTPException(422, public_words(str(error))) from error


def _answer(request: Request, shared: Shared, asked: _Asked) -> Response:
    located = shared.geosearch.locate_bytes(
        asked.data, name=asked.name, where=asked.where, **asked.wishes
    )
    prediction = public_prediction(located)
    return prediction_answer(request, prediction, {"id": _keep(shared, prediction, asked.data)})


def _kept(shared: Shared, name: str) -> KeptAnswer:
    kept = shared.answer(name)
    if kept is None:
        raise HTTPException(404, "this answer is no longer kept; locate the photo again")
    return kept


def _keep(shared: Shared, prediction: LocatedPhoto, data: bytes) -> str:
    try:
        small = picture(data, 1024, max_pixels=shared.geosearch.services.settings.max_pixels)
    except UnreadableImage:
        small = None
    return shared.keep(KeptAnswer(prediction, small, hashlib.sha256(data).hexdigest()))


def _working(shared: Shared, asked: _Asked) -> asyncio.Queue[_Said]:
    """Begin to locate in a thread; what it says, each step as it is done, the answer last.

    The turn that it holds ends with it, whether or not anybody still listens.
    """
    loop = asyncio.get_running_loop()
    said: asyncio.Queue[_Said] = asyncio.Queue()

    def say(one: _Said) -> None:
        loop.call_soon_threadsafe(said.put_nowait, one)

    def work() -> None:
        try:
            say(
                shared.geosearch.locate_bytes(
                    asked.data, name=asked.name, where=asked.where, on_step=say, **asked.wishes
                )
            )
        except Exception as error:  # whoever listens raises it; without a word they would wait on
            say(error)
        finally:
            shared.locating.give_back()

    loop.run_in_executor(None, work)
    return said


async def _events(shared: Shared, data: bytes, said: asyncio.Queue[_Said]) -> AsyncIterator[str]:
    while isinstance(one := await said.get(), Step):
        yield _event("step", step_document(public_step(one)))
    if isinstance(one, GeosearchError):
        status, detail = public_error(one)
        if status != 422:
            logger.error("POST /v1/locate: %s", one)
        yield _event("error", {"detail": detail})
    elif isinstance(one, Exception):
        raise one
    else:
        prediction = public_prediction(one)
        kept = await run_in_threadpool(_keep, shared, prediction, data)
        yield _event("prediction", exports.prediction_to_dict(prediction) | {"id": kept})


def _event(kind: str, document: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(document, allow_nan=False)}\n\n"
