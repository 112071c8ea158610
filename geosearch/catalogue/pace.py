"""How fast photos come in now, and how long the rest will take."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.intake import Intake
from geosearch.catalogue.models import IngestRunRow, LocateRow, PhotoRow
from geosearch.catalogue.session import session_scope
from geosearch.records import PhotoState

WINDOW_S = 300.0
"""The rate is that of the last five minutes, or since the last run began if that is shorter."""

_DONE = (str(PhotoState.EMBEDDED), str(PhotoState.INDEXED))


@dataclass(frozen=True, slots=True)
class Pace:
    """What is left to take in, and the rate.

    `seconds_left` is None while nothing moves or nothing is left.
    """

    waiting_to_be_read: int
    waiting_to_be_located: int
    given_up: int
    left: int
    per_second: float
    seconds_left: float | None


def pace(engine: Engine) -> Pace:
    """The pace of taking photos in, over all processes that do.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    counts = Intake(engine).counts()
    since_start = func.extract("epoch", func.now() - func.max(IngestRunRow.started_at))
    with session_scope(sessionmaker(engine)) as session:
        age_s = session.scalar(select(since_start))
        window_s = max(1.0, min(WINDOW_S, WINDOW_S if age_s is None else float(age_s)))
        begin = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, window_s)
        row = session.execute(
            select(
                func.count().filter(PhotoRow.state == str(PhotoState.PENDING)).label("pending"),
                func.count()
                .filter(PhotoRow.state.in_(_DONE), PhotoRow.updated_at >= begin)
                .label("done"),
            ).select_from(PhotoRow)
        ).one()
        unlocated = select(func.count()).where(LocateRow.finished_at.is_(None))
        to_locate = session.scalar(unlocated) or 0
    left, rate = counts["waiting"] + row.pending, row.done / window_s
    return Pace(
        waiting_to_be_read=counts["waiting"],
        waiting_to_be_located=to_locate,
        given_up=counts["parked"],
        left=left,
        per_second=rate,
        seconds_left=left / rate if left and rate else None,
    )
