"""What many trials come to: every method asked the queries of every round, tables, a picture.

Only reads trials through a callable; running and keeping them is the work of `trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geosearch.evaluation.ablation import GPS, Trial, Variant, coordinates
from geosearch.evaluation.comparison import (
    Difference,
    accuracy_table,
    difference,
    difference_table,
    twin_table,
)
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.evaluation.features import FeatureSet
from geosearch.evaluation.figures import plot_differences
from geosearch.evaluation.galleries import FeatureGallery
from geosearch.evaluation.harness import REFERENCE, Answer, EvaluationReport, Method, evaluate
from geosearch.evaluation.methods import CONSTANT, LOCATOR_ALWAYS, blind_methods, gallery_methods
from geosearch.evaluation.metrics import GroupBootstrap
from geosearch.evaluation.trials import Part
from geosearch.geo import Coordinate

RAW = "neighbours by look, densest place"
RESAMPLES = 2000

Find = Callable[[Part, Variant, int], Trial]
"""The trial of a variant in a round."""

_TRAINING = (
    ("best_epoch", "best epoch", 1), ("train_loss", "training loss", 2),
    ("validation_loss", "validation loss", 2), ("validation_geo_score", "validation GeoScore", 0),
    ("transformer_share", "Transformer adds", 2), ("attention_share", "attention adds", 2),
    ("anchors_seen", "anchors heard", 1), ("decay", "λ", 2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PartReport:
    """A part of an ablation: what was reached, what differs, how trainings went.

    Args:
        part: what was run.
        report: of every method, asked all rounds.
        differences: the part's pairs, as far as both were asked.
        training: Markdown table of means over rounds.
    """

    part: Part
    report: EvaluationReport
    differences: tuple[Difference, ...]
    training: str

    def markdown(self, images: Path, *, folder: str = "images") -> str:
        """The section of a page; its picture is drawn into `images`.

        Raises:
            MissingDependency: matplotlib is not installed.
        """
        part, report = self.part, self.report
        picture = images / f"ablation-{part.key}.png"
        # What is gained over a constant answer would make all else look like nothing.
        drawn = [one for one in self.differences if one.over != CONSTANT]
        plot_differences(drawn, picture, title=part.title)
        groups = "places" if part.look_alikes is None else "cities"
        once = "1 round" if part.rounds == 1 else f"{part.rounds} rounds"
        words = [
            f"### {part.title}\n",
            f"{report.asked:,} queries of {report.groups:,} {groups} in {once}; GPS gallery of "
            f"{len(part.task.gallery):,} coordinates; data `{part.task.features.fingerprint()}`.\n",
            accuracy_table(report.methods),
        ]
        if part.look_alikes is not None:
            words += ["Which city wins:\n", twin_table(report.methods)]
        words += [
            "Differences:\n",
            difference_table(self.differences),
            f"![{part.title}]({folder}/{picture.name})\n",
            "How the trainings went, mean over rounds:\n",
            self.training,
        ]
        return "\n".join(words)


def report_part(part: Part, find: Find, *, resamples: int = RESAMPLES) -> PartReport:
    """Ask every method the queries of every round; only those with look-alikes if it has any.

    Args:
        part: what was run.
        find: the trials, all of them.
        resamples: of the bootstrap.

    Raises:
        InvalidInput: fewer than two places were asked, or a round asks nothing.
    """
    asked = [
        [
            replace(query, id=f"{query.id} in round {number}", look_alikes=_alike(part, query))
            for query in part.asked(number)
        ]
        for number in range(part.rounds)
    ]
    chosen = [
        [row for row, query in enumerate(queries) if part.look_alikes is None or query.look_alikes]
        for queries in asked
    ]
    queries = tuple(
        queries[row] for queries, rows in zip(asked, chosen, strict=True) for row in rows
    )
    methods = [
        *_baselines(part, queries),
        *(method for variant in part.variants for method in _methods(part, variant, find, chosen)),
    ]
    report = evaluate(methods, Dataset(part.task.name, queries), resamples=resamples)
    bootstrap = GroupBootstrap([query.place for query in queries], resamples=resamples, seed=0)
    names = {method.method for method in report.methods}
    rounds = [len(rows) for rows in chosen]
    differences = tuple(
        difference(report.method(one), report.method(over), bootstrap, rounds=rounds)
        for one, over in part.pairs
        if one in names and over in names
    )
    return PartReport(part, report, differences, _training_table(part, find))


def _alike(part: Part, query: Query) -> tuple[Coordinate, ...]:
    return () if part.look_alikes is None else part.look_alikes[query.id]


def _baselines(part: Part, queries: Sequence[Query]) -> Iterator[Method]:
    """Constant, nearest photo by look, and the densest place among those; nothing is trained."""
    features = FeatureSet.of(part.task.features, name=part.task.name)
    gallery = FeatureGallery(features, part.task.fold)
    wanted = {CONSTANT: CONSTANT, REFERENCE: REFERENCE, LOCATOR_ALWAYS: RAW}
    for method in (*blind_methods(gallery), *gallery_methods(gallery, with_oracle=False)):
        if method.name in wanted:
            yield _fixed(wanted[method.name], list(method.locate(queries)))


def _methods(
    part: Part, variant: Variant, find: Find, chosen: Sequence[Sequence[int]]
) -> Iterator[Method]:
    """The ways in which a variant answers; the one by the GPS gallery has the variant's name."""
    trials = [find(part, variant, number) for number in range(part.rounds)]
    for method in trials[0].answers:
        answers = np.concatenate(
            [trial.answers[method][list(rows)] for trial, rows in zip(trials, chosen, strict=True)]
        )
        yield _fixed(variant.name if method == GPS else method, coordinates(answers))


def _fixed(name: str, answers: Sequence[Answer]) -> Method:
    return Method(name, lambda _: answers)


def _training_table(part: Part, find: Find) -> str:
    """What the trainings say of themselves, averaged over rounds."""
    lines = ["| variant | " + " | ".join(name for _, name, _ in _TRAINING) + " |"]
    lines.append("|---|" + "---:|" * len(_TRAINING))
    for variant in part.variants:
        figures = [find(part, variant, number).figures for number in range(part.rounds)]
        cells = [
            f"{np.mean([one[key] for one in figures]):,.{digits}f}" if key in figures[0] else ""
            for key, _, digits in _TRAINING
        ]
        lines.append(f"| {variant.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
