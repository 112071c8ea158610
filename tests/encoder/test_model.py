from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geosearch.encoder import geoclip
from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.losses import total_loss
from geosearch.encoder.model import PAIRS, ModelConfig, TransGeoClip, geoclip_image_mlp
from geosearch.errors import ConfigError, MissingDependency

LOCATION = LocationConfig(
    frequencies=8, hidden=16, embed_dim=12, width=8, heads=2,
    anchors=20, neighbors=4, attention_width=8, attention_heads=2,
)  # fmt: skip
CONFIG = ModelConfig(20, 10, 24, location_dim=12, hidden=16)
PLACES = torch.tensor([[48.85, 2.35], [40.71, -74.0], [35.68, 139.69], [0.0, 0.0]])


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _model(config: ModelConfig = CONFIG) -> TransGeoClip:
    return TransGeoClip(config, LocationEncoder(LOCATION)).eval()


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Waking threads costs more than such small matrices do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def warm() -> TransGeoClip:
    try:
        return TransGeoClip.from_geoclip().eval()
    except MissingDependency:
        pytest.skip("the wheel geoclip is not installed, so there are no weights to start from")


def test_every_block_has_the_width_of_a_block_and_length_one() -> None:
    model = _model()
    blocks = (
        *model.image_blocks(_random(4, 20)),
        *model.text_blocks(_random(4, 10)),
        model.location_block(PLACES),
    )
    assert [tuple(block.shape) for block in blocks] == [(4, 24)] * 5
    for block in blocks:
        assert torch.allclose(block.norm(dim=1), torch.ones(4), atol=1e-5)


def test_padding_keeps_the_cosines_of_the_narrow_space() -> None:
    model = _model()
    images, places = model.image_blocks(_random(4, 20))[1], model.location_block(PLACES)
    narrow = model.encode_images(_random(4, 20))[1] @ model.encode_locations(PLACES).T
    assert torch.allclose(images @ places.T, narrow, atol=1e-6)
    assert not images[:, 12:].any()


def test_untrained_heads_keep_features_where_widths_agree() -> None:
    model = _model(replace(CONFIG, image_dim=10))
    images, texts = _random(4, 10), _random(4, 10, seed=1)
    cosines = torch.cosine_similarity(images[:, None], texts, dim=2)
    aligned = model.encode_images(images)[0] @ model.encode_texts(texts)[0].T
    assert torch.allclose(aligned, cosines, atol=1e-6)


def test_an_untrained_head_to_a_wider_space_keeps_all_cosines() -> None:
    model = _model()
    texts = _random(4, 10)
    placed = model.encode_texts(texts)[1]  # (4, 12), from 10
    cosines = torch.cosine_similarity(texts[:, None], texts, dim=2)
    assert torch.allclose(placed @ placed.T, cosines, atol=1e-5)


def test_the_untrained_location_block_is_the_location_encoders_own() -> None:
    model = _model()
    own = torch.nn.functional.normalize(model.location(PLACES), dim=1)
    assert torch.allclose(model.location_block(PLACES)[:, :12], own, atol=1e-6)


def test_the_length_of_a_feature_does_not_matter() -> None:
    model = _model()
    images = _random(4, 20)
    for one, other in zip(
        model.image_blocks(images), model.image_blocks(30.0 * images), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-4)


