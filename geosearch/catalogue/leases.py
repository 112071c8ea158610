"""Sources of the intake that workers read, and the counts of their runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, and_, case, func, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

from geosearch.catalogue.leasing import LeasedSource, Leasing, seconds
from geosearch.catalogue.models import IngestRunRow, IntakeRow, PhotoRow
from geosearch.catalogue.session import session_scope
from geosearch.records import PhotoState

__all__ = ["COUNTS", "Ending", "LeasedSource", "Leases", "Runs"]


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a leased source: the count of its run, and why if it failed."""

    outcome: str
    reason: str | None = None


COUNTS = ("indexed", "updated", "duplicates", "unlabelled", "failed")
"""Counts of a run; each finished source is in exactly one of them."""


class Leases(Leasing):
    """Leases of one worker on the intake; safe to share between its threads."""

    _table = IntakeRow
    _runs = IngestRunRow

    def finish(self, endings: Mapping[int, Ending]) -> None:
        """These sources are done, and counted with their runs, once, whoever says so first."""
        if not endings:
            return
        outcomes = {i: ending.outcome for i, ending in endings.items()}
        reasons = {i: ending.reason for i, ending in endings.items() if ending.reason}
        failed = [i for i, outcome in outcomes.items() if outcome == "failed"]
        statement = (
            update(IntakeRow)
            .where(IntakeRow.id.in_(sorted(outcomes)), IntakeRow.finished_at.is_(None))
            .values(
                finished_at=func.now(),
                outcome=case(outcomes, value=IntakeRow.id),
                error=case(reasons, value=IntakeRow.id) if reasons else None,
                # What failed may be tried again and then needs them.
                claims=case((IntakeRow.id.in_(failed), IntakeRow.claims)),
                leased_by=None,
                leased_until=None,
            )
            .returning(IntakeRow.run_id, IntakeRow.outcome)
        )
        with session_scope(self._sessions) as session:
            ended = Counter((row[0], row[1]) for row in session.execute(statement))
            by_run: dict[int | None, dict[str, int]] = defaultdict(dict)
            for (run_id, outcome), count in ended.items():
                by_run[run_id][outcome or "failed"] = count
            for run_id, counts in sorted(by_run.items(), key=lambda item: item[0] or 0):
                _add(session, run_id, counts)


class Runs:
    """Runs whose photos are taken in by workers: their counts, and when they are over."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def add(self, run_id: int, **counts: int) -> None:
        """Add to the counts of a run (`scanned` and those of `COUNTS`)."""
        with session_scope(self._sessions) as session:
            _add(session, run_id, counts)

    def reopen(self, run_id: int, *, failed: bool, limit: int = 1000) -> list[int]:
        """Make sources that wait, or failed, those of a new run; their ids, none when done."""
        is_chosen: ColumnElement[bool] = IntakeRow.finished_at.is_(None)
        if failed:
            is_chosen = or_(is_chosen, IntakeRow.error.is_not(None))
        chosen = (
            select(IntakeRow.id)
            .where(is_chosen, IntakeRow.run_id.is_distinct_from(run_id))
            .order_by(IntakeRow.id)
            .limit(limit)
            .scalar_subquery()
        )
        statement = (
            update(IntakeRow)
            .where(IntakeRow.id.in_(chosen))
            .values(
                run_id=run_id, finished_at=None, error=None, outcome=None, attempts=0,
                leased_by=None, leased_until=None,
            )
            .returning(IntakeRow.id)
        )  # fmt: skip
        with session_scope(self._sessions) as session:
            return sorted(session.scalars(statement))

    def registered(self, run_id: int) -> None:
        """All photos of this run are in the intake; it is over when the last of them is."""
        with session_scope(self._sessions) as session:
            session.execute(
                update(IngestRunRow)
                .where(IngestRunRow.id == run_id)
                .values(registered_at=func.now())
            )

    def close_finished(self) -> list[int]:
        """Close the runs that are registered and have nothing waiting; their ids."""
        waiting = (
            select(IntakeRow.id)
            .where(IntakeRow.run_id == IngestRunRow.id, IntakeRow.finished_at.is_(None))
            .exists()
        )
        statement = (
            update(IngestRunRow)
            .where(
                and_(IngestRunRow.finished_at.is_(None), IngestRunRow.registered_at.is_not(None)),
                ~waiting,
            )
            .values(finished_at=func.now())
            .returning(IngestRunRow.id)
        )
        with session_scope(self._sessions) as session:
            return sorted(session.scalars(statement))

    def counts(self, run_id: int) -> dict[str, int]:
        """The counts of a run so far, `scanned` included."""
        names = ("scanned", *COUNTS)
        query = select(*(getattr(IngestRunRow, name) for name in names))
        with session_scope(self._sessions) as session:
            row = session.execute(query.where(IngestRunRow.id == run_id)).one()
            return dict(zip(names, row, strict=True))

    def errors(self, run_id: int, limit: int) -> list[tuple[str, str]]:
        """Paths that a run gave up, and why."""
        query = (
            select(IntakeRow.uri, IntakeRow.error)
            .where(IntakeRow.run_id == run_id, IntakeRow.error.is_not(None))
            .order_by(IntakeRow.id)
            .limit(limit)
        )
        with session_scope(self._sessions) as session:
            return [(row.uri, row.error or "") for row in session.execute(query)]

    def has_stale_photos(self, *, older_than_s: float) -> bool:
        """Whether photos were left between catalogue and index, and not a moment ago."""
        query = (
            select(PhotoRow.id)
            .where(
                PhotoRow.state == str(PhotoState.EMBEDDED),
                PhotoRow.updated_at < func.now() - seconds(older_than_s),
            )
            .limit(1)
        )
        with session_scope(self._sessions) as session:
            return session.scalar(query) is not None


def _add(session: Session, run_id: int | None, counts: Mapping[str, int]) -> None:
    changes = {name: getattr(IngestRunRow, name) + n for name, n in counts.items() if n}
    if changes and run_id is not None:
        session.execute(update(IngestRunRow).where(IngestRunRow.id == run_id).values(changes))
