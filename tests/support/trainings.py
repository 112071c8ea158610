"""A data set and a model on which a training takes a second."""

from __future__ import annotations

import numpy as np

from geosearch.encoder.features import WORDS, FeatureSet
from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.model import ModelConfig, TransGeoClip
from geosearch.encoder.training import TrainingConfig

ENCODER = "tiny|1|relu|none|none|none"
DIM = 16
QUICK = TrainingConfig(
    epochs=4, batch_size=16, device="cpu", learning_rate=1e-2, location_learning_rate=1e-3
)


def make_features(places: int = 24, views: int = 3, *, seed: int = 0) -> FeatureSet:
    """Photos whose features say where they were taken, with noise."""
    rng = np.random.default_rng(seed)
    n = places * views
    place = np.arange(n) // views
    lat = np.degrees(np.arcsin(rng.uniform(-0.9, 0.9, places)))[place]
    lon = rng.uniform(-180.0, 180.0, places)[place]
    angles = np.radians(np.stack([lat, lon], axis=1))
    clues = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)  # (n, 4)
    image = clues @ rng.standard_normal((4, DIM)) + 0.1 * rng.standard_normal((n, DIM))
    text = clues @ rng.standard_normal((4, DIM))
    words = dict.fromkeys(WORDS, ("",) * n)
    words["place"] = tuple(f"p{number}" for number in place)
    words["license"] = ("CC0",) * (n - 2) + ("", "")
    return FeatureSet(ENCODER, image.astype(np.float16), text.astype(np.float16), lat, lon, **words)


def tiny_model(features: FeatureSet) -> TransGeoClip:
    location = LocationEncoder(
        LocationConfig(
            sigmas=(1.0, 4.0), frequencies=8, hidden=16, embed_dim=DIM, width=8, heads=2,
            anchors=32, neighbors=4, attention_width=8, attention_heads=2, dropout=0.1,
        )
    )  # fmt: skip
    assert features.text_features is not None
    text_dim = features.text_features.shape[1]
    block_dim = max(features.image_dim, DIM)
    config = ModelConfig(features.image_dim, text_dim, block_dim, location_dim=DIM, hidden=16)
    return TransGeoClip(config, location)
