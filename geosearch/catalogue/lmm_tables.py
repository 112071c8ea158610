"""The tables of what large multimodal models were asked, what it cost and what they answered."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    Double,
    Identity,
    Index,
    Numeric,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from geosearch.catalogue.models import Base, Timestamp

Dollars = Numeric(20, 12)
"""US dollars; a token of the cheapest models costs some 1e-8."""


class LmmCallRow(Base):
    """One call of a model: what was set aside for it, what it cost, how it ended.

    `cost_usd` is null while nobody knows it; then `most_usd` counts against limits.
    """

    __tablename__ = "lmm_call"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[UUID]
    answer_key: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(Text)
    deployment: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="reserved")
    most_usd: Mapped[Decimal | None] = mapped_column(Dollars)
    cost_usd: Mapped[Decimal | None] = mapped_column(Dollars)
    cost_source: Mapped[str | None] = mapped_column(Text)
    answered_by: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    seconds: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(Timestamp)

    __table_args__ = (
        CheckConstraint(
            "state IN ('reserved', 'settled', 'failed', 'unknown')", name="state_known"
        ),
        CheckConstraint("most_usd >= 0 AND cost_usd >= 0", name="dollars_not_negative"),
        # A question is under way once, whatever process asks it.
        Index(
            "uq_lmm_call_under_way",
            "answer_key",
            unique=True,
            postgresql_where=text("state = 'reserved'"),
        ),
        Index("ix_lmm_call_run_id", "run_id"),
        Index("ix_lmm_call_created_at", "created_at"),
        Index("ix_lmm_call_dearest", "deployment", "cost_usd"),
    )


class LmmAnswerRow(Base):
    """An answer that was paid for; the same question is not asked again."""

    __tablename__ = "lmm_answer"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    answered_by: Mapped[str] = mapped_column(Text)
    picture: Mapped[str] = mapped_column(String(64))
    prompt_version: Mapped[str] = mapped_column(Text)
    outcome: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class LmmObservationRow(Base):
    """Whether a model agreed with the photos found, once.

    Holds no photo, no place and no hour, so that no photo can be found again by it.
    """

    __tablename__ = "lmm_observation"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    deployments: Mapped[str] = mapped_column(Text)
    ranked_by: Mapped[str] = mapped_column(Text)
    stated: Mapped[float] = mapped_column(Double)
    expected: Mapped[float] = mapped_column(Double)
    probability: Mapped[float] = mapped_column(Double)
    agreed: Mapped[bool]
    observed_on: Mapped[date] = mapped_column(Date, server_default=func.current_date())

    __table_args__ = (
        CheckConstraint("probability >= 0 AND probability <= 1", name="is_probability"),
        CheckConstraint("stated > 0 AND stated < 1", name="stated_is_share"),
        CheckConstraint("expected > 0 AND expected < 1", name="expected_is_share"),
        Index("ix_lmm_observation_model", "model", "deployments", "id"),
    )
