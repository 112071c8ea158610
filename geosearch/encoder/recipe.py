"""What goes into a training besides its data, what it tells on the way, and what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from geosearch.encoder.checkpoints import Checkpoint
from geosearch.encoder.losses import LossWeights
from geosearch.errors import ConfigError

Monitor = Literal["geo_score", "within_750_km", "median_km", "loss"]
LOWER_IS_BETTER = ("median_km", "loss")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything that decides what comes out of a training, besides the features.

    Args:
        epochs: at most; early stopping may end sooner.
        batch_size: photos a step, negatives of each other.
        learning_rate: of the heads, at its peak.
        location_learning_rate: of the location encoder, which may be warm-started.
        weight_decay: of matrices; vectors and temperatures have none.
        warmup: share of all steps over which the rate rises; then it falls as a cosine.
        clip_norm: longest gradient.
        patience: epochs without a better validation after which training stops.
        monitor: which metric of the held-out photos picks the best epoch.
        seed: of the split, of every batch and of all noise.
        validation_share: of places or blocks that are held out.
        blocks_deg: hold out whole cells of so many degrees instead of single places.
        feature_noise: deviation of noise on image features, in deviations of each dimension.
        feature_dropout: share of an image feature's dimensions set to zero.
        weights: of the terms of the loss.
        freeze_scales: keep the scale MLPs of the location encoder as they are: a quarter of the
            parameters learns, and a step takes a fraction of the time.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        bf16: forward passes in bfloat16; weights stay float32.
        distributed: on every process of `accelerate launch`, each with its share of the batch.

    Raises:
        ConfigError: a number cannot work.
    """

    epochs: int = 30
    batch_size: int = 512
    learning_rate: float = 1e-3
    location_learning_rate: float = 1e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0
    patience: int = 8
    monitor: Monitor = "geo_score"
    seed: int = 0
    validation_share: float = 0.15
    blocks_deg: float | None = None
    feature_noise: float = 0.2
    feature_dropout: float = 0.1
    weights: LossWeights = field(default_factory=LossWeights)
    freeze_scales: bool = False
    device: str = "auto"
    bf16: bool = False
    distributed: bool = False

    def __post_init__(self) -> None:
        for name, low in (("epochs", 1), ("batch_size", 2), ("patience", 1), ("seed", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {low} or more")
        for name in ("learning_rate", "location_learning_rate", "clip_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ConfigError(f"{name} is {value}; it must be a number above 0")
        for name in ("weight_decay", "feature_noise"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ConfigError(f"{name} is {value}; it must be a number from 0 on")
        for name in ("warmup", "feature_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more, below 1")


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """How far a training is; `metrics` are of the epoch that just ended, else None."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    samples_per_second: float
    metrics: Mapping[str, float] | None = None
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came out: the checkpoint of the best epoch and the record of all epochs."""

    checkpoint: Checkpoint
    best_epoch: int
    metrics: Mapping[str, float]
    epochs: tuple[Mapping[str, float], ...]
    stopped_early: bool
    seconds: float
