from __future__ import annotations

import numpy as np
import pytest

from geosearch.errors import InvalidInput
from geosearch.evaluation.comparison import (
    Difference,
    accuracy_table,
    difference,
    difference_table,
    errors_of,
    twin_table,
    verdict,
)
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.harness import EvaluationReport, Method, evaluate
from geosearch.evaluation.metrics import Estimate, GroupBootstrap, geoscore
from geosearch.geo import Coordinate

N = 12
TRUTH = Coordinate(0.0, 0.0)
FAR = Coordinate(0.0, 90.0)
ROUNDS = (N, N, N)
DATA = Dataset(
    "made",
    tuple(
        Query(f"q{n} {number}", TRUTH, place=f"p{n}")
        for number in range(len(ROUNDS))
        for n in range(N)
    ),
)


def _report(**answers: list[Coordinate]) -> EvaluationReport:
    methods = [Method(name, lambda _, given=given: given) for name, given in answers.items()]
    return evaluate(methods, DATA, resamples=200)


def _bootstrap() -> GroupBootstrap:
    return GroupBootstrap([query.place for query in DATA.queries], resamples=200)


def test_a_difference_that_all_places_and_rounds_show_is_clear() -> None:
    report = _report(good=[TRUTH] * 3 * N, bad=[FAR] * 3 * N)
    one = difference(report.method("good"), report.method("bad"), _bootstrap(), rounds=ROUNDS)
    gained = 5000.0 - float(geoscore(TRUTH.distance_km(FAR)))
    assert one.geoscore.value == pytest.approx(gained)
    assert one.by_round == pytest.approx((gained,) * 3)
    assert one.within_points[25.0].value == pytest.approx(100.0)
    assert one.is_clear
    assert verdict(one) == "**better**"
    back = difference(report.method("bad"), report.method("good"), _bootstrap(), rounds=ROUNDS)
    assert verdict(back) == "**worse**"


def test_rounds_that_disagree_make_a_difference_noise() -> None:
    """Better in one round by much, worse in the others by little, at every place alike."""
    near, nearer = Coordinate(0.0, 2.0), Coordinate(0.0, 1.0)
    report = _report(one=[TRUTH] * N + [near] * 2 * N, other=[FAR] * N + [nearer] * 2 * N)
    one = difference(report.method("one"), report.method("other"), _bootstrap(), rounds=ROUNDS)
    assert one.geoscore.excludes_zero
    assert one.over_rounds is not None
    assert not one.over_rounds.excludes_zero
    assert verdict(one) == "inside the noise"


def test_the_interval_over_rounds_is_students() -> None:
    one = Difference("a", "b", {}, Estimate(2.0, 1.0, 3.0), (1.0, 2.0, 3.0))
    assert one.over_rounds is not None
    # t of 0.975 with two degrees of freedom is 4.303, the standard error 1/√3.
    assert one.over_rounds.low == pytest.approx(2.0 - 4.303 / 3**0.5, abs=1e-3)
    assert not one.is_clear


def test_a_single_round_makes_nothing_clear() -> None:
    one = Difference("a", "b", {}, Estimate(2.0, 1.0, 3.0), (2.0,))
    assert one.over_rounds is None
    assert not one.is_clear


def test_places_that_disagree_make_a_difference_noise() -> None:
    mixed = ([TRUTH, FAR] * (N // 2)) * 3
    report = _report(one=mixed, other=mixed[1:] + mixed[:1])
    one = difference(report.method("one"), report.method("other"), _bootstrap(), rounds=ROUNDS)
    assert not one.geoscore.excludes_zero
    assert verdict(one) == "inside the noise"


def test_no_difference_at_all_is_noise() -> None:
    report = _report(one=[FAR] * 3 * N, other=[FAR] * 3 * N)
    one = difference(report.method("one"), report.method("other"), _bootstrap(), rounds=ROUNDS)
    assert verdict(one) == "inside the noise"


def test_rounds_may_differ_in_length() -> None:
    report = _report(one=[TRUTH] * 3 * N, other=[TRUTH] * 30 + [FAR] * 6)
    one = difference(report.method("one"), report.method("other"), _bootstrap(), rounds=(10, 20, 6))
    assert one.by_round[:2] == (0.0, 0.0)
    assert one.by_round[2] > 0.0


@pytest.mark.parametrize("rounds", [(N, N), (3 * N, 0), ()])
def test_answers_that_cannot_be_paired_are_refused(rounds: tuple[int, ...]) -> None:
    report = _report(one=[FAR] * 3 * N)
    with pytest.raises(InvalidInput, match="36 and 36 answers in rounds of"):
        difference(report.method("one"), report.method("one"), _bootstrap(), rounds=rounds)


def test_unanswered_photos_count_as_infinitely_far() -> None:
    answers = evaluate([Method("m", lambda q: [None] * len(q))], DATA, resamples=10)
    assert np.isinf(errors_of(answers.method("m"))).all()


def test_tables_name_each_method_once_and_say_what_is_noise() -> None:
    report = _report(good=[TRUTH] * 3 * N, bad=[FAR] * 3 * N)
    table = accuracy_table(report.methods)
    assert table.count("| good |") == 1
    assert "100.0 (100.0–100.0)" in table
    one = difference(report.method("good"), report.method("good"), _bootstrap(), rounds=ROUNDS)
    assert "inside the noise" in difference_table([one])
    assert len(twin_table(report.methods).splitlines()) == 2  # nothing was asked about twins