def test_every_parameter_learns_within_two_steps() -> None:
    model = _model(replace(CONFIG, dropout=0.0)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def backward() -> None:
        optimizer.zero_grad()
        total_loss(model, _random(4, 20), _random(4, 10), PLACES).total.backward()

    backward()
    for head in (
        model.image_to_text,
        model.text_to_text,
        model.image_to_location,
        model.text_to_location,
        model.location_to_location,
    ):
        assert head.down.weight.grad is not None
        assert head.down.weight.grad.any()
    optimizer.step()
    backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # A constant added to all keys does not change their softmax, so their bias cannot learn.
    assert without in ([], ["location.attention.key.bias"])


def test_temperatures_begin_at_clips_and_stay_within_limits() -> None:
    model = _model()
    assert [model.logit_scale(pair).item() for pair in PAIRS] == pytest.approx([1 / 0.07] * 3)
    with torch.no_grad():
        model.logit_scale_image_text.fill_(50.0)
        model.logit_scale_text_location.fill_(-50.0)
    assert model.logit_scale("image_text").item() == pytest.approx(100.0)
    assert model.logit_scale("text_location").item() == pytest.approx(1.0)
    model.clamp_logit_scales()
    assert model.logit_scale_image_text.item() == pytest.approx(math.log(100.0))
    assert model.logit_scale_text_location.item() == pytest.approx(0.0)


def test_a_temperature_at_its_limit_can_come_back() -> None:
    model = _model()
    with torch.no_grad():
        model.logit_scale_image_text.fill_(50.0)
    model.clamp_logit_scales()
    model.logit_scale("image_text").backward()
    assert model.logit_scale_image_text.grad is not None
    assert model.logit_scale_image_text.grad > 0


def test_no_two_modules_share_a_parameter() -> None:
    tensors = list(_model().state_dict().values())
    assert len({tensor.data_ptr() for tensor in tensors}) == len(tensors)


def test_a_state_dict_restores_the_model() -> None:
    source, target = _model(), _model(replace(CONFIG, seed=1))
    with torch.no_grad():
        source.image_to_location.down.weight.normal_()
    assert not torch.equal(
        source.encode_images(_random(4, 20))[0], target.encode_images(_random(4, 20))[0]
    )
    target.load_state_dict(source.state_dict())
    for one, other in zip(
        source.image_blocks(_random(4, 20)), target.image_blocks(_random(4, 20)), strict=True
    ):
        assert torch.equal(one, other)


def test_moving_the_model_moves_every_tensor() -> None:
    state = _model().to("meta").state_dict()
    assert {tensor.device.type for tensor in state.values()} == {"meta"}


def test_the_same_seed_gives_the_same_heads() -> None:
    first, second = _model().state_dict(), _model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_image_mlp_is_geoclips(warm: TransGeoClip) -> None:
    images = 10.0 * _random(5, 768)
    expected = torch.nn.functional.normalize(geoclip_image_mlp()(images), dim=1)
    assert torch.allclose(warm.image_blocks(images)[1][:, :512], expected, atol=1e-6)
    assert torch.allclose(warm.text_blocks(images)[1][:, :512], expected, atol=1e-6)


def test_without_training_cosines_of_images_and_places_are_geoclips(warm: TransGeoClip) -> None:
    images = 10.0 * _random(5, 768)
    places = LocationEncoder.from_geoclip().eval()(PLACES)
    expected = torch.cosine_similarity(geoclip_image_mlp()(images)[:, None], places, dim=2)
    cosines = warm.image_blocks(images)[1] @ warm.location_block(PLACES).T
    assert torch.allclose(cosines, expected, atol=1e-5)
    scale = min(math.exp(geoclip.log_logit_scale()), 100.0)
    assert warm.logit_scale("image_location").item() == pytest.approx(scale, rel=1e-5)


def test_geoclip_heads_need_geoclips_shapes() -> None:
    with pytest.raises(ConfigError, match=r"ViT-L/14"):
        replace(CONFIG, geoclip_heads=True)
    with pytest.raises(ConfigError, match="geoclip_heads=True"):
        TransGeoClip.from_geoclip(CONFIG)


def test_a_block_narrower_than_the_location_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="block_dim=11"):
        replace(CONFIG, block_dim=11)


def test_temperatures_outside_their_limits_are_refused() -> None:
    with pytest.raises(ConfigError, match="logit_scale_init"):
        replace(CONFIG, logit_scale_init=200.0)


def test_a_location_encoder_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="location_dim=13"):
        _model(replace(CONFIG, location_dim=13))
