"""Asks methods the photos of a data set and measures what they answer.

`evaluate` takes any callable; `standard_methods` are the ones that every report compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.galleries import Found, distances_km
from geosearch.evaluation.metrics import (
    RECALL_KS,
    Accuracy,
    Estimate,
    GroupBootstrap,
    Recall,
    errors_km,
    gains,
    measure,
    recall_at_k,
)
from geosearch.evaluation.twins import TwinShares, twin_shares
from geosearch.geo import Coordinate
from geosearch.localization.uncertainty import LEVELS
from geosearch.records import Prediction

REFERENCE = "nearest photo"
"""The method that the others are compared with, on the same photos and in the same gallery."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer, and why."""

    reason: str


Answer: TypeAlias = Prediction | Coordinate | Unanswered | None
Locate: TypeAlias = Callable[[Sequence[Query]], Iterable[Answer]]
"""Photos to answers, one for each, in order; never a made-up coordinate for no answer."""

Track: TypeAlias = Callable[[Iterable[Answer], str], Iterable[Answer]]
"""Passes answers through and shows progress under a description."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to answer.

    Args:
        name: in tables.
        locate: answers photos.
        gallery: what it compares with, in words.
        find: the photos that it starts from, for recall@k; None where it has none.
    """

    name: str
    locate: Locate
    gallery: str = ""
    find: Callable[[Sequence[Query]], Sequence[Found]] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One photo: where it was taken, what was answered, how far off (infinite: no answer)."""

    query: Query
    answer: Coordinate | None
    error_km: float
    reason: str | None
    radius_km: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the truth lay inside the stated radius, of answered photos."""

    level: int
    percent: Estimate
    median_radius_km: float


@dataclass(frozen=True, slots=True)
class MethodReport:
    """What one method reached; `gain_percent` is over the reference, None for itself."""

    method: str
    gallery: str
    accuracy: Accuracy
    recall: tuple[Recall, ...]
    coverage: tuple[Coverage, ...]
    gain_percent: dict[float, Estimate] | None
    twins: TwinShares | None
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Everything that was measured on one data set, and under what conditions.

    Args:
        benchmark: name of the data set.
        asked: photos asked.
        missing: labelled photos without an image.
        grouping: what intervals are drawn by.
        groups: how many of those there are.
        methods: in the order asked.
        notes: what a reader has to know.
        conditions: encoder, gallery, split, seeds.
    """

    benchmark: str
    asked: int
    missing: int
    grouping: str
    groups: int
    methods: tuple[MethodReport, ...]
    notes: tuple[str, ...]
    conditions: Mapping[str, str | int | float | None]

    def method(self, name: str, gallery: str | None = None) -> MethodReport:
        """The report of a method, of the first gallery unless one is named.

        Raises:
            InvalidInput: it was not asked.
        """
        for report in self.methods:
            if report.method == name and gallery in (None, report.gallery):
                return report
        known = ", ".join(f"{one.method} ({one.gallery})" for one in self.methods)
        raise InvalidInput(f"no method {name!r} was evaluated; there are {known}")


def evaluate(
    locate: Locate | Sequence[Method],
    dataset: Dataset,
    *,
    resamples: int = 1000,
    seed: int = 0,
    reference: str = REFERENCE,
    conditions: Mapping[str, str | int | float | None] | None = None,
    track: Track | None = None,
) -> EvaluationReport:
    """Ask every photo of a data set and measure the answers.

    Args:
        locate: a callable from queries to answers, or methods to compare.
        dataset: what is asked.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        reference: the method that gains are counted from.
        conditions: what the report should say of encoder, gallery and split.
        track: shows progress.

    Raises:
        InvalidInput: there is no photo or only one place, or a method gives more or fewer answers
            than it was asked.
    """
    methods = [Method("locate", locate)] if callable(locate) else list(locate)
    bootstrap = GroupBootstrap(dataset.groups(), resamples=resamples, seed=seed)
    asked = [(method, _ask(method, dataset.queries, track)) for method in methods]
    references = {m.gallery: _errors(o) for m, o in reversed(asked) if m.name == reference}
    return EvaluationReport(
        benchmark=dataset.name,
        asked=len(dataset.queries),
        missing=len(dataset.missing),
        grouping=dataset.grouping,
        groups=bootstrap.groups,
        methods=tuple(
            _report(
                method,
                outcomes,
                bootstrap,
                None if method.name == reference else references.get(method.gallery),
            )
            for method, outcomes in asked
        ),
        notes=dataset.notes,
        conditions={
            **(conditions or {}),
            "resamples": resamples,
            "seed": seed,
            "reference": reference,
        },
    )


def _ask(method: Method, queries: Sequence[Query], track: Track | None) -> tuple[Outcome, ...]:
    answers: Iterable[Answer] = method.locate(queries)
    if track is not None:
        answers = track(answers, method.name)
    given = [_read(answer) for answer in answers]
    try:
        errors = errors_km([query.coordinate for query in queries], [one[0] for one in given])
    except InvalidInput as error:
        raise InvalidInput(f"the method {method.name!r}: {error}") from error
    return tuple(
        Outcome(query, answer, float(error), reason, radii)
        for query, (answer, reason, radii), error in zip(queries, given, errors, strict=True)
    )


def _read(answer: Answer) -> tuple[Coordinate | None, str | None, Mapping[int, float]]:
    match answer:
        case Prediction():
            best = answer.best
            if best is None:
                return None, answer.reason, {}
            return best.coordinate, None, best.radius_km
        case Unanswered():
            return None, answer.reason, {}
        case _:
            return answer, None if answer is not None else "no answer", {}


def _report(
    method: Method,
    outcomes: tuple[Outcome, ...],
    bootstrap: GroupBootstrap,
    reference_km: NDArray[np.float64] | None,
) -> MethodReport:
    errors, queries = _errors(outcomes), [outcome.query for outcome in outcomes]
    recall: tuple[Recall, ...] = ()
    if method.find is not None:
        limit = max(RECALL_KS)
        recall = recall_at_k(distances_km(queries, method.find(queries), limit), bootstrap)
    has_twins = bool(queries) and all(query.look_alikes for query in queries)
    return MethodReport(
        method=method.name,
        gallery=method.gallery,
        accuracy=measure(errors, bootstrap),
        recall=recall,
        coverage=_coverage(outcomes, bootstrap),
        gain_percent=None if reference_km is None else gains(errors, reference_km, bootstrap),
        twins=twin_shares(queries, [one.answer for one in outcomes], bootstrap)
        if has_twins
        else None,
        outcomes=outcomes,
    )


def _coverage(outcomes: Sequence[Outcome], bootstrap: GroupBootstrap) -> tuple[Coverage, ...]:
    """Of methods that state radii, how often these held the truth."""
    stated = np.array([bool(outcome.radius_km) for outcome in outcomes])
    if not stated.any():
        return ()
    errors, found = _errors(outcomes), []
    for level in LEVELS:
        radius = np.array([outcome.radius_km.get(level, np.nan) for outcome in outcomes])
        held = 100.0 * (stated & (errors <= np.nan_to_num(radius, nan=-1.0)))
        median = float(np.median(radius[stated]))
        found.append(Coverage(level, bootstrap.ratio(held, stated), median))
    return tuple(found)


def _errors(outcomes: Sequence[Outcome]) -> NDArray[np.float64]:
    return np.array([outcome.error_km for outcome in outcomes], dtype=np.float64)
