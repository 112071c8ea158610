"""The record as the index should mirror it: every photo by id, and the mending of its marks.

Read in pages of short transactions, so that comparing a hundred million rows holds nothing open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Row, and_, delete, func, select
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.models import EmbeddingRow, PhotoRow
from geosearch.catalogue.session import session_scope
from geosearch.geo import Coordinate
from geosearch.records import PhotoState


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One photo as recorded; `is_embedded` is about the encoder asked for."""

    id: UUID
    uri: str
    state: PhotoState
    is_embedded: bool
    coordinate: Coordinate | None
    captured_at: datetime | None
    dataset: str | None
    country: str | None
    author: str | None


class Audit:
    """Reads the record for comparison; safe to share between threads.

    Every method raises `CatalogueError` when PostgreSQL refuses.
    """

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def count(self) -> int:
        """How many photos are on record."""
        with session_scope(self._sessions) as session:
            return session.scalar(select(func.count()).select_from(PhotoRow)) or 0

    def photos(self, *, encoder: str, batch: int = 2000) -> Iterator[AuditRow]:
        """Every photo in order of id."""
        after: UUID | None = None
        query = _query(encoder).order_by(PhotoRow.id).limit(batch)
        while True:
            page = query if after is None else query.where(PhotoRow.id > after)
            with session_scope(self._sessions) as session:
                rows = [_row(row) for row in session.execute(page)]
            yield from rows
            if len(rows) < batch:
                return
            after = rows[-1].id

    def find(self, ids: Collection[UUID], *, encoder: str) -> dict[UUID, AuditRow]:
        """These photos as they are now; those that are not recorded are left out."""
        with session_scope(self._sessions) as session:
            rows = session.execute(_query(encoder).where(PhotoRow.id.in_(ids)))
            return {row.id: _row(row) for row in rows}

    def forget_embeddings(self, ids: Collection[UUID], *, encoder: str) -> None:
        """These photos are not in the index of this encoder; their states stay."""
        with session_scope(self._sessions) as session:
            session.execute(
                delete(EmbeddingRow).where(
                    EmbeddingRow.photo_id.in_(ids), EmbeddingRow.encoder == encoder
                )
            )


def _query(encoder: str) -> Any:
    joined = and_(EmbeddingRow.photo_id == PhotoRow.id, EmbeddingRow.encoder == encoder)
    query = select(
        PhotoRow.id,
        PhotoRow.uri,
        PhotoRow.state,
        EmbeddingRow.photo_id.is_not(None).label("is_embedded"),
        PhotoRow.lat,
        PhotoRow.lon,
        PhotoRow.captured_at,
        PhotoRow.dataset,
        PhotoRow.country,
        PhotoRow.author,
    )
    return query.outerjoin(EmbeddingRow, joined)


def _row(row: Row[Any]) -> AuditRow:
    return AuditRow(
        id=row.id,
        uri=row.uri,
        state=PhotoState(row.state),
        is_embedded=row.is_embedded,
        coordinate=None if row.lat is None else Coordinate(row.lat, row.lon),
        captured_at=row.captured_at,
        dataset=row.dataset,
        country=row.country,
        author=row.author,
    )
