"""Jobs and answered uploads of the HTTP API, so that neither a crash nor a repeat loses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, cast, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.models import JobRow, UploadRow
from geosearch.catalogue.session import session_scope

UPLOADS_KEPT = timedelta(days=1)
"""How long a repeated upload gets its first answer again."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as recorded; `results` are answers in the order of `names`, as many as are done.

    `kind` is `locate` or `ingest`; `options` are what was asked for beside the photos.
    """

    id: UUID
    kind: str
    names: tuple[str, ...]
    results: tuple[dict[str, Any], ...]
    state: str
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    options: dict[str, Any]


class Jobs:
    """The jobs over one engine; every method raises `CatalogueError` when PostgreSQL refuses."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def add(
        self,
        kind: str,
        names: Sequence[str],
        *,
        job_id: UUID | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Job:
        """Record a job that waits."""
        values = {
            "id": job_id or uuid4(),
            "kind": kind,
            "names": list(names),
            "options": dict(options or {}),
        }
        with session_scope(self._sessions) as session:
            row = session.execute(insert(JobRow).values(values).returning(JobRow)).scalar_one()
            return _job(row)

    def get(self, job_id: UUID) -> Job | None:
        """A job by its id."""
        with session_scope(self._sessions) as session:
            row = session.get(JobRow, job_id)
            return None if row is None else _job(row)

    def queued(self, kind: str) -> list[UUID]:
        """Jobs of a kind that are not finished, oldest first."""
        query = (
            select(JobRow.id)
            .where(JobRow.state == "queued", JobRow.kind == kind)
            .order_by(JobRow.created_at)
        )
        with session_scope(self._sessions) as session:
            return list(session.scalars(query))

    def append(self, job_id: UUID, results: Sequence[dict[str, Any]]) -> None:
        """Add the next answers."""
        with session_scope(self._sessions) as session:
            session.execute(
                update(JobRow)
                .where(JobRow.id == job_id)
                .values(results=JobRow.results.op("||")(cast(list(results), JSONB)))
            )

    def finish(self, job_id: UUID, *, error: str | None = None) -> None:
        """End a job, well or with a reason."""
        with session_scope(self._sessions) as session:
            session.execute(
                update(JobRow)
                .where(JobRow.id == job_id)
                .values(
                    state="done" if error is None else "failed",
                    error=error,
                    finished_at=func.now(),
                )
            )

    def answered(self, token: bytes) -> tuple[bytes, dict[str, Any]] | None:
        """The digest of what an upload with this token held, and its answer."""
        with session_scope(self._sessions) as session:
            row = session.get(UploadRow, token)
            return None if row is None else (row.digest, row.answer)

    def remember(self, token: bytes, digest: bytes, answer: dict[str, Any]) -> None:
        """Keep the answer to an upload; forget those that are old."""
        with session_scope(self._sessions) as session:
            session.execute(
                delete(UploadRow).where(UploadRow.created_at < func.now() - UPLOADS_KEPT)
            )
            session.execute(
                upsert(UploadRow)
                .values(token=token, digest=digest, answer=answer)
                .on_conflict_do_nothing()
            )


def _job(row: JobRow) -> Job:
    return Job(
        row.id,
        row.kind,
        tuple(row.names),
        tuple(row.results),
        row.state,
        row.error,
        row.created_at,
        row.finished_at,
        dict(row.options),
    )
