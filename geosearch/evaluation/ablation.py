"""One trial of an ablation: train a variant on the photos outside a fold, answer those inside it.

Which variants are compared, how often, and the page about them is the work of
`benchmarks/encoder_ablation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.features import FeatureSet
from geosearch.encoder.fusion import fuse, normalize
from geosearch.encoder.location import LocationConfig
from geosearch.encoder.recipe import TrainingConfig
from geosearch.errors import ConfigError
from geosearch.evaluation import features as labelled
from geosearch.evaluation.datasets import Query
from geosearch.evaluation.galleries import FeatureGallery
from geosearch.geo import Coordinate
from geosearch.localization.candidates import (
    DensitySettings,
    find_places,
    neighbor_weights,
    score_weights,
)

if TYPE_CHECKING:
    from geosearch.encoder.location import LocationEncoder
    from geosearch.encoder.model import TransGeoClip

GPS = "GPS gallery"
GPS_DENSITY = "GPS gallery, densest place"
FUSED = "fused neighbours"
FUSED_AND_GPS = "fused neighbours and GPS gallery"

NEIGHBORS = 100
"""Photos, and coordinates of the GPS gallery, that have a voice in where the densest place is."""

GPS_SHARE = 0.5
"""Weight of the coordinates beside the photos; fixed before anything was measured."""

SAMPLE = 2000
"""Coordinates on which the parts of a location encoder are looked at."""

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Variant:
    """What is trained.

    Args:
        name: in tables.
        location: shapes of the location encoder; its seed is replaced by the trial's.
        training: recipe and loss; its seed is added to the trial's.
        dropout: in the heads.
        hidden: width of the heads.
        decay: factor on the decay of attention with distance at the start; it is learned.
        warm_start: begin with GeoCLIP's scale MLPs instead of random ones.
        with_neighbors: also answer by fused neighbours, which takes a minute.
    """

    name: str
    location: LocationConfig
    training: TrainingConfig
    dropout: float = 0.5
    hidden: int = 256
    decay: float = 1.0
    warm_start: bool = True
    with_neighbors: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """Photos with a fold each, what is asked of them, and the coordinates that may be answered.

    Args:
        name: of the data set.
        features: with text features.
        fold: (n,) of each photo; a fold's photos are asked of a model that never saw them.
        queries: each of rows of one fold.
        gallery: (m, 2) float32 degrees, the GPS gallery.
    """

    name: str
    features: FeatureSet
    fold: NDArray[np.int64]
    queries: tuple[Query, ...]
    gallery: NDArray[np.float32]

    def asked(self, fold: int) -> tuple[Query, ...]:
        """The queries of a fold."""
        return tuple(query for query in self.queries if self.fold[query.rows[0]] == fold)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one training led to.

    Args:
        answers: method to coordinates (n_asked, 2) in degrees, in the order of `Task.asked`.
        figures: of the training and of the attention in it.
    """

    answers: Mapping[str, NDArray[np.float64]]
    figures: Mapping[str, float] = field(default_factory=dict)


