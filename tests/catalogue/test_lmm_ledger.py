from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from geosearch.catalogue.lmm_ledger import LmmLedger
from geosearch.errors import BudgetExceeded
from geosearch.geo import Coordinate
from geosearch.lmm.accounts import CallDraft, CallState, Limits, Settlement, StoredAnswer
from geosearch.lmm.answers import Answer, Outcome, Refusal, Unparsable
from geosearch.lmm.calls import CostSource

RUN = UUID(int=7)


def draft(key: str, *, most_usd: float | None = 0.02, expires_s: float = 60.0) -> CallDraft:
    return CallDraft(RUN, key.ljust(64, "0"), "eye", "x/eye", "zero-shot", most_usd, expires_s)


def paid(cost_usd: float | None) -> Settlement:
    return Settlement(CallState.SETTLED, 0.5, cost_usd, CostSource.CONFIG, "x/eye", 300, 30)


@pytest.fixture
def ledger(engine: Engine) -> LmmLedger:
    return LmmLedger(engine)


@pytest.mark.parametrize(
    "outcome",
    [
        Answer(Coordinate(1.5, -2.5), "Paris", "iron", ("a note",)),
        Refusal("a wall", by_policy=True),
        Unparsable("it is empty", "f" * 64),
    ],
)
def test_answers_come_back_as_they_were(ledger: LmmLedger, outcome: Outcome) -> None:
    key = "a" * 64
    answer = StoredAnswer(key, outcome, "eye", "x/eye-2", "b" * 64, "1")
    assert ledger.find_answer(key) is None
    number = ledger.reserve(draft("a"), Limits())
    assert number is not None
    ledger.settle(number, paid(0.01), answer)
    assert ledger.find_answer(key) == answer
    ledger.keep_answer(answer)
    assert ledger.find_answer(key) == answer


def test_a_question_is_under_way_once(ledger: LmmLedger) -> None:
    number = ledger.reserve(draft("a"), Limits())
    assert number is not None
    assert ledger.reserve(draft("a"), Limits()) is None
    assert ledger.reserve(draft("b"), Limits()) is not None
    ledger.settle(number, paid(0.01))
    assert ledger.reserve(draft("a"), Limits()) is not None


def test_a_call_whose_process_died_is_taken_over_and_its_cost_stays_counted(
    ledger: LmmLedger,
) -> None:
    assert ledger.reserve(draft("a", expires_s=-1.0), Limits()) is not None
    assert ledger.reserve(draft("a"), Limits(run_usd=0.05)) is not None
    with pytest.raises(BudgetExceeded):
        ledger.reserve(draft("b"), Limits(run_usd=0.05))
    found = ledger.spending()
    assert found[0].calls == {"unknown": 1, "reserved": 1}
    assert found[0].unsure_usd == pytest.approx(0.04)


def test_limits_hold_across_threads(ledger: LmmLedger) -> None:
    def reserve(at: int) -> bool:
        try:
            return ledger.reserve(draft(f"{at:x}"), Limits(month_usd=0.1)) is not None
        except BudgetExceeded as error:
            return error.is_final  # never: what others hold may come back

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(reserve, range(16, 40))) == 5


def test_a_limit_that_settled_calls_use_up_is_final(ledger: LmmLedger) -> None:
    number = ledger.reserve(draft("a"), Limits(run_usd=0.03))
    assert number is not None
    ledger.settle(number, paid(0.015))
    with pytest.raises(BudgetExceeded, match=r"is 0.03 .* 0.0150 .* up to 0.0200") as e:
        ledger.reserve(draft("b"), Limits(run_usd=0.03))
    assert e.value.is_final


def test_a_failed_call_gives_its_money_back(ledger: LmmLedger) -> None:
    number = ledger.reserve(draft("a"), Limits(run_usd=0.02))
    assert number is not None
    ledger.settle(number, Settlement(CallState.FAILED, 0.1, error="429"))
    assert ledger.reserve(draft("a"), Limits(run_usd=0.02)) is not None


def test_calls_that_cost_more_than_foreseen_raise_what_is_set_aside(
    ledger: LmmLedger, engine: Engine
) -> None:
    number = ledger.reserve(draft("a"), Limits(run_usd=1.0))
    assert number is not None
    ledger.settle(number, paid(0.1))
    ledger.reserve(draft("b"), Limits(run_usd=1.0))
    with engine.connect() as connection:
        most = connection.execute(text("SELECT max(most_usd) FROM lmm_call")).scalar_one()
    assert float(most) == pytest.approx(0.11)


def test_spending_adds_up_to_the_last_digit(ledger: LmmLedger) -> None:
    for at in range(10):
        number = ledger.reserve(draft(f"{at}", most_usd=None), Limits())
        assert number is not None
        ledger.settle(number, paid(0.000_000_1 if at else None))
    found = ledger.spending()
    assert [one.model for one in found] == ["eye"]
    assert found[0].cost_usd == pytest.approx(0.000_000_9, abs=1e-12)
    assert found[0].calls == {"settled": 10}
