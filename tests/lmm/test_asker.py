from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from geosearch.errors import (
    BudgetExceeded,
    ConfigError,
    LmmError,
    LmmPolicyRefusal,
    LmmRejected,
    LmmTimeout,
    LmmUnavailable,
)
from geosearch.lmm.accounts import CallState, Limits
from geosearch.lmm.answers import Answer, Refusal, Unparsable
from geosearch.lmm.asker import Asker
from geosearch.lmm.attempts import Question
from geosearch.lmm.calls import AnswerMode, Call
from geosearch.lmm.config import Deployment, LmmConfig
from geosearch.lmm.fakes import MemoryLedger, ScriptedClient
from geosearch.lmm.pictures import Picture

GOOD = '{"latitude": 1.5, "longitude": 2.5}'
DOWN = LmmUnavailable("down")
CONFIG = LmmConfig(
    Path("lmm.yaml"),
    tuple(Deployment(name, {"model": f"x/{name}"}, where="lmm.yaml, line 1") for name in "abc"),
    fallbacks={"a": ("b", "c")},
    policy_fallbacks={"a": ("c",)},
)
QUESTION = Question(Picture(b"", "0" * 64, 8, 8), "where?", "zero-shot")

Reply = Callable[[Deployment, Call], str | Exception]


def asker_of(
    reply: Reply, *, limits: Limits | None = None, config: LmmConfig = CONFIG, **client: object
) -> tuple[Asker, ScriptedClient, MemoryLedger]:
    ledger, scripted = MemoryLedger(), ScriptedClient(reply, **client)  # type: ignore[arg-type]
    asker = Asker(
        scripted, config, ledger, limits=limits, sleep=lambda _: None, seed=0, run_id=UUID(int=1)
    )
    return asker, scripted, ledger


def by_name(**replies: str | Exception) -> Reply:
    return lambda deployment, call: replies[deployment.name]


def test_a_model_that_is_down_is_replaced_by_its_fallback() -> None:
    asker, client, _ = asker_of(by_name(a=DOWN, b=GOOD))
    advice = asker.ask(QUESTION, "a")
    assert isinstance(advice.outcome, Answer)
    assert advice.model == "b"
    assert [one.name for one, _ in client.calls] == ["a", "a", "a", "b"]


def test_a_fallback_that_takes_no_pictures_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    asker, client, _ = asker_of(by_name(a=DOWN, c=GOOD), text_only=("b",))
    assert asker.ask(QUESTION, "a").model == "c"
    assert "b" not in {one.name for one, _ in client.calls}
    assert "takes no pictures" in caplog.text


def test_a_chosen_model_that_takes_no_pictures_is_an_error_with_a_remedy() -> None:
    asker, _, _ = asker_of(by_name(), text_only=("a",))
    with pytest.raises(ConfigError, match=r"line 1: a .* takes no pictures; .*supports_vision"):
        asker.check("a")


def test_a_policy_refusal_goes_to_the_policy_fallback_only() -> None:
    asker, client, _ = asker_of(by_name(a=LmmPolicyRefusal("no faces"), c=GOOD))
    assert asker.ask(QUESTION, "a").model == "c"
    assert [one.name for one, _ in client.calls] == ["a", "c"]


def test_a_policy_refusal_without_a_fallback_is_a_refusal_and_no_error() -> None:
    asker, _, _ = asker_of(by_name(b=LmmPolicyRefusal("no faces")))
    assert asker.ask(QUESTION, "b").outcome == Refusal("no faces", by_policy=True)


def test_a_reply_stopped_by_a_filter_is_a_refusal_by_policy() -> None:
    asker, _, _ = asker_of(by_name(b=""), finishes={"": "content_filter"})
    outcome = asker.ask(QUESTION, "b").outcome
    assert isinstance(outcome, Refusal)
    assert outcome.by_policy


def test_a_reply_cut_off_says_what_to_raise() -> None:
    asker, _, _ = asker_of(by_name(b="{"), finishes={"{": "length"})
    outcome = asker.ask(QUESTION, "b").outcome
    assert isinstance(outcome, Unparsable)
    assert "max_tokens" in outcome.reason


def test_one_repair_and_no_more() -> None:
    asker, client, ledger = asker_of(by_name(b="gibberish"))
    advice = asker.ask(QUESTION, "b")
    assert isinstance(advice.outcome, Unparsable)
    assert advice.calls == len(client.calls) == 2
    reply, correction = client.calls[1][1].turns[0]
    assert reply == "gibberish"
    assert "no coordinate" in correction
    assert asker.ask(QUESTION, "b").is_cached
    assert ledger.states() == [CallState.SETTLED] * 2


def test_a_failed_repair_keeps_what_was_paid_for() -> None:
    replies = iter(["gibberish", LmmRejected("no")])
    asker, client, _ = asker_of(lambda *_: next(replies))
    assert isinstance(asker.ask(QUESTION, "b").outcome, Unparsable)
    assert asker.ask(QUESTION, "b").is_cached
    assert len(client.calls) == 2


