"""The indexes of the collection: whose each is, which one is in use, and what it has yet to see.

Searches use the active one. Another is filled beside it while photos come and go; each change is
noted in its backlog, and it becomes the active one in a transaction that finds the backlog empty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, delete, exists, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, sessionmaker

from geosearch.catalogue.models import BacklogRow, EmbeddingRow, PhotoRow, VectorIndexRow
from geosearch.catalogue.session import session_scope, translated_errors
from geosearch.errors import CatalogueError
from geosearch.records import EncoderChoice, IndexRecord, IndexState

ACTIVE, FILLING, RETIRED = (
    str(state) for state in (IndexState.ACTIVE, IndexState.FILLING, IndexState.RETIRED)
)

# Waits for everyone who notes changes, and keeps them waiting; who only reads does not wait.
_ALONE = text("LOCK TABLE vector_index IN EXCLUSIVE MODE")
_REINDEX = "SELECT pg_try_advisory_lock(hashtext('geosearch.reindex'), hashtext(:encoder))"


def note_changes(
    session: Session, ids: Collection[UUID], *, seen_by: Collection[str], are_gone: bool = False
) -> None:
    """Within a transaction that changes photos: let the other indexes see them.

    Args:
        session: of that transaction; from now on no index is switched to before it ends.
        ids: the photos.
        seen_by: encoders whose indexes have these changes already.
        are_gone: whether indexes that are merely kept must learn of it as well.
    """
    query = select(VectorIndexRow.encoder).with_for_update(read=True)
    if not are_gone:
        query = query.where(VectorIndexRow.state != RETIRED)
    for encoder in session.scalars(query):
        if encoder not in seen_by and ids:
            _note(session, encoder, ids)


def _note(session: Session, encoder: str, ids: Collection[UUID]) -> None:
    rows = upsert(BacklogRow).values(
        [{"encoder": encoder, "photo_id": photo_id} for photo_id in sorted(ids)]
    )
    session.execute(
        rows.on_conflict_do_update(
            index_elements=[BacklogRow.encoder, BacklogRow.photo_id],
            set_={"serial": rows.excluded.serial},
        )
    )


class Indexes:
    """The list of indexes; safe to share between threads.

    Every method raises `CatalogueError` when PostgreSQL refuses.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def all(self) -> list[IndexRecord]:
        """Every index, the active one first."""
        query = select(VectorIndexRow).order_by(
            VectorIndexRow.state, VectorIndexRow.changed_at.desc()
        )
        with session_scope(self._sessions) as session:
            return [_record(row) for row in session.scalars(query)]

    def active(self) -> IndexRecord | None:
        """The index in use; None before the first photo."""
        query = select(VectorIndexRow).where(VectorIndexRow.state == ACTIVE)
        with session_scope(self._sessions) as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _record(row)

    def is_empty(self, encoder: str) -> bool:
        """Whether no photo is in the index of an encoder."""
        with session_scope(self._sessions) as session:
            return not _holds_photos(session, encoder)

    def claim(self, wanted: IndexRecord) -> IndexRecord:
        """Take an index into use where none is, or only one without photos; the one in use then."""
        with session_scope(self._sessions) as session:
            session.execute(_ALONE)
            query = select(VectorIndexRow).where(VectorIndexRow.state == ACTIVE)
            current = session.scalars(query).one_or_none()
            if current is not None and current.encoder != wanted.encoder:
                if _holds_photos(session, current.encoder):
                    return _record(current)
                _set_state(session, current.encoder, RETIRED)
            _write(session, wanted, ACTIVE)
            session.execute(delete(BacklogRow).where(BacklogRow.encoder == wanted.encoder))
        return IndexRecord(wanted.encoder, wanted.collection, IndexState.ACTIVE, wanted.choice)

    def begin(self, wanted: IndexRecord) -> IndexRecord:
        """Have every change from now on noted for an index, unless it is the one in use."""
        with session_scope(self._sessions) as session:
            session.execute(_ALONE)
            row = session.get(VectorIndexRow, wanted.encoder)
            state = ACTIVE if row is not None and row.state == ACTIVE else FILLING
            _write(session, wanted, state)
        return IndexRecord(wanted.encoder, wanted.collection, IndexState(state), wanted.choice)

    @contextmanager
    def reindexing(self, encoder: str) -> Iterator[None]:
        """While the block runs nobody else fills this index.

        Raises:
            CatalogueError: somebody does already.
        """
        with translated_errors(), self._engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            if not connection.scalar(text(_REINDEX), {"encoder": encoder}):
                raise CatalogueError(
                    f"another process is filling the index of {encoder} already; wait for it"
                )
            try:
                yield
            finally:
                connection.invalidate()  # the lock ends with the connection

    def backlog(self, encoder: str, *, after: int = 0, limit: int = 256) -> list[tuple[int, UUID]]:
        """Changes that an index has yet to see, oldest first, as (serial, photo)."""
        query = (
            select(BacklogRow.serial, BacklogRow.photo_id)
            .where(BacklogRow.encoder == encoder, BacklogRow.serial > after)
            .order_by(BacklogRow.serial)
            .limit(limit)
        )
        with session_scope(self._sessions) as session:
            return [(row.serial, row.photo_id) for row in session.execute(query)]

    def caught_up(self, encoder: str, serials: Sequence[int]) -> None:
        """These changes are in the index; those of the same photos that came later are not."""
        with session_scope(self._sessions) as session:
            session.execute(
                delete(BacklogRow).where(
                    BacklogRow.encoder == encoder, BacklogRow.serial.in_(serials)
                )
            )

    def mark_filled(self, ids: Collection[UUID], *, encoder: str) -> None:
        """These photos are in an index beside the one in use; their states stay.

        Photos that were deleted meanwhile are left out.
        """
        found = select(PhotoRow.id, literal(encoder), PhotoRow.id).where(PhotoRow.id.in_(ids))
        with session_scope(self._sessions) as session:
            session.execute(
                upsert(EmbeddingRow)
                .from_select(["photo_id", "encoder", "point_id"], found)
                .on_conflict_do_update(
                    index_elements=[EmbeddingRow.photo_id, EmbeddingRow.encoder],
                    set_={"created_at": func.now()},
                )
            )

    def embedded(self, encoder: str, *, after: UUID | None, limit: int = 1000) -> list[UUID]:
        """Photos that are said to be in an index, by id, beginning after one."""
        query = select(EmbeddingRow.photo_id).where(EmbeddingRow.encoder == encoder)
        if after is not None:
            query = query.where(EmbeddingRow.photo_id > after)
        with session_scope(self._sessions) as session:
            return list(session.scalars(query.order_by(EmbeddingRow.photo_id).limit(limit)))

    def switch(
        self, encoder: str, *, besides: Collection[UUID], announce: Callable[[], None]
    ) -> bool:
        """Make an index the one in use, at once for everyone, if it has seen every change.

        Args:
            encoder: whose index.
            besides: photos whose changes it may not have seen.
            announce: called before the transaction ends, so that what it tells is never behind.

        Returns:
            Whether it is the one in use now; False if changes wait in its backlog.
        """
        with session_scope(self._sessions) as session:
            session.execute(_ALONE)
            waiting = select(BacklogRow.photo_id).where(BacklogRow.encoder == encoder)
            if not set(session.scalars(waiting)) <= set(besides):
                return False
            current = session.scalars(
                select(VectorIndexRow.encoder).where(VectorIndexRow.state == ACTIVE)
            ).one_or_none()
            if current is not None and current != encoder:
                _set_state(session, current, RETIRED)
            _set_state(session, encoder, ACTIVE)
            session.execute(delete(BacklogRow).where(BacklogRow.encoder == encoder))
            announce()
        return True

    def drop(self, encoder: str) -> None:
        """Forget an index that is not in use, and which photos were in it.

        Raises:
            CatalogueError: it is in use by now.
        """
        with session_scope(self._sessions) as session:
            session.execute(_ALONE)
            row = session.get(VectorIndexRow, encoder)
            if row is not None and row.state == ACTIVE:
                raise CatalogueError(f"the index of {encoder} is in use; switch to another first")
            session.execute(delete(EmbeddingRow).where(EmbeddingRow.encoder == encoder))
            session.execute(delete(VectorIndexRow).where(VectorIndexRow.encoder == encoder))


def _holds_photos(session: Session, encoder: str) -> bool:
    return bool(session.scalar(select(exists().where(EmbeddingRow.encoder == encoder))))


def _set_state(session: Session, encoder: str, state: str) -> None:
    session.execute(
        update(VectorIndexRow)
        .where(VectorIndexRow.encoder == encoder)
        .values(state=state, changed_at=func.now())
    )
    session.flush()


def _write(session: Session, record: IndexRecord, state: str) -> None:
    choice = record.choice
    values: dict[str, Any] = {
        "collection": record.collection,
        "backbone": None if choice is None else choice.backbone,
        "heads": None if choice is None else choice.heads,
        "state": state,
    }
    session.execute(
        upsert(VectorIndexRow)
        .values(encoder=record.encoder, **values)
        .on_conflict_do_update(
            index_elements=[VectorIndexRow.encoder], set_=values | {"changed_at": func.now()}
        )
    )


def _record(row: VectorIndexRow) -> IndexRecord:
    choice = None if row.backbone is None else EncoderChoice(row.backbone, row.heads)
    return IndexRecord(row.encoder, row.collection, IndexState(row.state), choice)
