"""The tables of the record; every rule that data must keep is a constraint here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from geosearch.records import IndexState, LabelSource, PhotoState

Timestamp = TIMESTAMP(timezone=True)


def _one_of(column: str, values: Iterable[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


class Base(DeclarativeBase):
    """Shared metadata; constraints are named so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class IngestRunRow(Base):
    """One call of ingest: when, of what, and its counts.

    `registered_at` is set where workers take the photos in, once all of them are in the intake.
    """

    __tablename__ = "ingest_run"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    registered_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    encoder: Mapped[str] = mapped_column(Text)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    scanned: Mapped[int] = mapped_column(BigInteger, server_default="0")
    indexed: Mapped[int] = mapped_column(BigInteger, server_default="0")
    updated: Mapped[int] = mapped_column(BigInteger, server_default="0")
    duplicates: Mapped[int] = mapped_column(BigInteger, server_default="0")
    unlabelled: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failed: Mapped[int] = mapped_column(BigInteger, server_default="0")


class PhotoRow(Base):
    """One photo by content: its label, its names, how far it has come.

    `id` is also the id of its point in the vector store.
    """

    __tablename__ = "photo"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    uri: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    lat: Mapped[float | None] = mapped_column(Double)
    lon: Mapped[float | None] = mapped_column(Double)
    label_source: Mapped[str | None] = mapped_column(Text)
    captured_at: Mapped[datetime | None] = mapped_column(Timestamp)
    author: Mapped[str | None] = mapped_column(Text)
    license: Mapped[str | None] = mapped_column(Text)
    caption: Mapped[str | None] = mapped_column(Text)
    camera: Mapped[str | None] = mapped_column(Text)
    country: Mapped[str | None] = mapped_column(String(2))
    country_name: Mapped[str | None] = mapped_column(Text)
    region: Mapped[str | None] = mapped_column(Text)
    city: Mapped[str | None] = mapped_column(Text)
    dataset: Mapped[str | None] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    state: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(
        Timestamp, server_default=func.now(), onupdate=func.now()
    )

    __table_args__ = (
        CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256_is_hex"),
        CheckConstraint("lat BETWEEN -90 AND 90", name="lat_range"),
        CheckConstraint("lon BETWEEN -180 AND 180", name="lon_range"),
        CheckConstraint("(lat IS NULL) = (lon IS NULL)", name="lat_with_lon"),
        CheckConstraint("(lat IS NULL) = (label_source IS NULL)", name="label_has_source"),
        CheckConstraint(_one_of("label_source", LabelSource), name="label_source_known"),
        CheckConstraint(_one_of("state", PhotoState), name="state_known"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
        CheckConstraint(
            "state NOT IN ('pending', 'embedded', 'indexed') OR lat IS NOT NULL",
            name="indexed_has_label",
        ),
        CheckConstraint("state <> 'unlabelled' OR lat IS NULL", name="unlabelled_has_none"),
        CheckConstraint("size_bytes >= 0 AND attempts >= 0", name="counts_not_negative"),
        CheckConstraint("country ~ '^[A-Z]{2}$'", name="country_is_iso"),
        # Sweeps look for what is not finished; finished rows are left out of their index.
        Index("ix_photo_unfinished", "state", postgresql_where=text("state <> 'indexed'")),
        Index("ix_photo_newest", text("captured_at DESC NULLS LAST"), "id"),
        Index("ix_photo_country", "country"),
        Index("ix_photo_dataset", "dataset"),
        Index("ix_photo_author", "author"),
    )


class SourceRow(Base):
    """One path or URL that was seen, with what tells whether it changed since.

    Several sources may hold the same photo; a source that could not even be read has an error and
    no photo.
    """

    __tablename__ = "source"

    uri: Mapped[str] = mapped_column(Text, primary_key=True)
    photo_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("photo.id", ondelete="CASCADE"), index=True
    )
    signature: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("ingest_run.id", ondelete="SET NULL"))

    __table_args__ = (
        CheckConstraint("photo_id IS NOT NULL OR error IS NOT NULL", name="photo_or_error"),
    )


class EmbeddingRow(Base):
    """Which photo is in the index of which encoder, under which point."""

    __tablename__ = "embedding"

    photo_id: Mapped[UUID] = mapped_column(
        ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True
    )
    encoder: Mapped[str] = mapped_column(Text, primary_key=True)
    point_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())

    __table_args__ = (Index("ix_embedding_encoder", "encoder"),)


class VectorIndexRow(Base):
    """The index of one encoder: being filled, in use (one is), or kept from an earlier time.

    `backbone` and `heads` are what loads the encoder again; unknown of indexes that are older than
    this table and were not used since.
    """

    __tablename__ = "vector_index"

    encoder: Mapped[str] = mapped_column(Text, primary_key=True)
    collection: Mapped[str] = mapped_column(Text, unique=True)
    backbone: Mapped[str | None] = mapped_column(Text)
    heads: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())

    __table_args__ = (
        CheckConstraint(_one_of("state", IndexState), name="state_known"),
        Index(
            "uq_vector_index_active", "state", unique=True, postgresql_where=text("state='active'")
        ),
    )


