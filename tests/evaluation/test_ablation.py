from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.trainings import DIM, make_features

from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.losses import LossWeights
from geosearch.encoder.recipe import TrainingConfig
from geosearch.errors import ConfigError
from geosearch.evaluation.ablation import (
    FUSED,
    FUSED_AND_GPS,
    GPS,
    GPS_DENSITY,
    Task,
    Variant,
    attention_figures,
    build_model,
    run_trial,
)
from geosearch.evaluation.datasets import Query
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
        epochs=3, batch_size=16, learning_rate=1e-2, device="cpu",
        weights=LossWeights(image_text=0.0, text_location=0.0, triplet=0.0),
    ),
    hidden=16,
    warm_start=False,
    with_neighbors=True,
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def task() -> Task:
    features = make_features(places=30, views=2)
    fold = place_folds(np.array(features.place), folds=3, seed=0)
    queries = tuple(
        Query(
            f"p{place}",
            Coordinate(float(features.lat[2 * place]), float(features.lon[2 * place])),
            rows=(2 * place, 2 * place + 1),
            place=f"p{place}",
        )
        for place in range(30)
    )
    return Task("tiny", features, fold, queries, np.unique(features.lat_lon, axis=0))


def test_a_trial_answers_every_query_of_its_fold_by_every_method(
    task: Task, tmp_path: Path
) -> None:
    trial = run_trial(task, VARIANT, fold=1, seed=0, scratch=tmp_path / "a")
    assert set(trial.answers) == {GPS, GPS_DENSITY, FUSED, FUSED_AND_GPS}
    for answers in trial.answers.values():
        assert answers.shape == (len(task.asked(1)), 2)
        assert np.isfinite(answers).all()
    gallery = {tuple(place) for place in task.gallery.tolist()}
    assert all(tuple(place) in gallery for place in trial.answers[GPS].tolist())
    again = run_trial(task, VARIANT, fold=1, seed=0, scratch=tmp_path / "b")
    assert all(np.array_equal(trial.answers[name], again.answers[name]) for name in trial.answers)
    other = run_trial(task, VARIANT, fold=1, seed=1, scratch=tmp_path / "c")
    assert trial.figures["validation_loss"] != other.figures["validation_loss"]


def test_photos_of_the_fold_are_neither_trained_on_nor_found(task: Task, tmp_path: Path) -> None:
    """With the fold's own features spoilt nothing changes but what is asked."""
    image = np.array(task.features.image_features)
    inside = task.fold == 2
    image[inside] = image[np.flatnonzero(inside)[::-1]]
    spoilt = replace(task, features=replace(task.features, image_features=image))
    losses = [
        run_trial(one, VARIANT, fold=2, seed=0, scratch=tmp_path / name).figures["train_loss"]
        for name, one in (("clean", task), ("spoilt", spoilt))
    ]
    assert losses[0] == losses[1]


def test_a_fold_without_queries_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no photo of tiny is asked in fold 7"):
        run_trial(task, VARIANT, fold=7, seed=0, scratch=tmp_path)


def test_a_base_that_remembers_the_scales_changes_no_answer(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("geoclip")
    shape = LocationConfig(layers=0, neighbors=0)
    training = replace(VARIANT.training, epochs=1, freeze_scales=True, batch_size=64)
    variant = replace(VARIANT, location=shape, warm_start=True, training=training)
    base = LocationEncoder.from_geoclip(shape)
    base.freeze_scales(torch.from_numpy(task.gallery))
    with_base = run_trial(task, variant, fold=0, seed=0, scratch=tmp_path / "a", base=base)
    without = run_trial(task, variant, fold=0, seed=0, scratch=tmp_path / "b")
    assert np.array_equal(with_base.answers[GPS], without.answers[GPS])


def test_the_start_of_the_decay_is_scaled(task: Task) -> None:
    plain, steep = (
        build_model(task.features, replace(VARIANT, decay=decay), seed=0).location.attention
        for decay in (1.0, 4.0)
    )
    assert plain is not None
    assert steep is not None
    torch.testing.assert_close(steep.log_decay, plain.log_decay + math.log(4.0))


def test_new_parts_add_nothing_before_training_and_attention_hears_few_anchors(
    task: Task,
) -> None:
    model = build_model(task.features, VARIANT, seed=0)
    figures = attention_figures(model.location.eval(), task.gallery)
    assert figures["attention_share"] == 0.0
    assert figures["transformer_share"] == 0.0
    assert 1.0 <= figures["anchors_seen"] <= SHAPE.neighbors
    assert figures["decay"] > 0.0
    assert (
        attention_figures(
            LocationEncoder(replace(SHAPE, neighbors=0, layers=0)).eval(), task.gallery
        )
        == {}
    )
