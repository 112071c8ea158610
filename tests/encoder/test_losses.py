from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.losses import (
    LossWeights,
    contrastive_loss,
    same_place_mask,
    total_loss,
    triplet_loss,
)
from geosearch.encoder.model import ModelConfig, TransGeoClip

# Three pairs in two dimensions. Cosines a_i · b_j, worked by hand:
#        b1    b2    b3
# a1     1     0     0.6
# a2     0     1     0.8
# a3    -1     0    -0.6
A = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
B = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
APART = torch.zeros((3, 3), dtype=torch.bool)
FIRST_TWO = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
PLACES = torch.tensor([[48.85, 2.35], [40.71, -74.0], [35.68, 139.69]])


def _nll(logits: list[float], partner: int) -> float:
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[partner]


def test_contrastive_loss_of_three_pairs_worked_by_hand() -> None:
    rows = _nll([2, 0, 1.2], 0) + _nll([0, 2, 1.6], 1) + _nll([-2, 0, -1.2], 2)
    columns = _nll([2, 0, -2], 0) + _nll([0, 2, 0], 1) + _nll([1.2, 1.6, -1.2], 2)
    loss = contrastive_loss(A, B, torch.tensor(2.0), APART)
    assert loss.item() == pytest.approx((rows / 3 + columns / 3) / 2, abs=1e-6)
    assert loss.item() == pytest.approx(1.05746, abs=1e-5)


def test_photos_of_one_place_are_left_out_of_the_sums() -> None:
    rows = _nll([2, 1.2], 0) + _nll([2, 1.6], 0) + _nll([-2, 0, -1.2], 2)
    columns = _nll([2, -2], 0) + _nll([2, 0], 0) + _nll([1.2, 1.6, -1.2], 2)
    loss = contrastive_loss(A, B, torch.tensor(2.0), FIRST_TWO)
    assert loss.item() == pytest.approx((rows / 3 + columns / 3) / 2, abs=1e-6)


def test_contrastive_loss_is_symmetric() -> None:
    forth = contrastive_loss(A, B, torch.tensor(3.0), FIRST_TWO)
    assert forth == contrastive_loss(B, A, torch.tensor(3.0), FIRST_TWO)


def test_a_batch_of_one_place_has_no_contrast_and_no_nan() -> None:
    features = A.clone().requires_grad_()
    everything = ~torch.eye(3, dtype=torch.bool)
    loss = contrastive_loss(features, B, torch.tensor(100.0), everything)
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_contrastive_loss_does_not_overflow_in_16_bits() -> None:
    halved = contrastive_loss(A.half(), B.half(), torch.tensor(100.0), APART)
    assert halved.dtype is torch.float32
    assert halved.item() == pytest.approx(
        contrastive_loss(A, B, torch.tensor(100.0), APART).item(), rel=1e-3
    )


def test_autocast_leaves_the_loss_in_float32() -> None:
    exact = contrastive_loss(A, B, torch.tensor(30.0), APART)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert contrastive_loss(A, B, torch.tensor(30.0), APART) == exact


def test_triplet_loss_of_three_captions_worked_by_hand() -> None:
    # t = A, g = B, so t·g = 1, 1, -0.6; v below gives t·v
    #        v1    v2    v3
    # t1     0     1     0.6     hardest other: 1     max(0, 0.5 + 1 - 1)    = 0.5
    # t2     1     0    -0.8     hardest other: 1     max(0, 0.5 + 1 - 1)    = 0.5
    # t3     0    -1    -0.6     hardest other: 0     max(0, 0.5 + 0 + 0.6)  = 1.1
    images = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.6, -0.8]])
    assert triplet_loss(A, B, images, APART).item() == pytest.approx(2.1 / 3, abs=1e-6)
    # With the first two at one place: t1 has v3 left, t2 has v3 left, t3 has both.
    # max(0, 0.5 + 0.6 - 1) = 0.1, max(0, 0.5 - 0.8 - 1) = 0, and 1.1 as before
    assert triplet_loss(A, B, images, FIRST_TWO).item() == pytest.approx(1.2 / 3, abs=1e-6)


def test_triplet_margin_is_counted_in_cosine() -> None:
    assert triplet_loss(A, A, -A, APART, margin=0.5).item() == pytest.approx(0.5 / 3 * 2, abs=1e-6)
    assert triplet_loss(A, A, -A, APART, margin=0.0).item() == 0.0


