"""Photos that workers are to locate: registered, leased, answered, fetched and forgotten.

An answer is a JSON document here; who asks and who answers know what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.leasing import Leasing, seconds, touch_lost
from geosearch.catalogue.models import LocateRow, LocateRunRow
from geosearch.catalogue.session import session_scope


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a photo; `id` is its place in the run."""

    id: int
    uri: str
    document: dict[str, Any]


class LocateLeases(Leasing):
    """Leases of one worker on photos to be located; safe to share between its threads."""

    _table = LocateRow
    _runs = LocateRunRow

    def lmm(self, run_id: int) -> dict[str, Any] | None:
        """The large multimodal model that a run asks, and how; None for none."""
        query = select(LocateRunRow.lmm).where(LocateRunRow.id == run_id)
        with session_scope(self._sessions) as session:
            found: dict[str, Any] | None = session.execute(query).scalar_one()
            return found

    def criteria(self, run_id: int) -> dict[str, Any]:
        """What photos of the collection must match to be compared with; empty for all of them."""
        query = select(LocateRunRow.criteria).where(LocateRunRow.id == run_id)
        with session_scope(self._sessions) as session:
            return session.execute(query).scalar_one() or {}

    def answer(self, photo_id: int, document: Mapping[str, Any]) -> None:
        """Keep the answer for a photo; the first one counts."""
        statement = (
            update(LocateRow)
            .where(LocateRow.id == photo_id, LocateRow.finished_at.is_(None))
            .values(
                answer=dict(document), finished_at=func.now(), leased_by=None, leased_until=None
            )
        )
        with session_scope(self._sessions) as session:
            session.execute(statement)


class LocateRuns:
    """Runs over one engine, for who asks; every method is one transaction.

    Every method raises `CatalogueError` when PostgreSQL refuses, `StorageFull` when it has no room.
    """

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def open(
        self,
        token: UUID,
        *,
        encoder: str,
        lmm: Mapping[str, Any] | None = None,
        criteria: Mapping[str, Any] | None = None,
    ) -> int:
        """The run by this name, made if there is none."""
        statement = (
            upsert(LocateRunRow)
            .values(
                token=token,
                encoder=encoder,
                lmm=dict(lmm) if lmm else None,
                criteria=dict(criteria) if criteria else None,
            )
            .on_conflict_do_update(index_elements=["token"], set_={"touched_at": func.now()})
            .returning(LocateRunRow.id)
        )
        with session_scope(self._sessions) as session:
            return session.execute(statement).scalar_one()

    def register(self, run_id: int, sources: Sequence[tuple[str, str | None]]) -> list[int]:
        """Write photos, each with the reason if it is known to be unreadable; ids of what waits.

        Ids ascend in the order of `sources`. One that is registered already keeps its id, and its
        answer if there is one.
        """
        first: dict[str, str | None] = {}
        for uri, reason in sources:
            first.setdefault(uri, reason)
        if not first:
            return []
        rows = [
            {"run_id": run_id, "uri": uri, "claims": None if reason is None else {"reason": reason}}
            for uri, reason in first.items()
        ]
        query = (
            select(LocateRow.id)
            .where(LocateRow.run_id == run_id, LocateRow.uri.in_(first))
            .where(LocateRow.finished_at.is_(None))
            .order_by(LocateRow.id)
        )
        with session_scope(self._sessions) as session:
            session.execute(upsert(LocateRow).values(rows).on_conflict_do_nothing())
            return list(session.scalars(query))

    def progress(self, run_id: int) -> tuple[int, int]:
        """Photos that wait, and answers that were not fetched; remembers that somebody asked."""
        is_waiting = LocateRow.finished_at.is_(None)
        query = select(func.count().filter(is_waiting), func.count().filter(~is_waiting))
        with session_scope(self._sessions, is_durable=False) as session:
            session.execute(
                update(LocateRunRow).where(LocateRunRow.id == run_id).values(touched_at=func.now())
            )
            waiting, answered = session.execute(query.where(LocateRow.run_id == run_id)).one()
            return int(waiting), int(answered)

    def answers(self, run_id: int, *, limit: int = 500) -> list[Answer]:
        """Answers in the order of registration, up to the first photo that still waits."""
        waiting = (
            select(func.min(LocateRow.id))
            .where(LocateRow.run_id == run_id, LocateRow.finished_at.is_(None))
            .scalar_subquery()
        )
        query = (
            select(LocateRow.id, LocateRow.uri, LocateRow.answer)
            .where(LocateRow.run_id == run_id, LocateRow.finished_at.is_not(None))
            .where((LocateRow.id < waiting) | waiting.is_(None))
            .order_by(LocateRow.id)
            .limit(limit)
        )
        with session_scope(self._sessions) as session:
            return [Answer(row.id, row.uri, row.answer or {}) for row in session.execute(query)]

    def forget(self, run_id: int, *, up_to: int) -> None:
        """Let go of answers that were fetched."""
        statement = delete(LocateRow).where(
            LocateRow.run_id == run_id, LocateRow.id <= up_to, LocateRow.finished_at.is_not(None)
        )
        with session_scope(self._sessions) as session:
            session.execute(statement)

    def drop(self, run_id: int) -> None:
        """Let go of a run with all that it holds."""
        with session_scope(self._sessions) as session:
            session.execute(delete(LocateRunRow).where(LocateRunRow.id == run_id))

    def lost(self, *, older_than_s: float, limit: int = 1000) -> list[int]:
        """Photos that wait and that nobody has touched for so long, touched now, by id."""
        with session_scope(self._sessions) as session:
            return touch_lost(session, LocateRow, older_than_s=older_than_s, limit=limit)

    def drop_abandoned(self, *, older_than_s: float) -> int:
        """Let go of runs that nobody has asked for in so long; how many.

        Those that a worker has in hand stay.
        """
        is_leased = exists().where(
            LocateRow.run_id == LocateRunRow.id, LocateRow.leased_until > func.now()
        )
        statement = (
            delete(LocateRunRow)
            .where(LocateRunRow.touched_at < func.now() - seconds(older_than_s), ~is_leased)
            .returning(LocateRunRow.id)
        )
        with session_scope(self._sessions) as session:
            return len(session.scalars(statement).all())
