"""The questions and changes that ingest and answers need of the record, one transaction each.

Rows in, values out: no ORM object leaves this module, no transaction outlives a call.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Select, case, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session, sessionmaker

from geosearch.catalogue.drafts import (
    KnownPhoto,
    KnownSource,
    PhotoDraft,
    SourceDraft,
    draft_of,
    values_of,
)
from geosearch.catalogue.facts import EXPORT_COLUMNS, FACT_COLUMNS, FACTS_OF, fact_of
from geosearch.catalogue.indexes import note_changes
from geosearch.catalogue.models import EmbeddingRow, IngestRunRow, PhotoRow, SourceRow
from geosearch.catalogue.session import session_scope, translated_errors
from geosearch.records import (
    IngestReport,
    PhotoFact,
    PhotoState,
)


class Catalogue:
    """The record of photos over one engine; safe to share between threads.

    Every method raises `CatalogueError` when PostgreSQL refuses, `StorageFull` when it has no room.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    # Runs

    def begin_run(self, encoder: str, inputs: Mapping[str, Any]) -> int:
        """Open an ingest run and return its id."""
        with session_scope(self._sessions) as session:
            statement = insert(IngestRunRow).values(encoder=encoder, inputs=dict(inputs))
            return int(session.execute(statement.returning(IngestRunRow.id)).scalar_one())

    def finish_run(self, run_id: int, report: IngestReport) -> None:
        """Close an ingest run with its counts."""
        counts = ("scanned", "indexed", "updated", "duplicates", "unlabelled", "failed")
        with session_scope(self._sessions) as session:
            session.execute(
                update(IngestRunRow)
                .where(IngestRunRow.id == run_id)
                .values(finished_at=func.now(), **{name: getattr(report, name) for name in counts})
            )

    # Reading what is known

    def known_sources(
        self, uris: Collection[str], *, encoder: str, run_id: int
    ) -> dict[str, KnownSource]:
        """What is recorded of these paths or URLs."""
        with session_scope(self._sessions) as session:
            rows = session.execute(
                select(SourceRow.uri, SourceRow.signature, SourceRow.photo_id).where(
                    SourceRow.uri.in_(uris)
                )
            ).all()
        ids = [row.photo_id for row in rows if row.photo_id is not None]
        photos = self.known_photos(ids, encoder=encoder, run_id=run_id)
        return {
            row.uri: KnownSource(
                row.signature, None if row.photo_id is None else photos.get(row.photo_id)
            )
            for row in rows
        }

    def known_photos(
        self, ids: Collection[UUID], *, encoder: str, run_id: int
    ) -> dict[UUID, KnownPhoto]:
        """What is recorded of these photos."""
        if not ids:
            return {}
        claimed = (
            select(SourceRow.uri)
            .where(SourceRow.photo_id == PhotoRow.id, SourceRow.run_id == run_id)
            .exists()
        )
        embedded = (
            select(EmbeddingRow.photo_id)
            .where(EmbeddingRow.photo_id == PhotoRow.id, EmbeddingRow.encoder == encoder)
            .exists()
        )
        with session_scope(self._sessions) as session:
            rows = session.execute(
                select(PhotoRow, claimed, embedded).where(PhotoRow.id.in_(ids))
            ).all()
            return {
                photo.id: KnownPhoto(draft_of(photo), is_embedded, is_claimed)
                for photo, is_claimed, is_embedded in rows
            }

    def unfinished(
        self,
        states: Collection[PhotoState],
        *,
        ids: Collection[UUID] = (),
        after: UUID | None = None,
        limit: int = 256,
    ) -> list[PhotoDraft]:
        """Photos in these states, of these ids if any are given, by id, beginning after one."""
        query = select(PhotoRow).where(PhotoRow.state.in_([str(state) for state in states]))
        if ids:
            query = query.where(PhotoRow.id.in_(ids))
        return self._page(query, after, limit)

    def not_embedded(
        self, *, encoder: str, after: UUID | None = None, limit: int = 256
    ) -> list[PhotoDraft]:
        """Indexed photos that the index of an encoder lacks, by id, beginning after one."""
        has_embedding = (
            select(EmbeddingRow.photo_id)
            .where(EmbeddingRow.photo_id == PhotoRow.id, EmbeddingRow.encoder == encoder)
            .exists()
        )
        query = select(PhotoRow).where(PhotoRow.state == str(PhotoState.INDEXED), ~has_embedding)
        return self._page(query, after, limit)

    def _page(self, query: Select[Any], after: UUID | None, limit: int) -> list[PhotoDraft]:
        if after is not None:
            query = query.where(PhotoRow.id > after)
        with session_scope(self._sessions) as session:
            rows = session.scalars(query.order_by(PhotoRow.id).limit(limit)).all()
            return [draft_of(row) for row in rows]

    # Writing

    def record(
        self, photos: Sequence[PhotoDraft], sources: Sequence[SourceDraft], *, run_id: int
    ) -> None:
        """Write photos and the sources that hold them, in one transaction.

        New photos are not durable before `mark_indexed`. Changed facts are at once: the index gets
        them next, and must never know more than the record after a power cut.
        """
        is_durable = any(photo.state is PhotoState.EMBEDDED for photo in photos)
        with session_scope(self._sessions, is_durable=is_durable) as session:
            # Rows as parameters and not as one long VALUES: compiled once, sent in a pipeline.
            if photos:
                session.execute(_WRITE_PHOTO, [values_of(photo) for photo in photos])
            if sources:
                failed = _failed_photos_of(session, [source.uri for source in sources])
                session.execute(
                    _WRITE_SOURCE,
                    [
                        {
                            "uri": source.uri,
                            "signature": source.signature,
                            "photo_id": source.photo_id,
                            "error": source.error,
                            "run_id": run_id,
                        }
                        for source in sources
                    ],
                )
                if failed:
                    session.execute(_DROP_UNSEEN.where(PhotoRow.id.in_(failed)))

    def refuse_source(self, uri: str, reason: str, *, run_id: int) -> None:
        """Write a source that gave no photo; one that gave one before keeps it."""
        statement = upsert(SourceRow).values(uri=uri, error=reason, run_id=run_id)
        with session_scope(self._sessions) as session:
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=[SourceRow.uri],
                    set_={"error": reason, "run_id": run_id},
                    where=SourceRow.photo_id.is_(None),
                )
            )

    def forget_signatures(self, uris: Collection[str]) -> None:
        """Have these sources read again the next time they are seen."""
        with session_scope(self._sessions) as session:
            session.execute(update(SourceRow).where(SourceRow.uri.in_(uris)).values(signature=None))

    def touch_sources(self, uris: Collection[str], *, run_id: int) -> None:
        """Note that unchanged sources were seen by a run."""
        with session_scope(self._sessions, is_durable=False) as session:
            session.execute(update(SourceRow).where(SourceRow.uri.in_(uris)).values(run_id=run_id))

    def mark_embedded(self, ids: Collection[UUID], *, encoder: str) -> None:
        """The points of these photos are written, not yet known to be durable."""
        with session_scope(self._sessions, is_durable=False) as session:
            session.execute(
                upsert(EmbeddingRow)
                .values([{"photo_id": i, "encoder": encoder, "point_id": i} for i in ids])
                .on_conflict_do_update(
                    index_elements=[EmbeddingRow.photo_id, EmbeddingRow.encoder],
                    set_={"created_at": func.now()},
                )
            )
            session.execute(_advance(ids, PhotoState.EMBEDDED))

    def mark_indexed(self, ids: Collection[UUID], *, encoder: str) -> None:
        """The points of these photos are durable and carry the recorded facts."""
        with session_scope(self._sessions) as session:
            note_changes(session, ids, seen_by=[encoder])
            session.execute(_advance(ids, PhotoState.INDEXED))

    def mark_pending(self, ids: Collection[UUID], *, encoder: str) -> None:
        """The points of these photos are lost: encode them again."""
        with session_scope(self._sessions) as session:
            session.execute(_advance(ids, PhotoState.PENDING))
            session.execute(
                delete(EmbeddingRow).where(
                    EmbeddingRow.photo_id.in_(ids), EmbeddingRow.encoder == encoder
                )
            )

    def mark_failed(self, reasons: Mapping[UUID, str]) -> None:
        """These photos cannot be encoded, and why."""
        with session_scope(self._sessions) as session:
            session.execute(
                update(PhotoRow)
                .where(PhotoRow.id.in_(list(reasons)))
                .values(
                    state=str(PhotoState.FAILED),
                    error=case(dict(reasons), value=PhotoRow.id),
                    attempts=PhotoRow.attempts + 1,
                    updated_at=func.now(),
                )
            )

    # Answers

    def facts(self, ids: Collection[UUID]) -> dict[UUID, PhotoFact]:
        """What answers say of these photos; ids that are not recorded are left out."""
        if not ids:
            return {}
        with translated_errors(), self._engine.connect() as connection:
            rows = connection.execute(FACTS_OF, {"ids": [*ids]}).all()
        return {row.id: fact_of(row) for row in rows}

    def newest(self, *, batch: int = 2000) -> Generator[list[PhotoFact]]:
        """Indexed photos, newest first, those without a time last, in batches."""
        query = (
            select(*FACT_COLUMNS)
            .where(PhotoRow.state == str(PhotoState.INDEXED))
            .order_by(PhotoRow.captured_at.desc().nulls_last(), PhotoRow.id)
        )
        with translated_errors(), self._engine.connect() as connection:
            # The cursor is closed with the generator, also by a caller who has seen enough.
            with connection.execution_options(yield_per=batch).execute(query) as stream:
                for rows in stream.partitions():
                    yield [fact_of(row) for row in rows]

    def export_rows(self, *, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """Every photo as a flat mapping, in order of path, a stream."""
        query = select(*EXPORT_COLUMNS).order_by(PhotoRow.uri)
        if dataset is not None:
            query = query.where(PhotoRow.dataset == dataset)
        with translated_errors(), self._engine.connect() as connection:
            stream = connection.execution_options(yield_per=2000).execute(query)
            for row in stream:
                yield dict(row._mapping)

    def counts(self) -> dict[str, int]:
        """Photos by state, and sources that could not be read."""
        with session_scope(self._sessions) as session:
            states = {str(state): 0 for state in PhotoState}
            for state, count in session.execute(
                select(PhotoRow.state, func.count()).group_by(PhotoRow.state)
            ):
                states[state] = count
            unreadable = select(func.count()).where(SourceRow.photo_id.is_(None))
            return states | {"unreadable": session.scalar(unreadable) or 0}

    def occupied_cells(self, degrees: float) -> list[tuple[int, int, int]]:
        """(row, column, photos) of every cell with a label: floor of lat and lon over `degrees`."""
        row, column = (func.floor(axis / degrees) for axis in (PhotoRow.lat, PhotoRow.lon))
        query = (
            select(row, column, func.count())
            .where(PhotoRow.lat.is_not(None))
            .group_by(row, column)
            .order_by(row, column)
        )
        with session_scope(self._sessions) as session:
            return [(int(a), int(b), int(count)) for a, b, count in session.execute(query)]

    def embedded_counts(self) -> dict[str, int]:
        """Photos in the index of each encoder identity."""
        query = select(EmbeddingRow.encoder, func.count()).group_by(EmbeddingRow.encoder)
        with session_scope(self._sessions) as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def last_errors(self, limit: int = 10) -> list[tuple[str, str]]:
        """Path and reason of what failed last."""
        failed = (
            select(PhotoRow.uri, PhotoRow.error)
            .where(PhotoRow.state == str(PhotoState.FAILED))
            .order_by(PhotoRow.updated_at.desc())
            .limit(limit)
        )
        unreadable = (
            select(SourceRow.uri, SourceRow.error).where(SourceRow.photo_id.is_(None)).limit(limit)
        )
        with session_scope(self._sessions) as session:
            rows = [*session.execute(failed).all(), *session.execute(unreadable).all()]
        return [(uri, error or "") for uri, error in rows[:limit]]

    def last_run(self) -> dict[str, Any] | None:
        """The newest ingest run as a mapping; None before the first."""
        with session_scope(self._sessions) as session:
            row = session.scalars(
                select(IngestRunRow).order_by(IngestRunRow.id.desc()).limit(1)
            ).one_or_none()
            if row is None:
                return None
            return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def _upsert(table: type[PhotoRow] | type[SourceRow], key: str, *fixed: str) -> Any:
    """Insert a row, or replace all its columns but `key`, `fixed` and the time of creation."""
    statement = upsert(table)
    kept = {key, "created_at", *fixed}
    changes: dict[str, Any] = {
        column.name: func.now() if column.name == "updated_at" else statement.excluded[column.name]
        for column in table.__table__.columns
        if column.name not in kept
    }
    return statement.on_conflict_do_update(index_elements=[key], set_=changes)


_WRITE_PHOTO = _upsert(PhotoRow, "id", "sha256", "attempts")
_WRITE_SOURCE = _upsert(SourceRow, "uri")

# A file that was mended holds another photo now; the one that failed is nowhere any more.
_DROP_UNSEEN = delete(PhotoRow).where(
    PhotoRow.state == str(PhotoState.FAILED), ~exists().where(SourceRow.photo_id == PhotoRow.id)
)


def _failed_photos_of(session: Session, uris: Collection[str]) -> Sequence[UUID]:
    query = (
        select(PhotoRow.id)
        .join(SourceRow, SourceRow.photo_id == PhotoRow.id)
        .where(SourceRow.uri.in_(uris), PhotoRow.state == str(PhotoState.FAILED))
    )
    return session.scalars(query).all()


def _advance(ids: Collection[UUID], state: PhotoState) -> Any:
    return (
        update(PhotoRow)
        .where(PhotoRow.id.in_(ids))
        .values(state=str(state), error=None, updated_at=func.now())
    )
