"""What calls cost and what they answered: the port to the record of both."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from geosearch.geo import Coordinate
from geosearch.lmm.answers import Answer, Outcome, Refusal, Unparsable
from geosearch.lmm.calls import CostSource


class CallState(StrEnum):
    """How far a call has come."""

    RESERVED = "reserved"
    """Its greatest cost is set aside; it is under way, or its process died."""
    SETTLED = "settled"
    """A reply came; its cost is what it was."""
    FAILED = "failed"
    """The provider turned it down; it cost nothing."""
    UNKNOWN = "unknown"
    """The connection broke or took too long; the provider may charge what was set aside."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be spent, in US dollars; None is no limit.

    Args:
        run_usd: by one run.
        month_usd: in the calendar month (UTC), by all that share the catalogue.
    """

    run_usd: float | None = None
    month_usd: float | None = None

    @property
    def are_set(self) -> bool:
        """Whether there is any limit, so that prices must be known."""
        return self.run_usd is not None or self.month_usd is not None


@dataclass(frozen=True, slots=True)
class CallDraft:
    """A call before it is made.

    Args:
        run_id: the run that pays.
        key: of its answer in the cache.
        model: the name in lmm.yaml.
        deployment: LiteLLM's model string.
        purpose: the step it is for, as `zero-shot`.
        most_usd: the most that it can cost, None if nobody knows.
        expires_s: seconds after which it counts as broken off.
    """

    run_id: UUID
    key: str
    model: str
    deployment: str
    purpose: str
    most_usd: float | None
    expires_s: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """A call after it was made; tokens and cost as the reply says."""

    state: CallState
    seconds: float
    cost_usd: float | None = 0.0
    cost_source: CostSource = CostSource.UNKNOWN
    answered_by: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as the cache keeps it.

    Args:
        key: sha256 (hex) of picture, prompt version, model, whole prompt and sample.
        outcome: answer, refusal or unparsable.
        model: the name in lmm.yaml.
        answered_by: the model that the provider says has answered.
        picture: sha256 of the picture that was sent.
        prompt_version: of the words it was asked with.
    """

    key: str
    outcome: Outcome
    model: str
    answered_by: str
    picture: str
    prompt_version: str


class Ledger(Protocol):
    """The record of calls and answers; safe to use from many threads and processes."""

    def find_answer(self, key: str) -> StoredAnswer | None:
        """The answer that was paid for already."""

    def reserve(self, draft: CallDraft, limits: Limits) -> int | None:
        """Set the greatest cost of a call aside, before it is made.

        Returns:
            The number of the reservation; None if a call for the same key is under way.

        Raises:
            BudgetExceeded: it might spend more than a limit.
        """

    def settle(
        self, reservation: int, settlement: Settlement, answer: StoredAnswer | None = None
    ) -> None:
        """Replace what was set aside by what it was, and keep the answer, in one step."""

    def keep_answer(self, answer: StoredAnswer) -> None:
        """Keep an answer whose calls are settled."""


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON can hold it."""
    match outcome:
        case Answer(coordinate, place, reasoning, notes):
            return {
                "kind": "answer",
                "lat": coordinate.lat,
                "lon": coordinate.lon,
                "place": place,
                "reasoning": reasoning,
                "notes": list(notes),
            }
        case Refusal(reason, by_policy):
            return {"kind": "refusal", "reason": reason, "by_policy": by_policy}
        case Unparsable(reason, digest):
            return {"kind": "unparsable", "reason": reason, "digest": digest}


def outcome_of(document: dict[str, Any]) -> Outcome:
    """The outcome that `outcome_document` wrote."""
    match document["kind"]:
        case "answer":
            return Answer(
                Coordinate(document["lat"], document["lon"]),
                document["place"],
                document["reasoning"],
                tuple(document["notes"]),
            )
        case "refusal":
            return Refusal(document["reason"], document["by_policy"])
        case _:
            return Unparsable(document["reason"], document["digest"])
