"""Taking a photo out of the record, with every path and every waiting row that names it."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.indexes import note_changes
from geosearch.catalogue.models import IntakeRow, PhotoRow, SourceRow
from geosearch.catalogue.session import session_scope


def sources_of(engine: Engine, photo_id: UUID) -> list[str]:
    """Every path or URL that held a photo."""
    with session_scope(sessionmaker(engine)) as session:
        return list(session.scalars(select(SourceRow.uri).where(SourceRow.photo_id == photo_id)))


def remove_photo(engine: Engine, photo_id: UUID, *, removed_from: Collection[str] = ()) -> bool:
    """Delete a photo and all that the record knows of it; whether there was one.

    Args:
        engine: of the catalogue.
        photo_id: which photo.
        removed_from: encoders whose indexes do not hold it any more; others learn of it.

    Raises:
        CatalogueError: PostgreSQL refuses.
    """
    sources = select(SourceRow.uri).where(SourceRow.photo_id == photo_id)
    with session_scope(sessionmaker(engine)) as session:
        note_changes(session, [photo_id], seen_by=removed_from, are_gone=True)
        session.execute(delete(IntakeRow).where(IntakeRow.uri.in_(sources)))
        gone = session.execute(
            delete(PhotoRow).where(PhotoRow.id == photo_id).returning(PhotoRow.id)
        )
        return gone.scalar_one_or_none() is not None
