from __future__ import annotations

import numpy as np
import pytest

from geosearch.errors import InvalidInput
from geosearch.evaluation.comparison import (
    accuracy_table,
    difference,
    difference_table,
    errors_of,
    repeated,
    scores_by_seed,
    twin_table,
    verdict,
)
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.harness import EvaluationReport, Method, evaluate
from geosearch.evaluation.metrics import GroupBootstrap, geoscore
from geosearch.geo import Coordinate

N = 12
TRUTH = Coordinate(0.0, 0.0)
FAR = Coordinate(0.0, 90.0)
DATA = Dataset("made", tuple(Query(f"q{n}", TRUTH, place=f"p{n}") for n in range(N)))


def _report(**answers: list[Coordinate]) -> EvaluationReport:
    methods = [Method(name, lambda _, given=given: given) for name, given in answers.items()]
    return evaluate(methods, repeated(DATA, 2), resamples=200)


def _bootstrap() -> GroupBootstrap:
    return GroupBootstrap([query.place for query in repeated(DATA, 2).queries], resamples=200)


def test_queries_are_repeated_seed_by_seed_and_keep_their_places() -> None:
    queries = repeated(DATA, 2).queries
    assert [query.place for query in queries] == [query.place for query in DATA.queries] * 2
    assert len({query.id for query in queries}) == 2 * N
    with pytest.raises(InvalidInput, match="0 seeds"):
        repeated(DATA, 0)


def test_a_difference_that_all_places_and_seeds_show_is_clear() -> None:
    report = _report(good=[TRUTH] * 2 * N, bad=[FAR] * 2 * N)
    one = difference(report.method("good"), report.method("bad"), _bootstrap(), seeds=2)
    gained = 5000.0 - float(geoscore(TRUTH.distance_km(FAR)))
    assert one.geoscore.value == pytest.approx(gained)
    assert one.by_seed == pytest.approx((gained, gained))
    assert one.within_points[25.0].value == pytest.approx(100.0)
    assert one.is_clear
    assert verdict(one) == "**better**"
    back = difference(report.method("bad"), report.method("good"), _bootstrap(), seeds=2)
    assert verdict(back) == "**worse**"


def test_seeds_that_disagree_make_a_difference_noise() -> None:
    """Better under one seed by much, worse under the other by little, at every place alike."""
    near, nearer = Coordinate(0.0, 2.0), Coordinate(0.0, 1.0)
    report = _report(one=[TRUTH] * N + [near] * N, other=[FAR] * N + [nearer] * N)
    one = difference(report.method("one"), report.method("other"), _bootstrap(), seeds=2)
    assert one.geoscore.excludes_zero
    assert verdict(one) == "inside the noise"


def test_places_that_disagree_make_a_difference_noise() -> None:
    mixed = ([TRUTH, FAR] * (N // 2)) * 2
    report = _report(one=mixed, other=mixed[1:] + mixed[:1])
    one = difference(report.method("one"), report.method("other"), _bootstrap(), seeds=2)
    assert not one.geoscore.excludes_zero
    assert verdict(one) == "inside the noise"


def test_no_difference_at_all_is_noise() -> None:
    report = _report(one=[FAR] * 2 * N, other=[FAR] * 2 * N)
    one = difference(report.method("one"), report.method("other"), _bootstrap(), seeds=2)
    assert verdict(one) == "inside the noise"


def test_answers_that_cannot_be_paired_are_refused() -> None:
    report = _report(one=[FAR] * 2 * N)
    with pytest.raises(InvalidInput, match="24 and 24 answers under 5 seeds"):
        difference(report.method("one"), report.method("one"), _bootstrap(), seeds=5)


def test_unanswered_photos_count_as_infinitely_far() -> None:
    answers = evaluate([Method("m", lambda q: [None] * len(q))], repeated(DATA, 2), resamples=10)
    assert np.isinf(errors_of(answers.method("m"))).all()
    assert scores_by_seed(answers.method("m"), 2) == (0.0, 0.0)


def test_tables_name_each_method_once_and_say_what_is_noise() -> None:
    report = _report(good=[TRUTH] * 2 * N, bad=[FAR] * 2 * N)
    table = accuracy_table(report.methods, 2)
    assert table.count("| good |") == 1
    assert "100.0 (100.0–100.0)" in table
    one = difference(report.method("good"), report.method("good"), _bootstrap(), seeds=2)
    assert "inside the noise" in difference_table([one])
    assert len(twin_table(report.methods).splitlines()) == 2  # nothing was asked about twins