def test_the_strictest_mode_that_works_is_found_once() -> None:
    def reply(deployment: Deployment, call: Call) -> str | Exception:
        return GOOD if call.mode is AnswerMode.PLAIN else LmmRejected("no schema", status=400)

    asker, client, _ = asker_of(reply)
    asker.ask(QUESTION, "a")
    asker.ask(QUESTION, "a", sample=1)
    assert [call.mode for _, call in client.calls] == [*AnswerMode, AnswerMode.PLAIN]


def test_a_request_that_is_bad_in_every_mode_is_an_error_and_proves_nothing() -> None:
    asker, client, _ = asker_of(lambda *_: LmmRejected("too large", status=400))
    for _ in range(2):
        with pytest.raises(LmmRejected):
            asker.ask(QUESTION, "c")
    assert [call.mode for _, call in client.calls] == [*AnswerMode, *AnswerMode]


def test_threads_that_ask_the_same_pay_once() -> None:
    gate = threading.Barrier(2, timeout=60)

    def reply(deployment: Deployment, call: Call) -> str:
        gate.wait()
        return GOOD

    asker, client, _ = asker_of(reply)
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(asker.ask, QUESTION, "a") for _ in range(8)]
        gate.wait()
        advices = [job.result(60) for job in jobs]
    assert len(client.calls) == 1
    assert sum(not advice.is_cached for advice in advices) == 1
    assert sum(advice.cost_usd or 0.0 for advice in advices) == pytest.approx(0.001)


@pytest.mark.parametrize("limits", [Limits(run_usd=0.0105), Limits(month_usd=0.0105)])
def test_a_limit_stops_before_the_call_and_is_never_passed_by_threads(limits: Limits) -> None:
    asker, client, ledger = asker_of(lambda *_: GOOD, limits=limits)

    def ask(sample: int) -> bool:
        try:
            asker.ask(QUESTION, "a", sample=sample)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(ask, range(40)))
    # Each costs 0.001 and sets 0.002 aside: the ninth leaves too little for the worst case.
    assert sum(done) == len(client.calls) == 9
    assert ledger.states() == [CallState.SETTLED] * 9


def test_a_limit_with_an_unknown_price_is_refused_with_a_remedy() -> None:
    asker, client, _ = asker_of(lambda *_: GOOD, limits=Limits(run_usd=1.0), price_usd=None)
    with pytest.raises(ConfigError, match=r"price of a .*add input_cost_per_token"):
        asker.check("a")
    with pytest.raises(ConfigError):
        asker.ask(QUESTION, "a")
    assert client.calls == []


def test_an_unknown_price_without_a_limit_is_said_and_not_called_free() -> None:
    asker, _, _ = asker_of(lambda *_: GOOD, price_usd=None)
    assert asker.ask(QUESTION, "a").cost_usd is None


def test_no_call_begins_after_the_deadline() -> None:
    asker, client, _ = asker_of(lambda *_: GOOD)
    with pytest.raises(LmmTimeout):
        asker.ask(QUESTION, "c", deadline=0.0)
    assert client.calls == []


def test_a_wait_longer_than_the_deadline_is_not_begun() -> None:
    import time

    asker, client, _ = asker_of(lambda *_: LmmUnavailable("busy", retry_after_s=1e6))
    with pytest.raises(LmmUnavailable, match="busy"):
        asker.ask(QUESTION, "c", deadline=time.monotonic() + 1000.0)
    assert len(client.calls) == 1


def test_another_deployment_of_the_name_is_tried_after_a_failure() -> None:
    twins = tuple(Deployment("a", {"model": f"x/{at}"}) for at in range(2))
    config = replace(CONFIG, deployments=twins, fallbacks={}, policy_fallbacks={}, retries=1)
    failed: list[str] = []

    def reply(deployment: Deployment, call: Call) -> str | Exception:
        if not failed:
            failed.append(deployment.model)
            return DOWN
        return GOOD if deployment.model != failed[0] else LmmRejected("the same again")

    asker, _, _ = asker_of(reply, config=config)
    assert isinstance(asker.ask(QUESTION, "a").outcome, Answer)


def test_a_crash_inside_a_call_leaves_its_cost_set_aside() -> None:
    class Crash(BaseException):
        pass

    def reply(deployment: Deployment, call: Call) -> str:
        raise Crash

    asker, _, ledger = asker_of(reply)
    with pytest.raises(Crash):
        asker.ask(QUESTION, "a")
    assert ledger.states() == [CallState.UNKNOWN]


def test_answers_of_other_prompts_pictures_models_and_samples_are_not_mixed_up() -> None:
    asker, client, _ = asker_of(lambda *_: GOOD)
    asker.ask(QUESTION, "a")
    asker.ask(replace(QUESTION, text="where now?"), "a")
    asker.ask(replace(QUESTION, picture=Picture(b"", "1" * 64, 8, 8)), "a")
    asker.ask(QUESTION, "b")
    asker.ask(QUESTION, "a", sample=1)
    assert len(client.calls) == 5
    asker.ask(QUESTION, "a")
    assert len(client.calls) == 5


def test_when_everything_fails_the_last_error_is_told() -> None:
    asker, _, _ = asker_of(by_name(a=DOWN, b=DOWN, c=LmmRejected("no key", status=401)))
    with pytest.raises(LmmError, match="no key"):
        asker.ask(QUESTION, "a")
