"""Training heads and location encoder on cached features of a frozen backbone.

Everything random is a function of (seed, epoch), and every epoch ends with a state that is replaced
as a whole: a run that was killed goes on to the same weights, to the bit on a CPU.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from geosearch.encoder import model_card
from geosearch.encoder.batches import Batches
from geosearch.encoder.checkpoints import (
    LATEST,
    read_checkpoint,
    save_checkpoint,
    trained_checkpoint,
)
from geosearch.encoder.device import choose_device, synchronize
from geosearch.encoder.drafts import drafted_file
from geosearch.encoder.features import FeatureSet
from geosearch.encoder.location import LocationEncoder
from geosearch.encoder.losses import total_loss
from geosearch.encoder.model import ModelConfig, TransGeoClip
from geosearch.encoder.optimization import learning_rate_factor, parameter_groups
from geosearch.encoder.provenance import git_commit, versions
from geosearch.encoder.recipe import TrainingConfig, TrainingResult, TrainingStatus
from geosearch.encoder.training_state import STATE, TrainingState
from geosearch.encoder.validation import distance_metrics, gallery_of, located
from geosearch.encoder.workers import Workers
from geosearch.errors import ConfigError, InvalidInput, MissingDependency
from geosearch.splits import Split, block_groups, held_out_split, place_groups

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TrainingConfig", "TrainingResult", "TrainingStatus", "new_model", "train"]

GEOCLIP_BACKBONE = "ViT-L-14|openai|quickgelu|"
"""How the identity begins of the features that GeoCLIP's own image MLP was trained on."""

Progress = Callable[[TrainingStatus], None]


def new_model(features: FeatureSet) -> TransGeoClip:
    """A model for these features; its location encoder is GeoCLIP's where that is installed."""
    if features.text_features is None:
        raise InvalidInput("the features have no text features; compute them with `with_text`")
    image_dim, text_dim = features.image_dim, int(features.text_features.shape[1])
    try:
        if features.encoder.startswith(GEOCLIP_BACKBONE):
            return TransGeoClip.from_geoclip()
        location = LocationEncoder.from_geoclip()
    except MissingDependency:
        location = LocationEncoder()
    width = location.config.embed_dim
    return TransGeoClip(
        ModelConfig(image_dim=image_dim, text_dim=text_dim, block_dim=max(image_dim, width)),
        location,
    )


def train(
    features: FeatureSet,
    config: TrainingConfig | None = None,
    *,
    output: Path,
    resume: bool = False,
    progress: Progress | None = None,
    build: Callable[[FeatureSet], TransGeoClip] = new_model,
) -> TrainingResult:
    """Train on cached features and write a checkpoint of the best epoch below `output`.

    Args:
        features: with text features; all of one backbone.
        config: everything that decides the result.
        output: a folder for the state and the checkpoint.
        resume: go on where an earlier call with the same config and data stopped; from the
            beginning if there was none.
        progress: told several times a second how far it is.
        build: makes the model to train; by default warm-started by GeoCLIP where that is installed.

    Raises:
        ConfigError: the split is empty, CUDA is asked for and absent, `output` is in use, or what
            it holds belongs to another config or other data.
        InvalidInput: no text features, the loss is no number any more, or the state is damaged.
        StorageFull: no room is left; the last whole epoch is kept.
    """
    if (output / STATE).exists() and not resume:
        raise ConfigError(
            f"{output} holds a training already; add --resume to go on with it, or name another "
            "folder"
        )
    run = _Run(
        features, config or TrainingConfig(), output, build, progress or (lambda status: None)
    )
    start = time.perf_counter()
    with run.own_randomness():
        while not run.state.is_finished:
            run.run_epoch()
    return run.finish(time.perf_counter() - start)


