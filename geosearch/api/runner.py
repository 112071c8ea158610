"""Work that outlives its request: recorded, worked off in order, taken up again after a crash."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from fastapi import HTTPException

from geosearch.api.answers import Document
from geosearch.api.problems import public_error
from geosearch.catalogue.jobs import Job, Jobs
from geosearch.errors import CatalogueError, GeosearchError, StorageFull, StoreError
from geosearch.services import Services

logger = logging.getLogger(__name__)

FOLDER = "jobs"

MOST_WAITING = 100
"""Jobs of a kind that may wait; further ones are told to come back."""

RETRY_AFTER_S = 30

LEFTOVER_S = 3600.0
"""After which photos of a job that nobody has recorded are nobody's."""

_LOOK_AGAIN_S = 1.0
"""How long to wait for new jobs before the record is asked, and for engines that do not answer."""

Work: TypeAlias = Callable[[Job, Sequence[Path]], Generator[Sequence[Document]]]
"""Yields answers for the photos of a job that are left, in order, some at a time."""


class JobRunner:
    """One thread for each kind of job; photos wait as files in the home until they are worked on.

    Args:
        services: the record, and the home.
        kinds: how jobs of each kind are done.

    `watchers` are events to be set after a change, each with the loop that it belongs to.
    """

    def __init__(self, services: Services, kinds: Mapping[str, Work]) -> None:
        self._folder = services.settings.home / FOLDER
        self.record = Jobs(services.engine)
        self._changed = threading.Condition()
        self._is_stopped = False
        self.watchers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._forget_leftovers()
        self._threads = [
            threading.Thread(target=self._loop, args=(kind, work), name=f"jobs-{kind}", daemon=True)
            for kind, work in kinds.items()
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_stopped(self) -> bool:
        """Whether no job is worked on any more."""
        return self._is_stopped

    def submit(
        self,
        kind: str,
        photos: Sequence[tuple[str, bytes]],
        options: Mapping[str, Any] | None = None,
    ) -> Job:
        """Record a job; the files are written first, so that whoever works on it finds them.

        Raises:
            HTTPException: 503 while too many wait.
            StorageFull: the photos cannot be written.
        """
        if len(self.record.queued(kind)) >= MOST_WAITING:
            raise HTTPException(
                503, "too many jobs wait", headers={"Retry-After": str(RETRY_AFTER_S)}
            )
        job_id = uuid4()
        folder = self._folder / str(job_id)
        names = [name for name, _ in photos]
        try:
            folder.mkdir(parents=True)
            for number, (_, data) in enumerate(photos):
                (folder / str(number)).write_bytes(data)
            job = self.record.add(kind, names, job_id=job_id, options=options)
        except Exception as error:  # whoever sent the photos still has them, and is told
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, GeosearchError):
                raise StorageFull(f"cannot write {folder}: {error.strerror or error}") from error
            raise
        self.tell()
        return job

    def wait(self, timeout_s: float) -> bool:
        """Wait until any job changed or the runner stops; whether it still runs."""
        with self._changed:
            if not self._is_stopped:
                self._changed.wait(timeout_s)
            return not self._is_stopped

    @contextmanager
    def watching(self) -> Iterator[asyncio.Event]:
        """An event of this loop that is set whenever a job changes; waiting holds no thread."""
        seen = asyncio.Event()
        watcher = (asyncio.get_running_loop(), seen)
        with self._changed:
            self.watchers.add(watcher)
        try:
            yield seen
        finally:
            with self._changed:
                self.watchers.discard(watcher)

    def begin_stop(self) -> None:
        """Start no more work, and end what watches jobs; returns at once."""
        with self._changed:
            self._is_stopped = True
        self.tell()

    def stop(self) -> None:
        """Finish what is at hand; what is left is taken up by the next start."""
        self.begin_stop()
        for thread in self._threads:
            thread.join()

    def tell(self) -> None:
        """Wake whoever waits for a change of a job."""
        with self._changed:
            self._changed.notify_all()
            watchers = list(self.watchers)
        for loop, seen in watchers:
            loop.call_soon_threadsafe(seen.set)

    def _forget_leftovers(self) -> None:
        """Delete photos of jobs that were never recorded or are finished, as after a power cut."""
        for folder in self._folder.glob("*"):
            if time.time() - folder.stat().st_mtime < LEFTOVER_S:
                continue  # another process of the same home may be about to record it
            job = self.record.get(UUID(folder.name))
            if job is None or job.state != "queued":
                shutil.rmtree(folder, ignore_errors=True)

    def _loop(self, kind: str, work: Work) -> None:
        while not self._is_stopped:
            try:
                waiting = self.record.queued(kind)
                for job_id in waiting:
                    self._finish(job_id, work)
            except (CatalogueError, StoreError, StorageFull):
                logger.exception("jobs cannot be worked on now")
                waiting = []
            if not waiting:
                with self._changed:
                    if not self._is_stopped:
                        self._changed.wait(_LOOK_AGAIN_S)

    def _finish(self, job_id: UUID, work: Work) -> None:
        job = self.record.get(job_id)
        if job is None or self._is_stopped:
            return
        folder = self._folder / str(job_id)
        left = [folder / str(number) for number in range(len(job.results), len(job.names))]
        error: str | None = None
        try:
            with closing(work(job, left)) as answers:
                for some in answers:
                    self.record.append(job_id, some)
                    self.tell()
                    if self._is_stopped:
                        return
        except (CatalogueError, StoreError, StorageFull):
            raise  # of the engines: the job is tried again
        except GeosearchError as problem:
            error = public_error(problem)[1]
        except Exception:  # a defect: without this, one job would stop all that come after it
            logger.exception("job %s failed", job_id)
            error = "the server could not finish this job; its log says why"
        self.record.finish(job_id, error=error)
        shutil.rmtree(folder, ignore_errors=True)
        self.tell()
