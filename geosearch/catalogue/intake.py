"""What is waiting to be read: paths and URLs with their claims, registered in bulk.

A photo's identity is the hash of its bytes, known only once they are read; until then it is a row
here, by its URI. No vectors, no photos, no decisions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine, case, func, select, update
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.leasing import touch_lost
from geosearch.catalogue.models import IntakeRow
from geosearch.catalogue.session import session_scope, translated_errors


@dataclass(frozen=True, slots=True)
class IntakeDraft:
    """A path or URL to be registered.

    `claims` is JSON text; `digest` is 16 bytes that change when anything does that makes reading
    the source again worth while.
    """

    uri: str
    claims: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class IntakeItem:
    """A path or URL to be read; `attempts` counts this time too."""

    id: int
    uri: str
    claims: Mapping[str, Any]
    attempts: int


class Intake:
    """The waiting list over one engine; safe to share between threads.

    Every method is one transaction, and raises `CatalogueError` when PostgreSQL refuses,
    `StorageFull` when it has no room.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def register(self, drafts: Sequence[IntakeDraft], *, run_id: int) -> list[int]:
        """Write sources and commit; the ids of those that are to be read, in order.

        A source that is finished and whose digest is the same stays finished and is not returned;
        one that is still waiting is returned again, because its message may be lost. Of a URI that
        comes twice within one run the first decides.
        """
        first = {draft.uri: draft for draft in reversed(drafts)}
        if not first:
            return []
        with translated_errors(), self._engine.connect() as pooled:
            connection = pooled.connection.driver_connection
            if not isinstance(connection, psycopg.Connection):
                raise TypeError(f"{type(connection)} is no connection of psycopg")
            try:
                ids = _copy(connection, first.values(), run_id)
                connection.commit()
            except psycopg.Error as error:
                connection.rollback()
                raise _wrapped(error) from error
        return sorted(ids)

    def take(self, ids: Collection[int]) -> list[IntakeItem]:
        """Those of `ids` that wait, with one attempt more, committed before any of them is read.

        So a source that kills its reader is counted, and one that is finished is not read again
        when its message comes twice.
        """
        statement = (
            update(IntakeRow)
            .where(IntakeRow.id.in_(ids), IntakeRow.finished_at.is_(None))
            .values(attempts=IntakeRow.attempts + 1, claimed_at=func.now())
            .returning(IntakeRow.id, IntakeRow.uri, IntakeRow.claims, IntakeRow.attempts)
        )
        with session_scope(self._sessions) as session:
            rows = session.execute(statement).all()
        return sorted(
            (IntakeItem(row.id, row.uri, row.claims or {}, row.attempts) for row in rows),
            key=lambda item: item.id,
        )

    def finish(self, ids: Collection[int]) -> None:
        """These sources are read and recorded as photos."""
        self._end(ids, error=None)

    def park(self, reasons: Mapping[int, str]) -> None:
        """These sources are given up, and why."""
        if reasons:
            self._end(list(reasons), error=case(dict(reasons), value=IntakeRow.id))

    def _end(self, ids: Collection[int], *, error: Any) -> None:
        with session_scope(self._sessions) as session:
            session.execute(
                update(IntakeRow)
                .where(IntakeRow.id.in_(ids))
                .values(finished_at=func.now(), claims=None, error=error)
            )

    def lost(self, *, older_than_s: float, limit: int = 1000) -> list[int]:
        """Sources that wait and that nobody has touched for so long, touched now, by id.

        For a sweep: their messages were lost, or their reader died. Two sweeps at once get
        different ones.
        """
        with session_scope(self._sessions) as session:
            return touch_lost(session, IntakeRow, older_than_s=older_than_s, limit=limit)

    def reopen(self, *, parked: bool, limit: int = 1000) -> list[int]:
        """Have what was given up read again, its attempts forgotten; the ids, none when done."""
        chosen = (
            select(IntakeRow.id)
            .where(IntakeRow.error.is_not(None) if parked else IntakeRow.finished_at.is_(None))
            .order_by(IntakeRow.id)
            .limit(limit)
        )
        statement = (
            update(IntakeRow)
            .where(IntakeRow.id.in_(chosen.scalar_subquery()))
            .values(finished_at=None, error=None, attempts=0, claimed_at=None)
            .returning(IntakeRow.id)
        )
        with session_scope(self._sessions) as session:
            return sorted(session.scalars(statement))

    def counts(self) -> dict[str, int]:
        """Sources that wait, were given up, and are finished."""
        open_, parked = IntakeRow.finished_at.is_(None), IntakeRow.error.is_not(None)
        query = select(
            func.count().filter(open_).label("waiting"),
            func.count().filter(parked).label("parked"),
            func.count().filter(~open_, ~parked).label("finished"),
        ).select_from(IntakeRow)
        with session_scope(self._sessions) as session:
            return dict(session.execute(query).one()._mapping)


_CREATE = """CREATE TEMPORARY TABLE IF NOT EXISTS intake_new
(uri text, claims jsonb, digest bytea) ON COMMIT DELETE ROWS"""

# The touched run keeps a URI's first row of a run from being replaced by a later one.
_MERGE = """
INSERT INTO intake AS known (uri, claims, digest, run_id)
SELECT uri, claims, digest, %(run_id)s FROM intake_new ORDER BY uri
ON CONFLICT (uri) DO UPDATE SET
    run_id = excluded.run_id,
    digest = excluded.digest,
    claims = CASE WHEN known.digest = excluded.digest THEN known.claims ELSE excluded.claims END,
    finished_at = CASE WHEN known.digest = excluded.digest THEN known.finished_at END,
    error = CASE WHEN known.digest = excluded.digest THEN known.error END,
    attempts = CASE WHEN known.digest = excluded.digest THEN known.attempts ELSE 0 END,
    registered_at = now()
WHERE known.run_id IS DISTINCT FROM excluded.run_id
RETURNING id, finished_at IS NULL
"""


def _copy(
    connection: psycopg.Connection[Any], drafts: Collection[IntakeDraft], run_id: int
) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_CREATE)
        with cursor.copy("COPY intake_new (uri, claims, digest) FROM STDIN") as copy:
            for draft in drafts:
                copy.write_row((draft.uri, draft.claims, draft.digest))
        cursor.execute(_MERGE, {"run_id": run_id})
        return [id_ for id_, is_waiting in cursor.fetchall() if is_waiting]


def _wrapped(error: psycopg.Error) -> Exception:
    """As SQLAlchemy would have raised it, so that one place translates both."""
    from sqlalchemy.exc import DBAPIError

    return DBAPIError(None, None, error)
