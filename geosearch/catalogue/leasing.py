"""Leases on the rows of one table: who works on what, and how often it was tried.

A lease ends when its time is over by PostgreSQL's clock, so a worker that died loses its rows and
no clock of any machine matters. Each lease is an attempt, committed before anything is read: a
photo that kills its reader is counted all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Engine, Select, func, literal, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

from geosearch.catalogue.models import IngestRunRow, IntakeRow, LocateRow, LocateRunRow
from geosearch.catalogue.session import session_scope

Leasable = type[IntakeRow] | type[LocateRow]


@dataclass(frozen=True, slots=True)
class LeasedSource:
    """A path or URL that is this worker's to read; `attempts` counts this time too."""

    id: int
    run_id: int
    uri: str
    claims: Mapping[str, Any]
    attempts: int


class Leasing:
    """Leases of one worker on one table; safe to share between its threads.

    Every method is one transaction, and raises `CatalogueError` when PostgreSQL refuses. A kind of
    lease names the table whose rows are leased, and that of the runs they belong to.

    Args:
        engine: of the catalogue.
        owner: a name that no other worker has.
        lease_s: seconds after which a lease that was not renewed is over.
    """

    _table: ClassVar[Leasable]
    _runs: ClassVar[type[IngestRunRow] | type[LocateRunRow]]

    def __init__(self, engine: Engine, *, owner: str, lease_s: float) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._owner = owner
        self._lease_s = lease_s

    def encoder_of(self, run_id: int) -> str:
        """The encoder that a run was asked for."""
        query = select(self._runs.encoder).where(self._runs.id == run_id)
        with session_scope(self._sessions) as session:
            return session.execute(query).scalar_one()

    def runs_of(self, ids: Collection[int]) -> list[int]:
        """The runs of those of `ids` that are not finished."""
        row = self._table
        query = (
            select(row.run_id)
            .where(row.id.in_(ids), row.finished_at.is_(None))
            .where(row.run_id.is_not(None))
            .distinct()
        )
        with session_scope(self._sessions) as session:
            return sorted(run for run in session.scalars(query) if run is not None)

    def claim(
        self, run_id: int, *, limit: int, ids: Collection[int] | None = None
    ) -> list[LeasedSource]:
        """Sources of a run that nobody has tried yet, those of `ids` alone if given."""
        query = self._free(run_id).where(self._table.attempts == 0)
        if ids is not None:
            query = query.where(self._table.id.in_(ids))
        return self._lease(query, limit)

    def claim_suspect(self, run_id: int) -> LeasedSource | None:
        """One source whose reader failed or died; read alone, it harms no other."""
        found = self._lease(self._free(run_id).where(self._table.attempts > 0), 1)
        return found[0] if found else None

    def renew(self, ids: Collection[int]) -> None:
        """Keep these leases for their full time from now on."""
        if ids:
            row = self._table
            statement = (
                update(row)
                .where(row.id.in_(ids), row.leased_by == self._owner)
                .values(leased_until=self._end(), claimed_at=func.now())
            )
            with session_scope(self._sessions, is_durable=False) as session:
                session.execute(statement)

    def release(self, ids: Collection[int], *, forgive: bool) -> None:
        """Give up leases; with `forgive` the attempt does not count, as nothing was wrong here."""
        if ids:
            self._release(self._table.id.in_(ids), forgive=forgive)

    def release_all(self) -> None:
        """Give up whatever an earlier process of this worker held when it died."""
        self._release(self._table.finished_at.is_(None), forgive=False)

    def _free(self, run_id: int) -> Select[Any]:
        row = self._table
        is_free = or_(row.leased_until.is_(None), row.leased_until < func.now())
        return select(row.id).where(row.run_id == run_id, row.finished_at.is_(None), is_free)

    def _lease(self, query: Select[Any], limit: int) -> list[LeasedSource]:
        row = self._table
        # As a CTE: an IN over a limited subquery may be run again and lease more than asked for.
        chosen = query.order_by(row.id).limit(limit).with_for_update(skip_locked=True).cte("chosen")
        statement = (
            update(row)
            .where(row.id.in_(select(chosen.c.id)))
            .values(
                attempts=row.attempts + 1,
                claimed_at=func.now(),
                leased_by=self._owner,
                leased_until=self._end(),
            )
            .returning(row.id, row.run_id, row.uri, row.claims, row.attempts)
        )
        with session_scope(self._sessions) as session:
            rows = session.execute(statement).all()
        found = [LeasedSource(r.id, r.run_id, r.uri, r.claims or {}, r.attempts) for r in rows]
        return sorted(found, key=lambda source: source.id)

    def _release(self, where: Any, *, forgive: bool) -> None:
        row = self._table
        attempts = row.attempts - 1 if forgive else row.attempts
        statement = (
            update(row)
            .where(where, row.leased_by == self._owner, row.finished_at.is_(None))
            .values(attempts=attempts, leased_by=None, leased_until=None)
        )
        with session_scope(self._sessions) as session:
            session.execute(statement)

    def _end(self) -> Any:
        return func.now() + seconds(self._lease_s)


def touch_lost(session: Session, row: Leasable, *, older_than_s: float, limit: int) -> list[int]:
    """Rows that wait and that nobody has touched for so long, touched now, by id.

    For a sweep: their messages were lost, or their reader died. Two sweeps at once get different
    ones.
    """
    before = func.now() - seconds(older_than_s)
    waiting = (
        select(row.id)
        .where(
            row.finished_at.is_(None),
            row.registered_at <= before,
            or_(row.claimed_at.is_(None), row.claimed_at <= before),
        )
        .order_by(row.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(row)
        .where(row.id.in_(waiting.scalar_subquery()))
        .values(claimed_at=func.now())
        .returning(row.id)
    )
    return sorted(session.scalars(statement))


def seconds(duration_s: float) -> Any:
    """So many seconds as an interval of PostgreSQL."""
    return func.make_interval(0, 0, 0, 0, 0, 0, literal(duration_s))
