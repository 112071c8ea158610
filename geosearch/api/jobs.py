"""Many photos to locate: recorded, worked off one after another, taken up again after a crash."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse

from geosearch import exports
from geosearch.api.answers import EVENTS, Document, public_prediction
from geosearch.api.shared import SharedState
from geosearch.catalogue.jobs import Job, Jobs
from geosearch.errors import GeosearchError

if TYPE_CHECKING:
    from geosearch.client import GeoSearch

logger = logging.getLogger(__name__)

MOST_WAITING = 100
"""Jobs that may wait; further ones are told to come back."""

KEEPALIVE_S = 15.0

FOLDER = "jobs"

router = APIRouter(tags=["jobs"])


class JobRunner:
    """One thread that works off jobs; photos wait as files in the home until they are located."""

    def __init__(self, geosearch: GeoSearch) -> None:
        self._geosearch = geosearch
        self._folder = geosearch.services.settings.home / FOLDER
        self.record = Jobs(geosearch.services.engine)
        self._changed = threading.Condition()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)
        self._thread.start()

    def submit(self, photos: Sequence[tuple[str, bytes]]) -> Job:
        """Record a job; the files are written first, so that whoever works on it finds them.

        Raises:
            HTTPException: 503 while too many wait.
        """
        if len(self.record.queued()) >= MOST_WAITING:
            raise HTTPException(503, "too many jobs wait", headers={"Retry-After": "30"})
        job_id = uuid4()
        folder = self._folder / str(job_id)
        folder.mkdir(parents=True)
        for number, (_, data) in enumerate(photos):
            (folder / str(number)).write_bytes(data)
        job = self.record.add([name for name, _ in photos], job_id=job_id)
        with self._changed:
            self._changed.notify_all()
        return job

    def wait(self, timeout_s: float) -> bool:
        """Wait until any job changed or the runner stops; whether it still runs."""
        with self._changed:
            if not self._is_stopped:
                self._changed.wait(timeout_s)
            return not self._is_stopped

    def stop(self) -> None:
        """Finish the photo at hand; what is left is taken up by the next start."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _loop(self) -> None:
        while not self._is_stopped:
            try:
                waiting = self.record.queued()
                for job_id in waiting:
                    self._work(job_id)
            except GeosearchError:
                logger.exception("jobs cannot be worked on now")
                waiting = []
            with self._changed:
                if not waiting and not self._is_stopped:
                    self._changed.wait(1.0)

    def _work(self, job_id: UUID) -> None:
        job = self.record.get(job_id)
        if job is None:
            return
        folder = self._folder / str(job_id)
        for number in range(len(job.results), len(job.names)):
            if self._is_stopped:
                return
            self.record.append(job_id, self._locate(folder / str(number), job.names[number]))
            self._tell()
        self.record.finish(job_id)
        self._tell()
        shutil.rmtree(folder, ignore_errors=True)

    def _locate(self, file: Path, name: str) -> Document:
        try:
            data = file.read_bytes()
        except OSError:
            return {"image": name, "reason": "the photo is no longer on the server"}
        prediction = public_prediction(self._geosearch.locate_bytes(data, name=name))
        return dict(exports.prediction_to_dict(prediction))

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()


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
def job_events(shared: SharedState, job_id: UUID) -> StreamingResponse:
    """`prediction` for each photo once it is located, then `done` or `failed`."""
    _found(shared.jobs, job_id)
    return StreamingResponse(_events(shared.jobs, job_id), media_type=EVENTS)


def job_document(one: Job) -> Document:
    """A job as JSON."""
    return {
        "id": str(one.id),
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


def _events(jobs: JobRunner, job_id: UUID) -> Iterator[str]:
    told = 0
    while True:
        current = _found(jobs, job_id)
        for result in current.results[told:]:
            yield f"event: prediction\ndata: {json.dumps(result)}\n\n"
        told = len(current.results)
        if current.state != "queued":
            yield f"event: {current.state}\ndata: {json.dumps({'error': current.error})}\n\n"
            return
        if not jobs.wait(KEEPALIVE_S):
            return
        yield ": still working\n\n"
