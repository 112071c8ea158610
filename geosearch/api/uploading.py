"""POST /v1/photos: take photos in, at once or as a job."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Form, Header, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from geosearch.api.answers import Document
from geosearch.api.bodies import ONE_LINE
from geosearch.api.jobs import ACCEPTED, accepted
from geosearch.api.labels import Row, read_labels
from geosearch.api.names import safe_name
from geosearch.api.shared import Shared, SharedState
from geosearch.api.uploads import take_in

router = APIRouter(tags=["photos"])

MOST_FILES = 64
"""Photos of one upload; who has more sends several, or makes it a job."""

MOST_FILES_OF_A_JOB = 1000

MOST_LABELS = 1_000_000
"""Characters of the labels of one upload."""


@dataclass(frozen=True)
class Upload:
    """What an upload holds; `token` stands for its idempotency key, if it has one."""

    named: list[tuple[str, bytes]]
    rows: list[Row]
    dataset: str | None
    token: bytes | None

    @cached_property
    def digest(self) -> bytes:
        """Tells one upload from another."""
        whole = hashlib.sha256(repr((self.dataset, self.rows)).encode())
        for name, data in self.named:
            whole.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(data).digest())
        return whole.digest()


@router.post("/v1/photos", responses=ACCEPTED)
async def upload(
    request: Request,
    shared: SharedState,
    files: Annotated[list[UploadFile], File(description="Photos, at most 64; 1,000 as a job.")],
    dataset: Annotated[str | None, Form(max_length=500, pattern=ONE_LINE)] = None,
    labels: Annotated[
        str | None,
        Form(
            max_length=MOST_LABELS,
            description="JSON: what is known of the photos, by file name, with the columns of a "
            "manifest (`lat`, `lon`, `captured_at`, `caption`, `author`, `license`, `dataset`; "
            "others are kept as attributes; `xmp` is the text of a sidecar), or an array of such "
            "rows in the order of the files.",
        ),
    ] = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    prefer: Annotated[str | None, Header(description="`respond-async` asks for a job.")] = None,
) -> Response:
    """Take photos in; says of each, in order, what became of it and why.

    With `Prefer: respond-async` (RFC 7240) the answer is 202 and a job, which tells how far it is.
    """
    is_job = _prefers_job(prefer)
    most = MOST_FILES_OF_A_JOB if is_job else MOST_FILES
    if len(files) > most:
        raise HTTPException(413, f"{len(files)} files at once; send at most {most}")
    rows = read_labels(labels, [file.filename or "" for file in files])
    named = [(safe_name(file.filename), await file.read()) for file in files]
    asked = Upload(named, rows, dataset or None, _token(request, idempotency_key))
    if is_job:
        return await run_in_threadpool(_submit, shared, asked)
    async with shared.changing.turn():
        return await run_in_threadpool(_take_in, shared, asked)


def _take_in(shared: Shared, asked: Upload) -> Response:
    if (earlier := _earlier(shared, asked)) is not None:
        return earlier
    answer: Document = {"photos": take_in(shared, asked.named, asked.rows, dataset=asked.dataset)}
    if asked.token is not None:
        shared.jobs.record.remember(asked.token, asked.digest, answer)
    return JSONResponse(answer)


def _submit(shared: Shared, asked: Upload) -> Response:
    with shared.promising:  # the same upload twice at once is one job
        if (earlier := _earlier(shared, asked)) is not None:
            return earlier
        options = {"dataset": asked.dataset, "labels": asked.rows}
        job = shared.jobs.submit("ingest", asked.named, options)
        if asked.token is not None:
            shared.jobs.record.remember(asked.token, asked.digest, {"job": str(job.id)})
    return accepted(job)


def _earlier(shared: Shared, asked: Upload) -> Response | None:
    """The answer to the same upload when it came before, under its idempotency key."""
    if asked.token is None or (earlier := shared.jobs.record.answered(asked.token)) is None:
        return None
    digest, answer = earlier
    if digest != asked.digest:
        raise HTTPException(422, "this Idempotency-Key was used for another upload")
    if "job" not in answer:
        return JSONResponse(answer)
    job = shared.jobs.record.get(UUID(answer["job"]))
    return None if job is None else accepted(job)


def _prefers_job(prefer: str | None) -> bool:
    return "respond-async" in {part.strip().lower() for part in re.split("[,;]", prefer or "")}


def _token(request: Request, key: str | None) -> bytes | None:
    """One caller's key for a request; another caller's is another, whatever it says."""
    if key is None:
        return None
    caller = request.headers.get("authorization", "")
    return hashlib.sha256(f"{caller}\n{key}".encode()).digest()
