"""What there is to filter by: countries, data sets and the span of time of searchable photos."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from geosearch.catalogue.models import PhotoRow
from geosearch.catalogue.session import session_scope
from geosearch.records import PhotoState

MOST = 500
"""Values listed of one facet, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Facets:
    """Photos by country (ISO code) and by data set, and when the first and the last were taken."""

    countries: dict[str, int]
    datasets: dict[str, int]
    first: datetime | None
    last: datetime | None


def facets(engine: Engine) -> Facets:
    """The facets of all indexed photos.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    is_indexed = PhotoRow.state == str(PhotoState.INDEXED)
    with session_scope(sessionmaker(engine)) as session:
        first, last = session.execute(
            select(func.min(PhotoRow.captured_at), func.max(PhotoRow.captured_at)).where(is_indexed)
        ).one()
        return Facets(
            _counted(session, PhotoRow.country), _counted(session, PhotoRow.dataset), first, last
        )


def _counted(session: Session, column: Any) -> dict[str, int]:
    rows = session.execute(
        select(column, func.count())
        .where(PhotoRow.state == str(PhotoState.INDEXED), column.is_not(None))
        .group_by(column)
        .order_by(func.count().desc(), column)
        .limit(MOST)
    )
    return {row[0]: row[1] for row in rows}
