"""Asks a model about a photo: cache, budget, repetition, fallback and one repair.

Every question ends in an outcome or in one of our errors, and is paid for once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from geosearch.errors import (
    ConfigError,
    LmmError,
    LmmPolicyRefusal,
    LmmRejected,
    LmmTimeout,
    LmmUnavailable,
)
from geosearch.lmm.accounts import CallState, Ledger, Limits, Settlement, StoredAnswer
from geosearch.lmm.answers import Outcome, Refusal, Unparsable, parse_reply
from geosearch.lmm.attempts import AnsweredElsewhere, Attempt, Attempts, Question
from geosearch.lmm.calls import CostSource, ModelClient, Reply
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.prompts import PROMPT_VERSION, repair_prompt

logger = logging.getLogger(__name__)

_REPAIR_CHARACTERS = 4000
_SHAPING = ("temperature", "top_p", "top_k", "seed", "reasoning_effort", "thinking", "max_tokens")


@dataclass(frozen=True, slots=True)
class Advice:
    """What came of a question.

    Args:
        outcome: answer, refusal or unparsable.
        model: the name in lmm.yaml that answered; another than asked after a fallback.
        answered_by: the model that the provider says has answered.
        cost_usd: of this question, 0 from the cache; None when the price is not known.
        cost_source: where the price comes from.
        is_cached: whether it was paid for earlier.
        calls: how many calls it took.
    """

    outcome: Outcome
    model: str
    answered_by: str
    cost_usd: float | None = 0.0
    cost_source: CostSource = CostSource.UNKNOWN
    is_cached: bool = False
    calls: int = 0


class Asker:
    """Puts questions to the models of a configuration; safe to use from many threads.

    Args:
        client: makes single calls.
        config: models, repetition, fallbacks.
        ledger: keeps costs and answers.
        limits: the most that may be spent.
        run_id: under which costs are counted together.
        use_cache: whether earlier answers serve.
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
        limits: Limits | None = None,
        run_id: UUID | None = None,
        use_cache: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        seed: int | None = None,
    ) -> None:
        self._client, self._config, self._ledger = client, config, ledger
        self._use_cache = use_cache
        self._attempts = Attempts(
            client,
            config,
            ledger,
            limits=limits if limits is not None else Limits(),
            run_id=run_id if run_id is not None else uuid4(),
            clock=clock,
            sleep=sleep,
            seed=seed,
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Advice]] = {}

    def check(self, model: str | None) -> str:
        """The name of the model, after making sure that it can be asked at all.

        Raises:
            ConfigError: it is unknown, takes no pictures, lacks a key, or has no price although
                there is a limit to keep.
        """
        group = self._config.group(model)
        for deployment in group:
            deployment.resolved(self._config.environment())
            if self._client.refuses_pictures(deployment):
                raise ConfigError(
                    f"{deployment.where}: {deployment.name} ({deployment.model}) takes no "
                    "pictures; name one that does, or say in its model_info that it does "
                    "(supports_vision: true)"
                )
            missing = self._client.missing_keys(deployment)
            if missing:
                raise ConfigError(
                    f"{deployment.where}: {deployment.name} ({deployment.model}) has no key; run: "
                    f"export {missing[0]}=… (or add api_key: os.environ/NAME to its litellm_params)"
                )
            self._attempts.refuse_unpriced(deployment)
        return group[0].name

    def deployments(self, model: str) -> str:
        """LiteLLM's model strings behind a name, in words that are the same for the same models."""
        return ", ".join(sorted({one.model for one in self._config.group(model)}))

    def ask(
        self, question: Question, model: str, *, sample: int = 0, deadline: float | None = None
    ) -> Advice:
        """The outcome for a question, by the model or by a fallback.

        Args:
            question: picture and prompt.
            model: its name in lmm.yaml.
            sample: number of the repetition; each is asked for itself.
            deadline: moment of the clock after which no new call is made.

        Raises:
            LmmError: no model replied, or the budget does not allow the call.
            ConfigError: the model cannot be asked as configured.
        """
        waiting, tried = [model], set[str]()
        refusal: Advice | None = None
        error: LmmError | None = None
        while waiting:
            name = waiting.pop(0)
            if name in tried:
                continue
            tried.add(name)
            try:
                advice = self._ask_once(question, name, sample, deadline)
            except LmmPolicyRefusal as forbidden:
                advice = Advice(Refusal(str(forbidden), by_policy=True), name, name)
            except (LmmUnavailable, LmmRejected) as failed:
                error = failed
                waiting += self._fallbacks(self._config.fallbacks, name)
                continue
            if not (isinstance(advice.outcome, Refusal) and advice.outcome.by_policy):
                return advice
            refusal = advice
            waiting += self._fallbacks(self._config.policy_fallbacks, name)
        if refusal is not None:
            return refusal
        raise error if error is not None else LmmRejected(f"no model was asked for {model}")

    def _fallbacks(self, chains: Mapping[str, tuple[str, ...]], name: str) -> list[str]:
        """The models to ask after `name`, without those that take no pictures."""
        found = []
        for other in chains.get(name, chains.get("*", ())):
            usable = [one for one in self._config.group(other) if self._is_usable(one)]
            if usable:
                found.append(usable[0].name)
        return found

    def _is_usable(self, deployment: Deployment) -> bool:
        try:
            if self._client.refuses_pictures(deployment):
                logger.warning(
                    "%s: the fallback %s is left out, it takes no pictures",
                    deployment.where,
                    deployment.name,
                )
                return False
            self._attempts.refuse_unpriced(deployment)
            deployment.resolved(self._config.environment())
        except ConfigError as error:
            logger.warning("the fallback %s is left out: %s", deployment.name, error)
            return False
        return True

    def _ask_once(
        self, question: Question, name: str, sample: int, deadline: float | None
    ) -> Advice:
        """One model's outcome; the same question at the same time is asked by one thread only."""
        key = self._key(question, name, sample)
        with self._lock:
            running = self._under_way.get(key)
            mine: Future[Advice] | None = None
            if running is None:
                mine = self._under_way[key] = Future()
        if running is not None:
            return self._from_another_thread(running, name, deadline)
        assert mine is not None
        try:
            advice = self._from_cache(key) or self._from_model(question, name, key, deadline)
            mine.set_result(advice)
            return advice
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[key]

    def _from_another_thread(
        self, running: Future[Advice], name: str, deadline: float | None
    ) -> Advice:
        """What another thread gets that is asking the same, within this one's time."""
        left_s = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            advice = running.result(left_s)
        except LmmError:
            raise  # LmmTimeout, the other's own, is a TimeoutError too
        except TimeoutError as error:
            raise LmmTimeout(f"{name} did not reply in time to who asked the same first") from error
        return replace(advice, cost_usd=0.0, is_cached=True, calls=0)

    def _from_cache(self, key: str) -> Advice | None:
        found = self._ledger.find_answer(key) if self._use_cache else None
        return None if found is None else _cached(found)

    def _from_model(
        self, question: Question, name: str, key: str, deadline: float | None
    ) -> Advice:
        """Ask, and ask once more if the reply cannot be read."""
        attempts, ledger = self._attempts, self._ledger
        try:
            first = attempts.reply_to(question, name, key, (), deadline)
        except AnsweredElsewhere as elsewhere:
            return _cached(elsewhere.answer)
        outcome = _read(first.reply)
        if not isinstance(outcome, Unparsable):
            answer = _stored(key, outcome, name, first.reply, question)
            ledger.settle(first.reservation, _paid(first), answer)
            return _advice(outcome, name, first.reply)
        ledger.settle(first.reservation, _paid(first))
        logger.info("a reply of %s cannot be read (sha256 %s)", name, outcome.digest)
        turns = ((first.reply.text[:_REPAIR_CHARACTERS], repair_prompt(outcome.reason)),)
        try:
            second = attempts.reply_to(question, name, key, turns, deadline)
        except (LmmError, AnsweredElsewhere) as error:
            # What was paid for is kept, or the same question would be paid for again.
            logger.info("the repair of a reply of %s failed: %s", name, error)
            ledger.keep_answer(_stored(key, outcome, name, first.reply, question))
            return _advice(outcome, name, first.reply)
        outcome = _read(second.reply)
        answer = _stored(key, outcome, name, second.reply, question)
        ledger.settle(second.reservation, _paid(second), answer)
        return _advice(outcome, name, first.reply, second.reply)

    def _key(self, question: Question, name: str, sample: int) -> str:
        """What an answer depends on, as sha256; neighbours, hint and area are in the text."""
        shaping = [
            [one.model, {key: one.params[key] for key in _SHAPING if key in one.params}]
            for one in self._config.group(name)
        ]
        parts = [question.picture.digest, PROMPT_VERSION, name, shaping, question.text, sample]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _read(reply: Reply) -> Outcome:
    outcome = parse_reply(reply.text)
    if reply.finish == "content_filter" and not reply.text.strip():
        return Refusal("the provider's content filter stopped the reply", by_policy=True)
    if isinstance(outcome, Unparsable) and reply.finish == "length":
        reason = "it was cut off at max_tokens; raise max_tokens in litellm_params"
        return replace(outcome, reason=reason)
    return outcome


def _paid(attempt: Attempt) -> Settlement:
    reply = attempt.reply
    return Settlement(
        CallState.SETTLED,
        attempt.seconds,
        reply.cost_usd,
        reply.cost_source,
        reply.model,
        reply.prompt_tokens,
        reply.completion_tokens,
    )


def _stored(
    key: str, outcome: Outcome, name: str, reply: Reply, question: Question
) -> StoredAnswer:
    return StoredAnswer(key, outcome, name, reply.model, question.picture.digest, PROMPT_VERSION)


def _advice(outcome: Outcome, name: str, *replies: Reply) -> Advice:
    known = [reply.cost_usd for reply in replies if reply.cost_usd is not None]
    return Advice(
        outcome,
        name,
        replies[-1].model,
        cost_usd=sum(known) if len(known) == len(replies) else None,
        cost_source=replies[-1].cost_source,
        calls=len(replies),
    )


def _cached(found: StoredAnswer) -> Advice:
    return Advice(found.outcome, found.model, found.answered_by, is_cached=True)