def test_a_caption_without_images_from_elsewhere_adds_nothing_to_the_triplet() -> None:
    texts = A.clone().requires_grad_()
    loss = triplet_loss(texts, B, A, ~torch.eye(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert texts.grad is not None
    assert not texts.grad.any()


def test_places_are_told_apart_by_distance_on_the_ground() -> None:
    # 0.0005° of latitude is 56 m, of longitude at 60° north 28 m; the last two meet at ±180.
    lat_lon = torch.tensor(
        [[60.0, 10.0], [60.0005, 10.0], [60.0, 10.0005], [60.01, 10.0], [5.0, 180.0], [5.0, -180.0]]
    )
    mask = same_place_mask(lat_lon, 0.1)
    expected = torch.zeros((6, 6), dtype=torch.bool)
    expected[:3, :3] = True
    expected[4:, 4:] = True
    assert torch.equal(mask, expected.fill_diagonal_(False))
    assert not same_place_mask(lat_lon, 0.0).any()
    assert same_place_mask(lat_lon, 25_000.0).sum() == 30


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Waking threads costs more than such small matrices do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model() -> TransGeoClip:
    location = LocationEncoder(
        LocationConfig(
            frequencies=8, hidden=16, embed_dim=12, width=8, heads=2,
            anchors=20, neighbors=4, attention_width=8, attention_heads=2,
        )
    )  # fmt: skip
    config = ModelConfig(20, 10, 20, location_dim=12, hidden=16, dropout=0.0)
    return TransGeoClip(config, location)


def _features() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((3, 20), generator=generator), torch.randn((3, 10), generator=generator)


def test_the_total_is_the_weighted_sum_of_its_terms(model: TransGeoClip) -> None:
    weights = LossWeights(image_text=1.0, image_location=2.0, text_location=3.0, triplet=0.5)
    terms = total_loss(model, *_features(), PLACES, weights=weights)
    expected = (
        terms.image_text + 2 * terms.image_location + 3 * terms.text_location + 0.5 * terms.triplet
    )
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(
        term > 0
        for term in (terms.image_text, terms.image_location, terms.text_location, terms.triplet)
    )


def test_each_term_is_that_of_its_two_modalities(model: TransGeoClip) -> None:
    images, texts = _features()
    terms = total_loss(model, images, texts, PLACES)
    image_aligned, image_placed = model.encode_images(images)
    text_aligned, text_placed = model.encode_texts(texts)
    places = model.encode_locations(PLACES)
    scale = torch.tensor(1 / 0.07)
    for term, one, other in (
        (terms.image_text, image_aligned, text_aligned),
        (terms.image_location, image_placed, places),
        (terms.text_location, text_placed, places),
    ):
        assert term.item() == pytest.approx(
            contrastive_loss(one, other, scale, APART).item(), rel=1e-5
        )
    assert terms.triplet.item() == pytest.approx(
        triplet_loss(text_placed, places, image_placed, APART).item(), rel=1e-5
    )


def test_without_captions_only_images_and_places_are_contrasted(model: TransGeoClip) -> None:
    terms = total_loss(model, _features()[0], None, PLACES)
    assert terms.total == terms.image_location > 0
    assert terms.image_text == terms.text_location == terms.triplet == 0


def test_a_term_of_weight_zero_trains_nothing(model: TransGeoClip) -> None:
    weights = LossWeights(image_location=0.0, text_location=0.0, triplet=0.0)
    total_loss(model, *_features(), PLACES, weights=weights).total.backward()
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"image_to_text", "text_to_text", "logit_scale_image_text"}


def test_one_place_photographed_twice_costs_less_than_two_places(model: TransGeoClip) -> None:
    together = torch.tensor([[48.85, 2.35], [48.85, 2.35], [35.68, 139.69]])
    masked = total_loss(model, *_features(), together)
    unmasked = total_loss(model, *_features(), together, weights=LossWeights(same_place_km=0.0))
    assert masked.image_location < unmasked.image_location


def test_steps_along_the_gradient_lower_every_term(model: TransGeoClip) -> None:
    images, texts = _features()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    first = total_loss(model, images, texts, PLACES)
    for _ in range(30):
        optimizer.zero_grad()
        total_loss(model, images, texts, PLACES).total.backward()
        optimizer.step()
        model.clamp_logit_scales()
    last = total_loss(model, images, texts, PLACES)
    assert last.image_text < first.image_text / 2
    assert last.image_location < first.image_location / 2
    assert last.text_location < first.text_location / 2
    assert last.triplet < first.triplet


def test_features_of_equal_direction_have_a_finite_gradient() -> None:
    same = normalize(torch.ones(3, 4), dim=1).requires_grad_()
    (
        contrastive_loss(same, same, torch.tensor(100.0), APART)
        + triplet_loss(same, same, same, APART)
    ).backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


def test_heads_that_no_term_asks_for_are_not_called(model: TransGeoClip) -> None:
    called: list[str] = []
    for name, child in model.named_children():
        child.register_forward_hook(lambda *_, name=name: called.append(name))
    total_loss(model, *_features(), PLACES, weights=LossWeights(0.0, 1.0, 0.0, 0.0))
    assert sorted(called) == ["image_to_location", "location", "location_to_location"]
    called.clear()
    total_loss(model, *_features(), PLACES, weights=LossWeights())
    assert len(called) == 6
