"""/v1/jobs: how far work is that outlives its request, and what comes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from geosearch.api.answers import EVENTS, Document
from geosearch.api.runner import JobRunner
from geosearch.api.shared import SharedState
from geosearch.catalogue.jobs import Job

KEEPALIVE_S = 15.0

EVENT_NAMES = {"locate": "prediction", "ingest": "photo"}
"""What an event is called that brings one answer of a job, by the kind of the job."""

ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "A job.",
        "headers": {"Location": {"description": "Its address.", "schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
"""For the OpenAPI document: what `accepted` answers."""

router = APIRouter(tags=["jobs"])


@router.get("/v1/jobs/{job_id}")
def job(shared: SharedState, job_id: UUID) -> Document:
    """How far a job is, and its answers so far, in the order of the photos."""
    return job_document(_found(shared.jobs, job_id))


@router.get(
    "/v1/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {EVENTS: {"schema": {"type": "string"}}}},
    },
)
async def job_events(shared: SharedState, job_id: UUID) -> StreamingResponse:
    """`prediction` or `photo` for each photo once it is done, then `done` or `failed`."""
    await run_in_threadpool(_found, shared.jobs, job_id)
    return StreamingResponse(_events(shared.jobs, job_id), media_type=EVENTS)


def accepted(one: Job) -> JSONResponse:
    """The answer to a request that became a job."""
    return JSONResponse(
        job_document(one), status_code=202, headers={"Location": f"/v1/jobs/{one.id}"}
    )


def job_document(one: Job) -> Document:
    """A job as JSON."""
    return {
        "id": str(one.id),
        "kind": one.kind,
        "state": one.state,
        "photos": len(one.names),
        "done": len(one.results),
        "results": list(one.results),
        "error": one.error,
        "created_at": one.created_at.isoformat(),
        "finished_at": None if one.finished_at is None else one.finished_at.isoformat(),
    }


def _found(jobs: JobRunner, job_id: UUID) -> Job:
    found = jobs.record.get(job_id)
    if found is None:
        raise HTTPException(404, f"there is no job {job_id}")
    return found


async def _events(jobs: JobRunner, job_id: UUID) -> AsyncIterator[str]:
    """Waits in the event loop: who watches holds no thread that others need."""
    told = 0
    with jobs.watching() as changed:
        while True:
            changed.clear()  # before the record is read: what comes later wakes us again
            current = await run_in_threadpool(_found, jobs, job_id)
            for result in current.results[told:]:
                yield f"event: {EVENT_NAMES[current.kind]}\ndata: {json.dumps(result)}\n\n"
            told = len(current.results)
            if current.state != "queued":
                yield f"event: {current.state}\ndata: {json.dumps({'error': current.error})}\n\n"
                return
            if jobs.is_stopped:
                return
            try:
                async with asyncio.timeout(KEEPALIVE_S):
                    await changed.wait()
            except TimeoutError:
                yield ": still working\n\n"
