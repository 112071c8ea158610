"""One model asked until it replies: mode of answer, budget, repetition, deployments of one name.

Money is set aside before each call and settled after it, whatever comes of the call.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from geosearch.errors import (
    BudgetExceeded,
    ConfigError,
    GeosearchError,
    LmmError,
    LmmRejected,
    LmmTimeout,
    LmmUnavailable,
)
from geosearch.lmm.accounts import CallDraft, CallState, Ledger, Limits, Settlement, StoredAnswer
from geosearch.lmm.backoff import wait_s
from geosearch.lmm.calls import Call, ModelClient, Reply
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.modes import ModeMemory
from geosearch.lmm.pictures import Picture

_LEASE_S = 30.0  # over a call's own limit, before its reservation counts as broken off
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Question:
    """A picture and a prompt; `purpose` names the step, as `zero-shot`."""

    picture: Picture
    text: str = field(repr=False)
    purpose: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A reply whose reservation is not settled yet, and the seconds it took."""

    reply: Reply
    reservation: int
    seconds: float


class AnsweredElsewhere(Exception):
    """Another process has asked the same at the same time; its answer is there to use."""

    def __init__(self, answer: StoredAnswer) -> None:
        super().__init__()
        self.answer = answer


class Attempts:
    """Calls the deployments of a model name until one replies.

    Args:
        client: makes single calls.
        config: models, repetition, limits of time.
        ledger: where money is set aside and settled.
        limits: the most that may be spent.
        run_id: under which costs are counted together.
        clock: seconds, monotonic.
        sleep: waits so many seconds.
        seed: of the chance in waits and in the choice among deployments of one name.
    """

    def __init__(
        self,
        client: ModelClient,
        config: LmmConfig,
        ledger: Ledger,
        *,
        limits: Limits,
        run_id: UUID,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        seed: int | None = None,
    ) -> None:
        self._client, self._config, self._ledger = client, config, ledger
        self._limits, self._run_id = limits, run_id
        self._clock, self._sleep = clock, sleep
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._modes = ModeMemory()

    def reply_to(
        self,
        question: Question,
        name: str,
        key: str,
        turns: tuple[tuple[str, str], ...],
        deadline: float | None,
    ) -> Attempt:
        """A reply, after as many tries as are allowed.

        Args:
            question: picture and prompt.
            name: of the model in lmm.yaml.
            key: of the answer in the cache.
            turns: (reply, correction) pairs that follow the prompt.
            deadline: moment of the clock after which no new call is made.

        Raises:
            LmmError: there is none.
            AnsweredElsewhere: another process was quicker.
        """
        failures, avoided = 0, set[int]()
        while True:
            deployment = self._choose(self._config.group(name), avoided)
            mode = self._modes.mode_for(deployment)
            limit_s = deployment.timeout_s or self._config.timeout_s
            if deadline is not None:
                limit_s = min(limit_s, deadline - self._clock())
            if limit_s <= 0.0:
                raise LmmTimeout(f"no time was left to ask {name}")
            call = Call(question.text, question.picture, mode, limit_s, turns)
            reservation = self._reserve(deployment, call, question.purpose, key, deadline)
            start = self._clock()
            try:
                reply = self._client.complete(deployment, call)
            except BaseException as error:
                self._settle_failure(reservation, error, self._clock() - start)
                if isinstance(error, LmmRejected) and error.status in (400, 422):
                    if self._modes.may_step_down(deployment, mode):
                        continue
                if not isinstance(error, LmmUnavailable):
                    raise
                failures += 1
                avoided.add(id(deployment))
                if failures > self._config.retries:
                    raise
                self._wait(failures, error, deadline)
                continue
            self._modes.note_taken(deployment, mode)
            return Attempt(reply, reservation, self._clock() - start)

    def _wait(self, failures: int, error: LmmUnavailable, deadline: float | None) -> None:
        """Wait before the next try; raise the error at once if that would take too long."""
        with self._lock:
            seconds = wait_s(
                failures,
                error.retry_after_s,
                least_s=self._config.retry_after_s,
                generator=self._chance,
            )
        if deadline is not None and self._clock() + seconds >= deadline:
            raise error
        self._sleep(seconds)

    def _settle_failure(self, reservation: int, error: BaseException, seconds: float) -> None:
        is_ours = isinstance(error, GeosearchError)
        is_unknown = not is_ours or (isinstance(error, LmmError) and error.is_payment_unknown)
        self._ledger.settle(
            reservation,
            Settlement(
                CallState.UNKNOWN if is_unknown else CallState.FAILED,
                seconds,
                cost_usd=None if is_unknown else 0.0,
                error=str(error)[:500] or type(error).__name__,
            ),
        )

    def _reserve(
        self,
        deployment: Deployment,
        call: Call,
        purpose: str,
        key: str,
        deadline: float | None,
    ) -> int:
        """Set money aside; wait for it while running calls hold some that they may give back."""
        self.refuse_unpriced(deployment)
        draft = CallDraft(
            self._run_id,
            key,
            deployment.name,
            deployment.model,
            purpose,
            self._client.estimate(deployment, call).cost_usd,
            call.timeout_s + _LEASE_S,
        )
        while True:
            try:
                reservation = self._ledger.reserve(draft, self._limits)
            except BudgetExceeded as error:
                if error.is_final or (deadline is not None and self._clock() >= deadline):
                    raise
                self._sleep(_POLL_S)
                continue
            if reservation is not None:
                return reservation
            found = self._ledger.find_answer(key)
            if found is not None:
                raise AnsweredElsewhere(found)
            if deadline is not None and self._clock() >= deadline:
                raise LmmTimeout(f"another process has been asking {deployment.name} for too long")
            self._sleep(_POLL_S)

    def refuse_unpriced(self, deployment: Deployment) -> None:
        """Make sure that a limit can be kept.

        Raises:
            ConfigError: there is one, and the price of the deployment is not known.
        """
        if self._limits.are_set and not self._client.is_priced(deployment):
            raise ConfigError(
                f"{deployment.where}: the price of {deployment.name} ({deployment.model}) is not "
                "known, so no limit on cost can be kept; add input_cost_per_token and "
                "output_cost_per_token to its litellm_params (0 for a server of your own)"
            )

    def _choose(self, group: tuple[Deployment, ...], avoided: set[int]) -> Deployment:
        """One of the deployments by chance and weight, those that just failed last."""
        fresh = [one for one in group if id(one) not in avoided] or list(group)
        weights = [float(one.params.get("weight") or 1.0) for one in fresh]
        with self._lock:
            return self._chance.choices(fresh, weights)[0]
