from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.trainings import DIM, make_features

from geosearch.encoder.location import LocationConfig
from geosearch.encoder.losses import LossWeights
from geosearch.encoder.recipe import TrainingConfig
from geosearch.errors import InvalidInput
from geosearch.evaluation.ablation import GPS, Task, Trial, Variant
from geosearch.evaluation.ablation_report import report_part
from geosearch.evaluation.datasets import Query
from geosearch.evaluation.harness import REFERENCE
from geosearch.evaluation.methods import CONSTANT
from geosearch.evaluation.trials import Part, Trials
from geosearch.geo import Coordinate
from geosearch.splits import place_folds

SHAPE = LocationConfig(
    sigmas=(1.0, 4.0), frequencies=8, hidden=16, embed_dim=DIM, width=8, heads=2,
    anchors=32, neighbors=4, attention_width=8, attention_heads=2,
)  # fmt: skip
VARIANT = Variant(
    "tiny",
    SHAPE,
    TrainingConfig(
        epochs=1, batch_size=16, device="cpu",
        weights=LossWeights(image_text=0.0, text_location=0.0, triplet=0.0),
    ),
    hidden=16,
    warm_start=False,
)  # fmt: skip
PLACES = 30


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def part() -> Part:
    features = make_features(places=PLACES, views=2)
    queries = tuple(
        Query(
            f"p{place}",
            Coordinate(float(features.lat[2 * place]), float(features.lon[2 * place])),
            rows=(2 * place, 2 * place + 1),
            place=f"p{place}",
        )
        for place in range(PLACES)
    )
    fold = place_folds(np.array(features.place), folds=3, seed=0)
    task = Task("tiny", features, fold, queries, np.unique(features.lat_lon, axis=0))
    return Part("tiny", "A tiny part", task, (VARIANT,), 4, (("tiny", REFERENCE),))


def _perfect(part: Part, variant: Variant, number: int) -> Trial:
    """Answers that are the truth; a training that says nothing."""
    truth = [(query.coordinate.lat, query.coordinate.lon) for query in part.asked(number)]
    return Trial({GPS: np.array(truth)}, {"best_epoch": float(number)})


def test_a_trial_is_run_once_and_found_again_by_what_it_depends_on(
    part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(tmp_path)
    first = trials.run(part, VARIANT, 0)
    assert first.answers[GPS].shape == (len(part.asked(0)), 2)

    def fail(*_: object, **__: object) -> Trial:
        raise AssertionError

    monkeypatch.setattr("geosearch.evaluation.trials.run_trial", fail)
    again = Trials(tmp_path).run(part, replace(VARIANT, name="other name"), 0)
    np.testing.assert_array_equal(again.answers[GPS], first.answers[GPS])
    assert again.figures == first.figures
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_trials_that_differ_in_anything_are_kept_apart(part: Part, tmp_path: Path) -> None:
    trials = Trials(tmp_path)
    features = replace(part.task.features, lat=part.task.features.lat + 0.1)
    paths = {
        trials.path(part, VARIANT, 0),
        trials.path(part, VARIANT, 1),
        trials.path(part, VARIANT, 3),
        trials.path(part, replace(VARIANT, dropout=0.1), 0),
        trials.path(part, replace(VARIANT, location=replace(SHAPE, neighbors=2)), 0),
        trials.path(replace(part, task=replace(part.task, features=features)), VARIANT, 0),
        trials.path(replace(part, task=replace(part.task, fold=part.task.fold[::-1])), VARIANT, 0),
    }
    assert len(paths) == 7
    moved = replace(VARIANT, training=replace(VARIANT.training, device="auto"))
    assert trials.path(part, moved, 0) in paths


def test_what_is_missing_comes_round_by_round(part: Part, tmp_path: Path) -> None:
    other = replace(VARIANT, name="other", dropout=0.1)
    part = replace(part, variants=(VARIANT, other), rounds=2)
    trials = Trials(tmp_path)
    trials.path(part, other, 0).touch()
    missing = [(variant.name, number) for _, variant, number in trials.missing([part])]
    assert missing == [("tiny", 0), ("tiny", 1), ("other", 1)]


def test_rounds_ask_one_fold_after_the_other_and_begin_again(part: Part) -> None:
    assert [part.fold(number) for number in range(4)] == [0, 1, 2, 0]
    assert sum(len(part.asked(number)) for number in range(3)) == PLACES
    with pytest.raises(InvalidInput, match="0 rounds"):
        replace(part, rounds=0)


def test_a_report_pairs_answers_with_the_queries_of_their_round(part: Part) -> None:
    found = report_part(part, _perfect, resamples=50)
    assert found.report.asked == PLACES + len(part.asked(0))
    assert {method.method for method in found.report.methods} >= {"tiny", CONSTANT, REFERENCE}
    assert found.report.method("tiny").accuracy.within_percent[1.0].value == 100.0
    (difference,) = found.differences
    assert len(difference.by_round) == 4
    assert difference.is_clear
    assert "| tiny | 1.5 |" in found.training


def test_only_queries_with_look_alikes_are_asked_where_there_are_some(part: Part) -> None:
    alike = {
        query.id: (Coordinate(0.0, 0.0),) if row % 2 else ()
        for row, query in enumerate(part.task.queries)
    }
    found = report_part(replace(part, look_alikes=alike, rounds=3), _perfect, resamples=50)
    assert found.report.asked == PLACES // 2
    twins = found.report.method("tiny").twins
    assert twins is not None
    assert twins.right_percent.value == 100.0


def test_a_section_has_its_tables_and_its_picture(part: Part, tmp_path: Path) -> None:
    text = report_part(part, _perfect, resamples=50).markdown(tmp_path)
    assert text.startswith("### A tiny part\n")
    assert "in 4 rounds" in text
    assert "| tiny | nearest photo |" in text
    assert (tmp_path / "ablation-tiny.png").read_bytes()[:4] == b"\x89PNG"