class _Run:
    """One training in this process."""

    def __init__(
        self,
        features: FeatureSet,
        config: TrainingConfig,
        output: Path,
        build: Callable[[FeatureSet], TransGeoClip],
        progress: Progress,
    ) -> None:
        self.features, self.config, self.progress = features, config, progress
        self.workers = Workers(distributed=config.distributed, device=config.device)
        self.device = self.workers.device or choose_device(config.device)
        split = _split(features, config)
        self.train_rows, held_out = split.train, split.test
        self.batches = Batches(
            features,
            self.train_rows,
            batch_size=config.batch_size,
            seed=config.seed,
            device=self.device,
        )
        # Shuffled: in the order of the file, photos that are validated together would be one place.
        self.held_out = torch.from_numpy(held_out)[
            torch.randperm(len(held_out), generator=torch.Generator().manual_seed(config.seed))
        ]
        with self.own_randomness():
            torch.manual_seed(config.seed)
            model = build(features).to(self.device)
        if config.freeze_scales:
            model.location.capsules.requires_grad_(False)  # before the optimizer asks
        optimizer = torch.optim.AdamW(
            parameter_groups(
                model,
                rate=config.learning_rate,
                location_rate=config.location_learning_rate,
                weight_decay=config.weight_decay,
            )
        )
        self.data = model_card.data_document(features)
        self.state = TrainingState(output, config, self.data["fingerprint"], model, optimizer)
        self.state.restore()
        if config.freeze_scales:
            model.location.freeze_scales(torch.from_numpy(features.lat_lon))

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Leave the caller's random numbers as they were."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            yield

    def run_epoch(self) -> None:
        """One pass over the training rows, one look at the held-out ones, one state on disk."""
        number = len(self.state.epochs) + 1
        # Reseeded each epoch, so that what was drawn before does not matter after a resumption.
        torch.manual_seed(self.config.seed * 1_000_003 + number)
        start = time.perf_counter()
        if self.state.model.location.attention is not None:
            # What the anchors say follows the encoder, an epoch behind it.
            self.state.model.location.refresh_anchors()
        loss = self._train_epoch(number)
        synchronize(self.device)
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise InvalidInput(
                f"the loss is no number any more in epoch {number}; train anew in another folder "
                "with a lower learning rate"
            )
        metrics = {"train_loss": loss} | self._validate()
        rate = len(self.train_rows) / seconds
        is_best = self.state.record(metrics | {"seconds": seconds, "samples_per_second": rate})
        if self.workers.is_main:
            self.state.save()
        self.workers.wait()
        self._tell(number, self.batches.steps, loss, rate, metrics, is_best)

    def finish(self, seconds: float) -> TrainingResult:
        """Write the checkpoint of the best epoch."""
        state = self.state
        best = state.epochs[state.best_epoch - 1]
        metrics = {k: v for k, v in best.items() if k not in ("seconds", "samples_per_second")}
        if self.workers.is_main:
            training = {
                "config": asdict(self.config),
                "data": self.data,
                "split": {"train": len(self.train_rows), "validation": len(self.held_out)},
                "epochs": state.epochs,
                "best_epoch": state.best_epoch,
                "metrics": metrics,
                "device": str(self.device),
                "processes": self.workers.count,
                "git_commit": git_commit(),
                "versions": versions(),
                "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            state.take_best()
            encoder = self.features.encoder
            card = model_card.write_card(training, encoder=encoder)
            checkpoint = save_checkpoint(
                state.model, state.folder, encoder=encoder, training=training, card=card
            )
            with drafted_file(state.folder / LATEST) as draft:
                draft.write_text(json.dumps({"checkpoint": checkpoint.name}))
        self.workers.wait()
        return TrainingResult(
            checkpoint=read_checkpoint(trained_checkpoint(state.folder)),
            best_epoch=state.best_epoch,
            metrics=metrics,
            epochs=tuple(state.epochs),
            stopped_early=state.has_stalled,
            seconds=seconds,
        )

    def _train_epoch(self, number: int) -> float:
        """The mean loss of the epoch."""
        config, model = self.config, self.state.model.train()
        optimizer, steps = self.state.optimizer, self.batches.steps
        total = torch.zeros((), device=self.device)
        start, told, seen = time.perf_counter(), 0.0, 0
        for step, index in enumerate(self.batches.epoch(number)):
            factor = learning_rate_factor(
                (number - 1) * steps + step, total=config.epochs * steps, warmup=config.warmup
            )
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            batch = self.batches.gather(
                self.workers.share(index),
                noise=config.feature_noise,
                dropout=config.feature_dropout,
            )
            loss = self._loss(*batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no hint for it
            self.workers.average_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
            optimizer.step()
            model.clamp_logit_scales()
            total += loss.detach()
            seen += len(index)
            now = time.perf_counter()
            if now - told > 0.2:  # reading the loss makes a GPU wait, so not at every step
                told = now
                self._tell(number, step + 1, float(loss.detach()), seen / (now - start))
        return float(total) / steps

    def _loss(self, image: Tensor, text: Tensor, lat_lon: Tensor) -> Tensor:
        # Validation stays in float32: what the location encoder keeps for inference is made there.
        halved = self.config.bf16 and torch.is_grad_enabled()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=halved):
            terms = total_loss(self.state.model, image, text, lat_lon, weights=self.config.weights)
        return terms.total.float()

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Loss and distances of the held-out photos, located among the training coordinates."""
        model = self.state.model.eval()
        lat_lon = self.features.lat_lon
        parts = max(1, round(len(self.held_out) / self.config.batch_size))
        loss, queries = 0.0, []
        for index in self.held_out.tensor_split(parts):
            image, text, places = self.batches.gather(index)
            loss += float(self._loss(image, text, places)) * len(index) / len(self.held_out)
            queries.append(model.encode_images(image)[1])
        gallery = gallery_of(lat_lon[self.train_rows], seed=self.config.seed)
        gallery_features = model.encode_locations(torch.from_numpy(gallery).to(self.device))
        found = located(torch.cat(queries), gallery_features, gallery)
        return {"loss": loss} | distance_metrics(found, lat_lon[self.held_out.numpy()])

    def _tell(
        self,
        epoch: int,
        step: int,
        loss: float,
        rate: float,
        metrics: Mapping[str, float] | None = None,
        is_best: bool = False,
    ) -> None:
        if self.workers.is_main:
            self.progress(
                TrainingStatus(
                    epoch,
                    self.config.epochs,
                    step,
                    self.batches.steps,
                    loss,
                    rate,
                    metrics,
                    is_best,
                )
            )


def _split(features: FeatureSet, config: TrainingConfig) -> Split:
    """Whole places that train and whole places that validate, or whole cells."""
    if config.blocks_deg is None:
        groups, name = place_groups(features.place), "places"
    else:
        groups = block_groups(features.lat, features.lon, config.blocks_deg, places=features.place)
        name = f"blocks of {config.blocks_deg:g}°"
    return held_out_split(groups, share=config.validation_share, seed=config.seed, name=name)