class BacklogRow(Base):
    """A photo that changed after an index last saw it; it may be gone by now.

    `serial` grows with every change, so that whoever looked at an older one takes nothing away.
    """

    __tablename__ = "index_backlog"

    encoder: Mapped[str] = mapped_column(
        ForeignKey("vector_index.encoder", ondelete="CASCADE"), primary_key=True
    )
    photo_id: Mapped[UUID] = mapped_column(primary_key=True)
    serial: Mapped[int] = mapped_column(BigInteger, Identity(always=False))

    __table_args__ = (Index("ix_index_backlog_serial", "encoder", "serial"),)


class IntakeRow(Base):
    """One path or URL that was registered to be read: waiting, finished, or given up (`error`).

    `claims` are what a manifest says of it, dropped once it is taken in; `digest` stays and tells
    the next registration whether anything changed. A worker that reads it holds a lease, counted
    as an attempt before anything is read.
    """

    __tablename__ = "intake"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    uri: Mapped[str] = mapped_column(Text, unique=True)
    claims: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("ingest_run.id", ondelete="SET NULL"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    registered_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    claimed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    error: Mapped[str | None] = mapped_column(Text)
    leased_by: Mapped[str | None] = mapped_column(Text)
    leased_until: Mapped[datetime | None] = mapped_column(Timestamp)
    outcome: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint("error IS NULL OR finished_at IS NOT NULL", name="given_up_is_finished"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        CheckConstraint("(leased_by IS NULL) = (leased_until IS NULL)", name="lease_has_owner"),
        Index(
            "ix_intake_suspect",
            "id",
            postgresql_where=text("finished_at IS NULL AND attempts > 0"),
        ),
        Index("ix_intake_waiting", "id", postgresql_where=text("finished_at IS NULL")),
        Index("ix_intake_given_up", "id", postgresql_where=text("error IS NOT NULL")),
    )


class LocateRunRow(Base):
    """One call of locate whose photos workers locate; `token` is what its command calls it.

    `touched_at` is when its command last asked; a run that nobody asks for is forgotten one day.
    """

    __tablename__ = "locate_run"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    token: Mapped[UUID] = mapped_column(unique=True)
    encoder: Mapped[str] = mapped_column(Text)
    lmm: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    criteria: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    touched_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class LocateRow(Base):
    """One photo to be located, leased as rows of the intake are, and its answer.

    The row goes once the answer was fetched. `claims` holds the reason of a photo that is known to
    be unreadable.
    """

    __tablename__ = "locate"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("locate_run.id", ondelete="CASCADE"))
    uri: Mapped[str] = mapped_column(Text)
    claims: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    attempts: Mapped[int] = mapped_column(server_default="0")
    registered_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    claimed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    leased_by: Mapped[str | None] = mapped_column(Text)
    leased_until: Mapped[datetime | None] = mapped_column(Timestamp)
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (
        UniqueConstraint("run_id", "uri"),
        CheckConstraint("(answer IS NULL) = (finished_at IS NULL)", name="answered_is_finished"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
        CheckConstraint("(leased_by IS NULL) = (leased_until IS NULL)", name="lease_has_owner"),
        Index("ix_locate_waiting", "run_id", "id", postgresql_where=text("finished_at IS NULL")),
        Index("ix_locate_run_id", "run_id", "id"),
    )


class ApiKeyRow(Base):
    """A key of the HTTP API: its hash, never itself; `scopes` says what it may do."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(8), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    revoked_at: Mapped[datetime | None] = mapped_column(Timestamp)

    __table_args__ = (
        CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
        CheckConstraint(
            "scopes <@ ARRAY['read', 'write', 'admin'] AND cardinality(scopes) > 0",
            name="scopes_known",
        ),
    )


class UploadRow(Base):
    """The answer to an upload that carried an idempotency key, given again when it is repeated."""

    __tablename__ = "api_upload"

    token: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now(), index=True)


class JobRow(Base):
    """Work that outlives its request: what was asked, how far it is, what came of it."""

    __tablename__ = "api_job"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    results: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))
    state: Mapped[str] = mapped_column(Text, server_default="queued")
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    kind: Mapped[str] = mapped_column(Text, server_default="locate")
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))

    __table_args__ = (
        CheckConstraint("kind IN ('locate', 'ingest')", name="kind_known"),
        CheckConstraint("state IN ('queued', 'done', 'failed')", name="state_known"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
        Index("ix_api_job_queued", "created_at", postgresql_where=text("state = 'queued'")),
    )
