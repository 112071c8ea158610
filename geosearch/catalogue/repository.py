"""The questions and changes that ingest and answers need of the record, one transaction each.

Rows in, values out: no ORM object leaves this module, no transaction outlives a call.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Select, case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import sessionmaker

from geosearch.catalogue.models import EmbeddingRow, IngestRunRow, PhotoRow, SourceRow
from geosearch.catalogue.session import session_scope, translated_errors
from geosearch.geo import Coordinate
from geosearch.records import (
    IngestReport,
    Label,
    LabelSource,
    PhotoFact,
    PhotoState,
    Place,
)


@dataclass(frozen=True, slots=True)
class PhotoDraft:
    """A photo as it is to be written; `id` and `sha256` never change, all else may."""

    id: UUID
    sha256: str
    uri: str
    size_bytes: int
    state: PhotoState
    width: int | None = None
    height: int | None = None
    label: Label | None = None
    place: Place | None = None
    captured_at: datetime | None = None
    author: str | None = None
    license: str | None = None
    caption: str | None = None
    camera: str | None = None
    dataset: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class KnownPhoto:
    """A photo as recorded, with what deciding about it needs.

    `is_embedded` is about the encoder asked for; `is_claimed` tells that the run asked for has
    already taken in a source with these bytes.
    """

    draft: PhotoDraft
    is_embedded: bool
    is_claimed: bool


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A path or URL as recorded: its signature then, and the photo it held."""

    signature: str | None
    photo: KnownPhoto | None


@dataclass(frozen=True, slots=True)
class SourceDraft:
    """A path or URL as it is to be written; without a photo it has an error."""

    uri: str
    signature: str | None
    photo_id: UUID | None
    error: str | None = None


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
                photo.id: KnownPhoto(_draft(photo), is_embedded, is_claimed)
                for photo, is_claimed, is_embedded in rows
            }

    def unfinished(
        self, states: Collection[PhotoState], *, after: UUID | None = None, limit: int = 256
    ) -> list[PhotoDraft]:
        """Photos in these states, in order of id, beginning after one."""
        query = select(PhotoRow).where(PhotoRow.state.in_([str(state) for state in states]))
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
            return [_draft(row) for row in rows]

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
                session.execute(_WRITE_PHOTO, [_values(photo) for photo in photos])
            if sources:
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

    def mark_indexed(self, ids: Collection[UUID]) -> None:
        """The points of these photos are durable and carry the recorded facts."""
        with session_scope(self._sessions) as session:
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
        with session_scope(self._sessions) as session:
            rows = session.execute(select(*_FACTS).where(PhotoRow.id.in_(ids))).all()
        return {row.id: _fact(row) for row in rows}

    def newest(self, *, batch: int = 2000) -> Generator[list[PhotoFact]]:
        """Indexed photos, newest first, those without a time last, in batches."""
        query = (
            select(*_FACTS)
            .where(PhotoRow.state == str(PhotoState.INDEXED))
            .order_by(PhotoRow.captured_at.desc().nulls_last(), PhotoRow.id)
        )
        with translated_errors(), self._engine.connect() as connection:
            # The cursor is closed with the generator, also by a caller who has seen enough.
            with connection.execution_options(yield_per=batch).execute(query) as stream:
                for rows in stream.partitions():
                    yield [_fact(row) for row in rows]

    def export_rows(self, *, dataset: str | None = None) -> Iterator[dict[str, Any]]:
        """Every photo as a flat mapping, in order of path, a stream."""
        query = select(*_EXPORT).order_by(PhotoRow.uri)
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

_FACTS = (
    PhotoRow.id,
    PhotoRow.uri,
    PhotoRow.lat,
    PhotoRow.lon,
    PhotoRow.city,
    PhotoRow.region,
    PhotoRow.country_name,
    PhotoRow.country,
    PhotoRow.captured_at,
    PhotoRow.dataset,
    PhotoRow.author,
    PhotoRow.license,
    PhotoRow.caption,
)

_EXPORT = (
    PhotoRow.uri.label("path"),
    PhotoRow.lat,
    PhotoRow.lon,
    PhotoRow.captured_at,
    PhotoRow.dataset,
    PhotoRow.country,
    PhotoRow.region,
    PhotoRow.city,
    PhotoRow.state,
    PhotoRow.label_source,
    PhotoRow.author,
    PhotoRow.license,
    PhotoRow.caption,
    PhotoRow.error,
    PhotoRow.sha256,
)


def _advance(ids: Collection[UUID], state: PhotoState) -> Any:
    return (
        update(PhotoRow)
        .where(PhotoRow.id.in_(ids))
        .values(state=str(state), error=None, updated_at=func.now())
    )


def _values(photo: PhotoDraft) -> dict[str, Any]:
    label, place = photo.label, photo.place
    return {
        "id": photo.id,
        "sha256": photo.sha256,
        "uri": photo.uri,
        "size_bytes": photo.size_bytes,
        "width": photo.width,
        "height": photo.height,
        "lat": None if label is None else label.coordinate.lat,
        "lon": None if label is None else label.coordinate.lon,
        "label_source": None if label is None else str(label.source),
        "captured_at": photo.captured_at,
        "author": photo.author,
        "license": photo.license,
        "caption": photo.caption,
        "camera": photo.camera,
        "country": None if place is None else place.country,
        "country_name": None if place is None else place.country_name,
        "region": None if place is None else place.region,
        "city": None if place is None else place.city,
        "dataset": photo.dataset,
        "attributes": dict(photo.attributes),
        "state": str(photo.state),
        "error": photo.error,
    }


def _draft(row: PhotoRow) -> PhotoDraft:
    label = None
    if row.lat is not None and row.lon is not None and row.label_source is not None:
        label = Label(Coordinate(row.lat, row.lon), LabelSource(row.label_source))
    return PhotoDraft(
        id=row.id,
        sha256=row.sha256,
        uri=row.uri,
        size_bytes=row.size_bytes,
        state=PhotoState(row.state),
        width=row.width,
        height=row.height,
        label=label,
        place=_place(row),
        captured_at=row.captured_at,
        author=row.author,
        license=row.license,
        caption=row.caption,
        camera=row.camera,
        dataset=row.dataset,
        attributes=row.attributes,
        error=row.error,
    )


def _place(row: Any) -> Place | None:
    if row.country is None:
        return None
    return Place(row.country, row.country_name or row.country, row.region, row.city)


def _fact(row: Any) -> PhotoFact:
    place = _place(row)
    return PhotoFact(
        id=row.id,
        path=row.uri,
        coordinate=None if row.lat is None else Coordinate(row.lat, row.lon),
        place="" if place is None else str(place),
        country=row.country,
        captured_at=row.captured_at,
        dataset=row.dataset,
        author=row.author,
        license=row.license,
        caption=row.caption,
    )
