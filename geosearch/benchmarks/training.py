"""What cached features are worth: the same training step, three ways, in one run on one machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from geosearch.encoder.backbone import untrained_clip
from geosearch.encoder.batches import Batches
from geosearch.encoder.device import choose_device, synchronize
from geosearch.encoder.features import WORDS, FeatureSet
from geosearch.encoder.location import LocationEncoder
from geosearch.encoder.losses import LossWeights, total_loss
from geosearch.encoder.model import TransGeoClip
from geosearch.encoder.optimization import parameter_groups
from geosearch.encoder.training import new_model

ARCHITECTURE = "ViT-B-32"
DIM = 512
SIDE = 224
VIEWS = 4  # photos of one place
BATCH = 512
ENCODED = 64  # pictures that go through the backbone together
EPOCHS = 3

Say = Callable[[str], None]
Step = Callable[[Tensor], None]


def training_speed(progress: Say | None = None, *, size: int = 6136) -> dict[str, Any]:
    """Photos a second of an epoch from the cache, with the backbone inside, and one by one.

    All three make the same step with the same model: losses, gradients, AdamW. The second encodes
    decoded pictures by ViT-B-32 with random weights in every step, and finds its text features
    ready; the third calls the location encoder once for each photo. Both run for one step only,
    after a smaller one to warm up.

    Args:
        progress: told each figure as it is known.
        size: photos of the epoch from the cache.
    """
    say = progress or _silent
    device = choose_device("auto")
    features = _random_features(size)
    batches = Batches(features, np.arange(size), batch_size=BATCH, seed=0, device=device)
    model = new_model(features).to(device).train()
    optimizer = torch.optim.AdamW(
        parameter_groups(model, rate=1e-3, location_rate=1e-4, weight_decay=0.05)
    )

    def step(image: Tensor, text: Tensor, lat_lon: Tensor) -> None:
        loss = total_loss(model, image, text, lat_lon, weights=LossWeights()).total
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no hint for it
        optimizer.step()

    def from_cache(index: Tensor) -> None:
        step(*batches.gather(index))

    backbone = untrained_clip(ARCHITECTURE).to(device)
    pixels = torch.randint(0, 256, (ENCODED, 3, SIDE, SIDE), dtype=torch.uint8)

    def from_pictures(index: Tensor) -> None:
        _, text, lat_lon = batches.gather(index)
        with torch.no_grad():
            image = torch.cat(
                [
                    backbone.encode_image(pixels[: len(part)].to(device).float() / 127.5 - 1.0)
                    for part in torch.split(index, ENCODED)
                ]
            )
        step(image, text, lat_lon)

    cached = _epoch_rate(from_cache, batches, size, device)
    say(f"from the cache: {cached:.0f} photos/s, an epoch of {size} in {size / cached:.1f} s")
    inside = _step_rate(from_pictures, batches, device)
    say(f"with the backbone inside: {inside:.1f} photos/s")
    single = _one_by_one(model, lambda: _step_rate(from_cache, batches, device))
    say(f"location encoder called for each photo: {single:.1f} photos/s")
    common = {"photos": size, "batch": len(batches.epoch(1)[0]), "device": str(device)}
    return {
        "name": "train",
        "rows": [
            common
            | {
                "loop": "features from the cache",
                "per_second": cached,
                "epoch_seconds": size / cached,
            },
            common
            | {
                "loop": f"{ARCHITECTURE} inside the loop",
                "per_second": inside,
                "baseline": inside,
                "ratio": cached / inside,
            },
            common
            | {
                "loop": "location encoder once a photo",
                "per_second": single,
                "baseline": single,
                "ratio": cached / single,
            },
        ],
    }


def _epoch_rate(step: Step, batches: Batches, size: int, device: torch.device) -> float:
    """The median of some epochs, after one to warm up: the first steps claim their memory."""
    for index in batches.epoch(0):
        step(index)
    rates = []
    for number in range(1, EPOCHS + 1):
        synchronize(device)
        start = time.perf_counter()
        for index in batches.epoch(number):
            step(index)
        synchronize(device)
        rates.append(size / (time.perf_counter() - start))
    return statistics.median(rates)


def _step_rate(step: Step, batches: Batches, device: torch.device) -> float:
    index = batches.epoch(1)[0]
    step(index[: min(len(index), 32)])
    synchronize(device)
    start = time.perf_counter()
    step(index)
    synchronize(device)
    return len(index) / (time.perf_counter() - start)


class _OneByOne(nn.Module):
    """A location encoder that is called once for each coordinate."""

    def __init__(self, location: LocationEncoder) -> None:
        super().__init__()
        self.location = location
        self.config = location.config

    def forward(self, lat_lon: Tensor) -> Tensor:
        return torch.cat([self.location(single) for single in torch.split(lat_lon, 1)])


def _one_by_one(model: TransGeoClip, measure: Callable[[], float]) -> float:
    location = model.location
    model.location = cast(LocationEncoder, _OneByOne(location))
    try:
        return measure()
    finally:
        model.location = location


def _random_features(size: int) -> FeatureSet:
    """Photos of random places, some views of each."""
    rng = np.random.default_rng(0)
    places = np.arange(size) // VIEWS
    lat = np.degrees(np.arcsin(rng.uniform(-0.9, 0.9, places[-1] + 1)))[places]
    lon = rng.uniform(-180.0, 180.0, places[-1] + 1)[places]
    words = dict.fromkeys(WORDS, ("",) * size)
    words["place"] = tuple(map(str, places))
    image, text = (rng.standard_normal((size, DIM)).astype(np.float16) for _ in range(2))
    return FeatureSet("random", image, text, lat, lon, **words)


def _silent(text: str) -> None:
    pass
