"""What agreement with photos has taught about models, in PostgreSQL: observations, never sums.

Rows are only added, so processes cannot overwrite each other; the oldest of a model go. What is
believed after them is `localization/trust.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import ColumnElement, Engine, and_, delete, exists, func, insert, select, text
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.lmm_tables import LmmObservationRow as Row
from geosearch.catalogue.session import session_scope
from geosearch.records import Observation, Pairing

KEPT = 2000
"""Observations of one model that are kept. Both shares are known to some 2 points by then
(simulated; the model's to 4 to 6 where the photos are right for 10 % only), and what is learned
from photos of long ago should not outweigh those of today."""


@dataclass(frozen=True, slots=True)
class ObservationCount:
    """How much was observed of one pairing, how often both agreed, and on which days."""

    pairing: Pairing
    observations: int
    agreed: int
    first: date
    last: date


class LmmObservations:
    """Observations over one engine; safe to share between threads and processes.

    Every method raises `CatalogueError` when PostgreSQL refuses.

    Args:
        engine: of the catalogue.
        kept: how many observations of a model are kept.
    """

    def __init__(self, engine: Engine, *, kept: int = KEPT) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._kept = kept

    def add(self, pairing: Pairing, observation: Observation, *, is_repeated: bool = False) -> None:
        """Keep one more observation; the model's oldest goes once there are too many.

        Args:
            pairing: of whom.
            observation: what.
            is_repeated: the model was not asked, its answer is from before. Then an equal
                observation that is kept already is of the same photo, and counts once.
        """
        alike = and_(
            _is_of(pairing),
            Row.probability == observation.probability,
            Row.agreed == observation.agreed,
        )
        # Committed photo by photo: beside calls that take seconds it costs nothing, and a process
        # that is killed loses the photo under way. A crash of the server may lose the last ones.
        with session_scope(self._sessions, is_durable=False) as session:
            # Numbers must become visible in their order, or readers would miss one (`since`).
            session.execute(text("SELECT pg_advisory_xact_lock(hashtext('geosearch.observation'))"))
            if is_repeated and session.scalar(select(exists().where(alike))):
                return
            session.execute(
                insert(Row).values(
                    model=pairing.model,
                    deployments=pairing.deployments,
                    ranked_by=pairing.ranked_by,
                    stated=pairing.stated,
                    expected=pairing.expected,
                    probability=observation.probability,
                    agreed=observation.agreed,
                )
            )
            is_same_model = and_(Row.model == pairing.model, Row.deployments == pairing.deployments)
            too_old = select(Row.id).where(is_same_model).order_by(Row.id.desc())
            session.execute(
                delete(Row).where(
                    is_same_model,
                    Row.id <= too_old.offset(self._kept).limit(1).scalar_subquery(),
                )
            )

    def since(self, pairing: Pairing, number: int = 0) -> tuple[list[tuple[int, Observation]], int]:
        """Numbered observations after a number, oldest first; how many up to it are still kept."""
        with session_scope(self._sessions) as session:
            rows = session.execute(
                select(Row.id, Row.probability, Row.agreed)
                .where(_is_of(pairing), Row.id > number)
                .order_by(Row.id)
            ).all()
            before = session.scalar(
                select(func.count()).select_from(Row).where(_is_of(pairing), Row.id <= number)
            )
        return [(row.id, Observation(row.probability, row.agreed)) for row in rows], before or 0

    def counts(self) -> Sequence[ObservationCount]:
        """How much was observed of whom, by model."""
        pairing = (Row.model, Row.deployments, Row.ranked_by, Row.stated, Row.expected)
        query = (
            select(
                *pairing,
                func.count(),
                func.count().filter(Row.agreed),
                func.min(Row.observed_on),
                func.max(Row.observed_on),
            )
            .group_by(*pairing)
            .order_by(*pairing)
        )
        with session_scope(self._sessions) as session:
            return [ObservationCount(Pairing(*row[:5]), *row[5:]) for row in session.execute(query)]

    def forget(self, model: str | None = None) -> int:
        """Delete what was observed of a model, or of all; how many observations there were."""
        statement = delete(Row).returning(Row.id)
        if model is not None:
            statement = statement.where(Row.model == model)
        with session_scope(self._sessions) as session:
            return len(session.scalars(statement).all())


def _is_of(pairing: Pairing) -> ColumnElement[bool]:
    return and_(
        Row.model == pairing.model,
        Row.deployments == pairing.deployments,
        Row.ranked_by == pairing.ranked_by,
        Row.stated == pairing.stated,
        Row.expected == pairing.expected,
    )
