"""A ledger and a model in memory, for tests and for trying things without a provider."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping

from geosearch.errors import BudgetExceeded
from geosearch.lmm.accounts import CallDraft, CallState, Limits, Settlement, StoredAnswer
from geosearch.lmm.calls import Call, CostSource, Estimate, Reply
from geosearch.lmm.config import Deployment


class MemoryLedger:
    """The `Ledger` of one process, forgotten at its end; the month is its lifetime."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self.answers: dict[str, StoredAnswer] = {}
        self.drafts: dict[int, CallDraft] = {}
        self.settlements: dict[int, Settlement] = {}

    def find_answer(self, key: str) -> StoredAnswer | None:
        """The answer that was paid for already."""
        with self._lock:
            return self.answers.get(key)

    def reserve(self, draft: CallDraft, limits: Limits) -> int | None:
        """Set the greatest cost of a call aside; None if one for the same key is under way.

        Raises:
            BudgetExceeded: it might spend more than a limit.
        """
        with self._lock:
            held = {at: one for at, one in self.drafts.items() if at not in self.settlements}
            if any(one.key == draft.key for one in held.values()):
                return None
            for limit, is_run in ((limits.run_usd, True), (limits.month_usd, False)):
                counted = [at for at, one in self.drafts.items()
                           if not is_run or one.run_id == draft.run_id]  # fmt: skip
                spent = sum(self._counted(at) for at in counted)
                back = sum(self._counted(at) for at in counted if at in held)
                needed = draft.most_usd or 0.0
                if limit is not None and spent + needed > limit:
                    raise BudgetExceeded(
                        f"the limit is {limit:g} US dollars; {spent:.4f} are spent or set aside",
                        is_final=spent - back + needed > limit,
                    )
            number = next(self._numbers)
            self.drafts[number] = draft
            return number

    def settle(
        self, reservation: int, settlement: Settlement, answer: StoredAnswer | None = None
    ) -> None:
        """Replace what was set aside by what it was, and keep the answer."""
        with self._lock:
            self.settlements[reservation] = settlement
            if answer is not None:
                self.answers[answer.key] = answer

    def keep_answer(self, answer: StoredAnswer) -> None:
        """Keep an answer whose calls are settled."""
        with self._lock:
            self.answers[answer.key] = answer

    def states(self) -> list[CallState]:
        """How each call ended, in the order they were made."""
        with self._lock:
            return [self.settlements[at].state if at in self.settlements else CallState.RESERVED
                    for at in self.drafts]  # fmt: skip

    def _counted(self, at: int) -> float:
        settlement = self.settlements.get(at)
        if settlement is not None and settlement.cost_usd is not None:
            return settlement.cost_usd
        return self.drafts[at].most_usd or 0.0


class ScriptedClient:
    """A `ModelClient` whose replies a function gives: a text, or an error to raise.

    Args:
        reply: called with each deployment and call, from any thread.
        price_usd: of every call, None for an unknown price.
        text_only: names of models that take no pictures.
    """

    def __init__(
        self,
        reply: Callable[[Deployment, Call], str | Exception],
        *,
        price_usd: float | None = 0.001,
        text_only: tuple[str, ...] = (),
        finishes: Mapping[str, str] | None = None,
    ) -> None:
        self._reply, self._price, self._text_only = reply, price_usd, text_only
        self._finishes = dict(finishes or {})
        self.calls: list[tuple[Deployment, Call]] = []
        self._lock = threading.Lock()

    def complete(self, deployment: Deployment, call: Call) -> Reply:
        """What the script says."""
        with self._lock:
            self.calls.append((deployment, call))
        said = self._reply(deployment, call)
        if isinstance(said, Exception):
            raise said
        finish = self._finishes.get(said, "stop")
        return Reply(said, deployment.model, finish, 300, 30, self._price, self._source)

    def estimate(self, deployment: Deployment, call: Call) -> Estimate:
        """Twice the price."""
        return Estimate(None if self._price is None else 2.0 * self._price, self._source)

    def is_priced(self, deployment: Deployment) -> bool:
        """Whether there is a price."""
        return self._price is not None

    def missing_keys(self, deployment: Deployment) -> tuple[str, ...]:
        """None: it needs no key."""
        return ()

    def refuses_pictures(self, deployment: Deployment) -> bool:
        """Whether the name is among `text_only`."""
        return deployment.name in self._text_only

    @property
    def _source(self) -> CostSource:
        return CostSource.UNKNOWN if self._price is None else CostSource.CONFIG
