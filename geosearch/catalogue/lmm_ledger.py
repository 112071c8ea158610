"""Costs and answers of model calls in PostgreSQL: set aside before, settled after, kept for good.

Limits hold across threads and processes: whoever sets money aside under a limit does so alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, sessionmaker

from geosearch.catalogue.lmm_tables import LmmAnswerRow, LmmCallRow
from geosearch.catalogue.session import session_scope
from geosearch.errors import BudgetExceeded
from geosearch.lmm.accounts import (
    CallDraft,
    CallState,
    Limits,
    Settlement,
    StoredAnswer,
    outcome_document,
    outcome_of,
)

_RESERVED = str(CallState.RESERVED)
_COUNTED = func.coalesce(LmmCallRow.cost_usd, LmmCallRow.most_usd, Decimal(0))
_MARGIN = Decimal("1.1")  # on the dearest call so far, where it cost more than was foreseen


@dataclass(frozen=True, slots=True)
class Spending:
    """What a model cost since some moment.

    Args:
        model: its name in lmm.yaml.
        calls: by state.
        cost_usd: of settled calls.
        unsure_usd: what broken calls may have cost at most.
    """

    model: str
    calls: Mapping[str, int]
    cost_usd: float
    unsure_usd: float


class LmmLedger:
    """The record of calls and answers over one engine; safe to share between threads.

    Every method raises `CatalogueError` when PostgreSQL refuses.
    """

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)

    def find_answer(self, key: str) -> StoredAnswer | None:
        """The answer that was paid for already."""
        with session_scope(self._sessions) as session:
            row = session.get(LmmAnswerRow, key)
            if row is None:
                return None
            return StoredAnswer(
                row.key,
                outcome_of(row.outcome),
                row.model,
                row.answered_by,
                row.picture,
                row.prompt_version,
            )

    def reserve(self, draft: CallDraft, limits: Limits) -> int | None:
        """Set the greatest cost of a call aside; None if one for the same key is under way.

        Raises:
            BudgetExceeded: it might spend more than a limit.
        """
        # Not durable at once: only a crash of the server could lose it, and its caller with it.
        with session_scope(self._sessions, is_durable=False) as session:
            most = None if draft.most_usd is None else Decimal(str(draft.most_usd))
            if limits.are_set:
                session.execute(text("SELECT pg_advisory_xact_lock(hashtext('geosearch.lmm'))"))
                most = self._at_least_the_dearest(session, draft.deployment, most)
                _refuse_overspending(session, draft, limits, most)
            number = session.execute(_reservation(draft, most)).scalar_one_or_none()
            if number is None and session.execute(_broken_off(draft.key)).scalars().all():
                number = session.execute(_reservation(draft, most)).scalar_one_or_none()
            return number

    def settle(
        self, reservation: int, settlement: Settlement, answer: StoredAnswer | None = None
    ) -> None:
        """Replace what was set aside by what it was, and keep the answer, in one transaction."""
        cost = settlement.cost_usd
        with session_scope(self._sessions) as session:
            session.execute(
                update(LmmCallRow)
                .where(LmmCallRow.id == reservation)
                .values(
                    state=str(settlement.state),
                    cost_usd=None if cost is None else Decimal(str(cost)),
                    cost_source=str(settlement.cost_source),
                    answered_by=settlement.answered_by,
                    prompt_tokens=settlement.prompt_tokens,
                    completion_tokens=settlement.completion_tokens,
                    seconds=settlement.seconds,
                    error=settlement.error,
                )
            )
            if answer is not None:
                session.execute(_keep(answer))

    def keep_answer(self, answer: StoredAnswer) -> None:
        """Keep an answer whose calls are settled."""
        with session_scope(self._sessions) as session:
            session.execute(_keep(answer))

    def spending(self, *, since: datetime | None = None) -> list[Spending]:
        """What each model cost since a moment, or ever; the dearest first."""
        query = select(
            LmmCallRow.model,
            LmmCallRow.state,
            func.count(),
            func.sum(func.coalesce(LmmCallRow.cost_usd, Decimal(0))),
            func.sum(func.coalesce(LmmCallRow.most_usd, Decimal(0))),
        ).group_by(LmmCallRow.model, LmmCallRow.state)
        if since is not None:
            query = query.where(LmmCallRow.created_at >= since)
        calls: dict[str, dict[str, int]] = {}
        cost: dict[str, float] = {}
        unsure: dict[str, float] = {}
        with session_scope(self._sessions) as session:
            for model, state, count, spent, most in session.execute(query):
                calls.setdefault(model, {})[state] = count
                cost[model] = cost.get(model, 0.0) + float(spent)
                if state in (_RESERVED, str(CallState.UNKNOWN)):
                    unsure[model] = unsure.get(model, 0.0) + float(most)
        found = [Spending(name, calls[name], cost[name], unsure.get(name, 0.0)) for name in calls]
        return sorted(found, key=lambda one: (-one.cost_usd, one.model))

    @staticmethod
    def _at_least_the_dearest(
        session: Session, deployment: str, most: Decimal | None
    ) -> Decimal | None:
        """What is set aside: the estimate, or more where calls have cost more than that."""
        if most is None:
            return None
        dearest = session.scalar(
            select(func.max(LmmCallRow.cost_usd)).where(LmmCallRow.deployment == deployment)
        )
        return most if dearest is None or dearest <= most else dearest * _MARGIN


def _refuse_overspending(
    session: Session, draft: CallDraft, limits: Limits, most: Decimal | None
) -> None:
    month = func.date_trunc("month", func.now(), "UTC")
    for name, limit, which in (
        ("--max-cost-usd", limits.run_usd, LmmCallRow.run_id == draft.run_id),
        ("GEOSEARCH_LMM_MONTHLY_BUDGET_USD", limits.month_usd, LmmCallRow.created_at >= month),
    ):
        if limit is None:
            continue
        is_held = (LmmCallRow.state == _RESERVED) & (LmmCallRow.expires_at >= func.now())
        counted, held = session.execute(
            select(
                func.coalesce(func.sum(_COUNTED), Decimal(0)),
                func.coalesce(func.sum(_COUNTED).filter(is_held), Decimal(0)),
            ).where(which)
        ).one()
        needed = most if most is not None else Decimal(0)
        allowed = Decimal(str(limit))
        if counted + needed > allowed:
            raise BudgetExceeded(
                f"{name} is {limit:g} US dollars: {float(counted):.4f} are spent or set aside, and "
                f"the next call of {draft.model} may cost up to {float(needed):.4f}; raise the "
                "limit, or lower max_tokens in litellm_params",
                is_final=counted - held + needed > allowed,
            )


def _reservation(draft: CallDraft, most: Decimal | None) -> Any:
    """Writes a reservation down; nothing if one for the same key is under way."""
    statement = insert(LmmCallRow).values(
        run_id=draft.run_id,
        answer_key=draft.key,
        model=draft.model,
        deployment=draft.deployment,
        purpose=draft.purpose,
        most_usd=most,
        expires_at=func.now() + timedelta(seconds=draft.expires_s),
    )
    return statement.on_conflict_do_nothing(
        index_elements=[LmmCallRow.answer_key], index_where=LmmCallRow.state == text("'reserved'")
    ).returning(LmmCallRow.id)


def _broken_off(key: str) -> Any:
    """Ends reservations for a key whose process did not come back in time."""
    statement = update(LmmCallRow).where(
        LmmCallRow.answer_key == key,
        LmmCallRow.state == _RESERVED,
        LmmCallRow.expires_at < func.now(),
    )
    ended = statement.values(state=str(CallState.UNKNOWN), error="its process did not come back")
    return ended.returning(LmmCallRow.id)


def _keep(answer: StoredAnswer) -> Any:
    values = {
        "model": answer.model,
        "answered_by": answer.answered_by,
        "picture": answer.picture,
        "prompt_version": answer.prompt_version,
        "outcome": outcome_document(answer.outcome),
    }
    statement = insert(LmmAnswerRow).values(key=answer.key, **values)
    return statement.on_conflict_do_update(
        index_elements=[LmmAnswerRow.key], set_={**values, "created_at": func.now()}
    )
