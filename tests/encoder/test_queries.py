from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geosearch.encoder import embedder as embedder_module
from geosearch.encoder.embedder import Embedder, TrainedHeads
from geosearch.encoder.fusion import block_of
from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.model import ModelConfig, TransGeoClip
from geosearch.encoder.preprocess import Preprocess
from geosearch.errors import ConfigError
from geosearch.geo import Coordinate


class JointBackbone:
    """Fixed random features; words and pictures of the same first letter and shade are alike."""

    name, weights, activation = "joint", "0", "none"
    preprocess = Preprocess(size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    image_dim = text_dim = 16
    may_be_halved = False

    def __init__(self, *, has_joint_space: bool = True) -> None:
        self.has_joint_space = has_joint_space

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        pass

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.reshape(len(pixels), -1)[:, :16] + 0.1  # (n, 16)

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([np.full(16, len(text), np.float32) for text in texts])


def _heads(block_dim: int = 16) -> TrainedHeads:
    location = LocationEncoder(
        LocationConfig(frequencies=8, hidden=16, embed_dim=16, width=8, heads=2, anchors=8,
                       neighbors=2, attention_width=8, attention_heads=2)
    )  # fmt: skip
    config = ModelConfig(16, 16, block_dim, location_dim=16, hidden=8)
    return TrainedHeads(TransGeoClip(config, location), "heads1", "location1")


def _pixels(n: int) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8))


def test_a_text_fills_the_visual_and_the_text_aligned_block() -> None:
    for heads in (None, _heads()):
        query = Embedder(JointBackbone(), heads=heads, device="cpu").encode_texts(["a street"])
        assert query.shape == (1, 48)
        assert np.linalg.norm(block_of(query, "visual")) == pytest.approx(3**-0.5)
        assert np.linalg.norm(block_of(query, "text_aligned")) == pytest.approx(3**-0.5)
        assert not block_of(query, "location_aligned").any()


def test_a_text_says_nothing_about_pictures_of_a_separate_space() -> None:
    backbone = JointBackbone(has_joint_space=False)
    with pytest.raises(ConfigError, match="geosearch train"):
        Embedder(backbone, device="cpu").encode_texts(["a street"])
    query = Embedder(backbone, heads=_heads(), device="cpu").encode_texts(["a street"])
    assert not block_of(query, "visual").any()
    assert block_of(query, "text_aligned").any()


def test_a_coordinate_fills_the_location_block() -> None:
    embedder = Embedder(JointBackbone(), heads=_heads(), device="cpu")
    query = embedder.encode_locations([Coordinate(55.7, 13.2), Coordinate(-90, 180)])
    assert query.shape == (2, 48)
    assert not block_of(query, "visual").any()
    assert np.linalg.norm(block_of(query, "location_aligned"), axis=1) == pytest.approx(
        np.full(2, 3**-0.5), abs=1e-5
    )


def test_without_heads_there_is_no_location_space() -> None:
    with pytest.raises(ConfigError, match="no location space"):
        Embedder(JointBackbone(), device="cpu").encode_locations([Coordinate(0, 0)])


def test_heads_change_the_vectors_of_photos_and_the_identity() -> None:
    plain = Embedder(JointBackbone(), device="cpu")
    trained = Embedder(JointBackbone(), heads=_heads(), device="cpu")
    assert (trained.identity.heads, trained.identity.location) == ("heads1", "location1")
    assert trained.identity.short != plain.identity.short
    one, other = plain.encode(_pixels(3)), trained.encode(_pixels(3))
    assert one.shape == other.shape == (3, 48)
    assert np.allclose(block_of(one, "visual"), block_of(other, "visual"))
    assert np.linalg.norm(other, axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_heads_of_another_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="blocks of 32"):
        Embedder(JointBackbone(), heads=_heads(block_dim=32), device="cpu")


class WideBackbone(JointBackbone):
    """As wide as CLIP ViT-L/14."""

    image_dim = text_dim = 768

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.reshape(len(pixels), -1).repeat(1, 4) + 0.1  # (n, 768)

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 768), np.float32)


@pytest.mark.skipif(find_spec("geoclip") is None, reason="the wheel geoclip is not installed")
def test_vit_l_14_takes_geoclips_location_space_without_training() -> None:
    """2304 numbers, and a coordinate is nearest to itself, then to its surroundings."""
    heads = embedder_module._load_heads("ViT-L-14/openai", WideBackbone(), None)
    assert heads is not None
    assert heads.heads_id.startswith("geoclip-")
    embedder = Embedder(WideBackbone(), heads=heads, device="cpu")
    assert embedder.encode(_pixels(2)).shape == (2, 2304)
    lund, malmo, lima = embedder.encode_locations(
        [Coordinate(55.705, 13.193), Coordinate(55.606, 13.0), Coordinate(-12.05, -77.04)]
    )
    assert lund @ lund > lund @ malmo > lund @ lima
    assert embedder_module._load_heads("ViT-B-32/openai", WideBackbone(), None) is None