def run_trial(
    task: Task,
    variant: Variant,
    *,
    fold: int,
    seed: int,
    scratch: Path,
    anchors: Callable[[int], NDArray[np.float32]] | None = None,
    base: LocationEncoder | None = None,
) -> Trial:
    """Train on the other folds and answer this one.

    Args:
        task: the data.
        variant: what is trained.
        fold: which is asked.
        seed: of weights, order, noise and the validation split.
        scratch: an empty folder for the training's state, hundreds of megabytes.
        anchors: coordinates for so many anchors, if they are known already.
        base: an encoder that remembers the scale tokens of the gallery, as GeoCLIP's MLPs make
            them; saves their arithmetic in trials that freeze those.

    Raises:
        ConfigError: nothing is asked in this fold.
    """
    from geosearch.encoder.checkpoints import load_checkpoint
    from geosearch.encoder.training import train

    asked = task.asked(fold)
    if not asked:
        raise ConfigError(f"no photo of {task.name} is asked in fold {fold}")
    shares = base is not None and variant.training.freeze_scales and variant.warm_start

    def build(features: FeatureSet) -> TransGeoClip:
        model = build_model(features, variant, seed=variant.training.seed + seed, anchors=anchors)
        if base is not None and shares:
            model.location.share_scales(base)
        return model

    seen = task.features.select(np.flatnonzero(task.fold != fold))
    result = train(
        seen,
        replace(variant.training, seed=variant.training.seed + seed),
        output=scratch,
        build=build,
    )
    model = load_checkpoint(result.checkpoint.folder)
    if base is not None and shares:
        model.location.share_scales(base)
    figures = {
        "best_epoch": float(result.best_epoch),
        "epochs": float(len(result.epochs)),
        "seconds": result.seconds,
        "train_loss": result.metrics["train_loss"],
        "validation_loss": result.metrics["loss"],
        "validation_geo_score": result.metrics["geo_score"],
    }
    sample = task.gallery[:: max(1, len(task.gallery) // SAMPLE)]
    figures |= attention_figures(model.location, sample)
    return Trial(_answers(task, model, asked, fold, variant.with_neighbors), figures)


def build_model(
    features: FeatureSet,
    variant: Variant,
    *,
    seed: int,
    anchors: Callable[[int], NDArray[np.float32]] | None = None,
) -> TransGeoClip:
    """The untrained model of a variant."""
    import torch

    from geosearch.encoder.location import LocationEncoder
    from geosearch.encoder.model import ModelConfig, TransGeoClip

    config = replace(variant.location, seed=seed)
    given = None
    if anchors is not None and config.neighbors:
        given = torch.from_numpy(anchors(config.anchors))
    if variant.warm_start:
        location = LocationEncoder.from_geoclip(config, anchors=given)
    else:
        location = LocationEncoder(config, anchors=given)
    if location.attention is not None:
        with torch.no_grad():
            location.attention.log_decay.add_(math.log(variant.decay))
    assert features.text_features is not None  # `train` has refused such features
    model = ModelConfig(
        image_dim=features.image_dim,
        text_dim=int(features.text_features.shape[1]),
        block_dim=max(features.image_dim, config.embed_dim),
        location_dim=config.embed_dim,
        hidden=variant.hidden,
        dropout=variant.dropout,
        seed=seed,
    )
    return TransGeoClip(model, location)


def attention_figures(location: LocationEncoder, lat_lon: NDArray[np.float32]) -> dict[str, float]:
    """How much the two new parts add to the features of coordinates, and how far attention sees.

    `transformer_share` and `attention_share` are the mean lengths of what is added, as parts of the
    length of the features without it; `anchors_seen` is the mean perplexity of the weights of
    attention, `decay` the mean λ, in units of one over the anchors' spacing.
    """
    import torch

    seen: dict[str, list[torch.Tensor]] = {}
    hooks = []
    parts = {"transformer": location.mixer, "attention": location.attention}
    for name, part in parts.items():
        if part is not None:
            hooks.append(
                part.register_forward_hook(
                    lambda _, given, added, name=name: seen.__setitem__(name, [added, *given])
                )
            )
    try:
        with torch.no_grad():
            features = location(torch.from_numpy(lat_lon))
    finally:
        for hook in hooks:
            hook.remove()
    figures = {}
    for name, (added, *_) in seen.items():
        without = (features - added).norm(dim=1)
        figures[f"{name}_share"] = (added.norm(dim=1) / without).mean().item()
    if location.attention is not None:
        _, asked, keys, _, distances = seen["attention"]
        weights = location.attention.weights(asked, keys, distances)
        entropy = -(weights * weights.clamp(min=1e-12).log()).sum(dim=-1)  # (n, n_heads)
        figures["anchors_seen"] = entropy.exp().mean().item()
        figures["decay"] = location.attention.log_decay.exp().mean().item()
    return figures


def _answers(
    task: Task, model: TransGeoClip, asked: Sequence[Query], fold: int, with_neighbors: bool
) -> dict[str, NDArray[np.float64]]:
    import torch

    image = np.asarray(task.features.image_features, dtype=np.float32)
    with torch.no_grad():
        gallery = torch.cat(
            [
                model.encode_locations(part)
                for part in torch.split(torch.from_numpy(task.gallery), 4 * _CHUNK)
            ]
        ).numpy()
        text_aligned, placed = (
            torch.cat(blocks).numpy()
            for blocks in zip(
                *(
                    model.image_blocks(part)
                    for part in torch.split(torch.from_numpy(image), _CHUNK)
                ),
                strict=True,
            )
        )
    width = gallery.shape[1]
    queries = normalize(
        np.stack([placed[list(query.rows), :width].mean(axis=0) for query in asked])
    )
    scores = queries @ gallery.T  # (n_asked, m)
    answers = {GPS: task.gallery[scores.argmax(axis=1)].astype(np.float64)}
    if not with_neighbors:
        return answers
    visual = np.pad(image, ((0, 0), (0, placed.shape[1] - image.shape[1])))
    fused = fuse(visual=visual, text_aligned=text_aligned, location_aligned=placed)
    features = labelled.FeatureSet.of(replace(task.features, image_features=fused), name=task.name)
    # Two folds: this one, and all that the model was trained on.
    photos = FeatureGallery(features, (task.fold == fold).astype(np.int64))
    return answers | _densest(task, photos, asked, scores)


def _densest(
    task: Task, photos: FeatureGallery, asked: Sequence[Query], scores: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """The densest place among neighbours, among GPS coordinates, and among both."""
    settings = DensitySettings(max_places=1)
    found: dict[str, list[tuple[float, float]]] = {FUSED: [], GPS_DENSITY: [], FUSED_AND_GPS: []}
    for one, row in zip(photos.find(asked, NEIGHBORS), scores, strict=True):
        places = [n.photo.coordinate for n in one.neighbors if n.photo.coordinate is not None]
        near = np.array([(place.lat, place.lon) for place in places])  # (k, 2)
        voices = neighbor_weights(
            near[:, 0], near[:, 1], [n.score for n in one.neighbors], settings
        )
        best = np.argpartition(-row, min(NEIGHBORS, len(row)) - 1)[:NEIGHBORS]
        points, said = task.gallery[best].astype(np.float64), score_weights(row[best])
        both = np.concatenate([(1.0 - GPS_SHARE) * voices, GPS_SHARE * said])
        for method, where, weights in (
            (FUSED, near, voices),
            (GPS_DENSITY, points, said),
            (FUSED_AND_GPS, np.concatenate([near, points]), both),
        ):
            place = find_places(where[:, 0], where[:, 1], weights, settings)[0].coordinate
            found[method].append((place.lat, place.lon))
    return {method: np.array(places) for method, places in found.items()}


def coordinates(answers: NDArray[np.float64]) -> list[Coordinate]:
    """Rows (n, 2) of degrees as coordinates."""
    return [Coordinate(float(lat), float(lon)) for lat, lon in answers]
