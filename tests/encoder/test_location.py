from __future__ import annotations

import copy
import importlib
import importlib.util
import math
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from geosearch.encoder import geoclip
from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.sphere import (
    equal_earth,
    fibonacci_lattice,
    spread_out,
    unit_vectors,
)
from geosearch.errors import ConfigError, InvalidCoordinate, MissingDependency
from geosearch.geo import haversine_km

SMALL = LocationConfig(
    frequencies=16, hidden=32, embed_dim=24, width=16, heads=2,
    anchors=60, neighbors=5, attention_width=16, attention_heads=2,
)  # fmt: skip
EDGES = torch.tensor(
    [[90.0, 0.0], [90.0, 180.0], [-90.0, -180.0], [0.0, 180.0], [0.0, -180.0], [0.0, 0.0]]
)


def _anywhere(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand((count, 2), generator=generator)
    return share * torch.tensor([180.0, 360.0]) - torch.tensor([90.0, 180.0])  # (count, 2)


def _awake(encoder: LocationEncoder) -> LocationEncoder:
    """Its new parts as after training: their last layers are no longer zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in (encoder.mixer, encoder.attention):
            assert part is not None
            part.out.weight.normal_(0.0, 0.05, generator=generator)
    return encoder.eval()


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Waking threads costs more than such small matrices do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def full() -> LocationEncoder:
    return _awake(LocationEncoder())


@pytest.fixture(scope="module")
def wheel() -> Any:
    """GeoCLIP's own encoder, in eval mode, without its package, which imports transformers."""
    spec = importlib.util.find_spec("geoclip")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the wheel geoclip is not installed, so there is nothing to compare with")
    folder = spec.submodule_search_locations[0]
    before = {name: module for name, module in sys.modules.items() if name.startswith("geoclip")}
    try:
        for name, path in (("geoclip", folder), ("geoclip.model", f"{folder}/model")):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [path]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module("geoclip.model.location_encoder")
    except ImportError as error:
        pytest.skip(f"the wheel geoclip cannot be imported here ({error})")
    finally:
        for name in [name for name in sys.modules if name.startswith("geoclip")]:
            del sys.modules[name]
        sys.modules.update(before)
    return module.LocationEncoder().eval()


@pytest.fixture(scope="module")
def warm() -> LocationEncoder:
    try:
        return LocationEncoder.from_geoclip().eval()
    except MissingDependency:
        pytest.skip("the wheel geoclip is not installed, so there are no weights to start from")


def test_the_untrained_encoder_equals_geoclips(warm: LocationEncoder, wheel: Any) -> None:
    lat_lon = torch.cat((_anywhere(10_000), EDGES))
    with torch.no_grad():
        assert (warm(lat_lon) - wheel(lat_lon)).abs().max() < 1e-5


def test_anchors_of_the_gallery_are_spread_out(warm: LocationEncoder) -> None:
    anchors, gallery = warm.anchor_vectors.double(), unit_vectors(geoclip.gallery()).double()
    to_another = (anchors @ anchors.T).fill_diagonal_(-1.0).amax(dim=1).acos()
    to_an_anchor = (gallery @ anchors.T).amax(dim=1).clamp(max=1.0).acos()
    assert len(anchors) == 3000
    assert 6371.0 * to_another.min() > 90.0
    assert 6371.0 * to_an_anchor.max() < 95.0


def test_a_warm_start_without_the_new_parts_is_geoclips_encoder(warm: LocationEncoder) -> None:
    bare = LocationEncoder.from_geoclip(LocationConfig(layers=0, neighbors=0)).eval()
    assert "anchors" not in bare.state_dict()
    with torch.no_grad():
        assert torch.equal(bare(EDGES), warm(EDGES))


def test_geoclips_shapes_are_required_of_a_warm_start(warm: LocationEncoder) -> None:
    with pytest.raises(ConfigError, match="hidden 1024"):
        LocationEncoder.from_geoclip(SMALL)


def test_a_missing_wheel_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"geosearch\[geoclip\]"):
        LocationEncoder.from_geoclip()


def test_reading_the_wheel_does_not_import_it(warm: LocationEncoder) -> None:
    loaded = sys.modules.pop("geoclip", None)
    try:
        geoclip.location_weights()
        assert "geoclip" not in sys.modules
    finally:
        if loaded is not None:
            sys.modules["geoclip"] = loaded


def test_a_coordinate_has_the_same_features_in_any_batch(full: LocationEncoder) -> None:
    lat_lon = torch.cat((EDGES, _anywhere(994)))
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = normalize(full(lat_lon), dim=1)
        alone = torch.cat([normalize(full(one[None]), dim=1) for one in lat_lon[:20]])
        shuffled = normalize(full(lat_lon[order]), dim=1)
    assert (together[:20] - alone).abs().max() < 1e-6
    assert (together[order] - shuffled).abs().max() < 1e-6


def test_inference_equals_the_pass_that_has_gradients() -> None:
    encoder = _awake(LocationEncoder(SMALL))
    lat_lon = _anywhere(50)
    with_gradients = encoder(lat_lon)
    assert with_gradients.requires_grad
    with torch.no_grad():
        assert torch.allclose(encoder(lat_lon), with_gradients, atol=1e-6)
        assert torch.equal(encoder.train()(lat_lon), with_gradients)


def test_more_coordinates_than_a_chunk_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = _awake(LocationEncoder(SMALL))
    lat_lon = _anywhere(25)
    with torch.no_grad():
        whole = encoder(lat_lon)
        monkeypatch.setattr("geosearch.encoder.location.CHUNK", 7)
        assert torch.allclose(encoder(lat_lon), whole, atol=1e-6)
        assert encoder(lat_lon[:0]).shape == (0, 24)


def test_the_same_seed_gives_the_same_encoder_and_leaves_the_global_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = LocationEncoder(SMALL), LocationEncoder(SMALL)
    assert torch.rand(1) == expected
    other = LocationEncoder(replace(SMALL, seed=1))
    with torch.no_grad():
        assert torch.equal(first(EDGES), second(EDGES))
        assert not torch.equal(first(EDGES), other(EDGES))


def test_poles_and_the_antimeridian_give_finite_features(full: LocationEncoder) -> None:
    with torch.no_grad():
        assert full(EDGES).isfinite().all()


def test_gradients_at_the_poles_are_finite() -> None:
    encoder = _awake(LocationEncoder(SMALL))
    encoder(EDGES).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize(
    "lat_lon",
    [[91.0, 0.0], [0.0, 180.5], [math.nan, 0.0], [0.0, math.inf], [139.7, 35.7]],
    ids=["latitude", "longitude", "nan", "infinite", "swapped"],
)
def test_what_is_no_place_is_refused(lat_lon: list[float]) -> None:
    with pytest.raises(InvalidCoordinate, match="1 of 2 coordinates"):
        LocationEncoder(SMALL)(torch.tensor([[0.0, 0.0], lat_lon]))


def test_coordinates_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidCoordinate, match=r"\(n, 2\)"):
        LocationEncoder(SMALL)(torch.zeros(3))


def test_double_precision_coordinates_give_the_same_float32_features() -> None:
    encoder = _awake(LocationEncoder(SMALL))
    lat_lon = _anywhere(20)
    with torch.no_grad():
        assert torch.equal(encoder(lat_lon.double()), encoder(lat_lon))
        assert encoder(lat_lon.double()).dtype is torch.float32


def test_equal_earth_agrees_with_published_values() -> None:
    # The half width and half height of the map of a sphere of radius 1.
    expected = torch.tensor([[2.7066296, 0.0], [0.0, 1.3173627]])
    points = equal_earth(torch.tensor([[0.0, 180.0], [90.0, 0.0]]))
    assert torch.allclose(points * 180 / 66.50336, expected, atol=1e-5)


def test_nearest_anchors_are_the_nearest_by_great_circle() -> None:
    encoder = LocationEncoder(SMALL)
    lat_lon = torch.cat((EDGES, _anywhere(40)))
    anchors = fibonacci_lattice(60).double().numpy()
    places = lat_lon.double().numpy()
    truth = haversine_km(places[:, :1], places[:, 1:], anchors[:, 0], anchors[:, 1])
    distances, nearest = encoder.nearest_anchors(lat_lon)
    assert np.allclose(np.sort(distances.numpy()), np.sort(truth)[:, :5], atol=0.01)
    assert np.allclose(np.take_along_axis(truth, nearest.numpy(), 1), distances, atol=0.01)


def test_distances_to_anchors_are_exact_for_neighbors_at_a_few_metres() -> None:
    encoder = LocationEncoder(replace(SMALL, neighbors=1))
    there = fibonacci_lattice(60)[30:31]
    distances, _ = encoder.nearest_anchors(there + torch.tensor([[0.001, 0.0]]))
    assert distances.item() == pytest.approx(0.1112, abs=0.002)


def test_location_attention_is_continuous_across_the_antimeridian() -> None:
    encoder = _awake(LocationEncoder(SMALL))
    assert encoder.attention is not None
    lat = torch.linspace(-89.0, 89.0, 30)
    east = torch.stack((lat, torch.full((30,), 179.9999)), dim=1)
    west = torch.stack((lat, torch.full((30,), -179.9999)), dim=1)
    features = torch.randn((30, 24), generator=torch.Generator().manual_seed(3))
    keys, values = encoder.attention.keys_values(encoder.anchor_features)

    def attend(lat_lon: Tensor) -> Tensor:
        distances, nearest = encoder.nearest_anchors(lat_lon)
        spacings = distances / encoder.anchor_spacing_km
        added: Tensor = encoder.attention(features, keys[nearest], values[nearest], spacings)
        return added

    with torch.no_grad():
        difference = (attend(east) - attend(west)).abs().max()
        assert difference < 1e-4
        assert (attend(east) - attend(_anywhere(30))).abs().max() > 100 * difference


def test_a_far_anchor_counts_less_than_a_near_one() -> None:
    attention = LocationEncoder(SMALL).attention
    assert attention is not None
    with torch.no_grad():
        attention.out.weight.copy_(torch.eye(24, 16))
        attention.query.weight.zero_()
        attention.query.bias.zero_()
        attention.log_decay.fill_(math.log(2.0))
        values = torch.stack((torch.zeros(2, 8), torch.ones(2, 8)))[None]  # (1, 2, n_heads, d_head)
        added = attention(
            torch.randn(1, 24), torch.randn(1, 2, 2, 8), values, torch.tensor([[0.0, 1.0]])
        )
    # softmax of 0 and -λ·1, with λ = 2
    assert added[0, :16] == pytest.approx(math.exp(-2.0) / (1.0 + math.exp(-2.0)), abs=1e-6)


def test_every_new_parameter_learns_though_its_residual_begins_as_zero() -> None:
    encoder = LocationEncoder(SMALL).train()
    assert encoder.mixer is not None
    assert encoder.attention is not None
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    lat_lon, target = _anywhere(64), torch.randn((64, 24), generator=torch.manual_seed(0))

    def backward() -> None:
        optimizer.zero_grad()
        (encoder(lat_lon) - target).square().mean().backward()

    backward()
    for part in (encoder.mixer, encoder.attention):
        assert part.out.weight.grad.abs().max() > 0.0
    optimizer.step()
    backward()
    without = [n for n, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    # A constant added to all keys does not change their softmax, so their bias cannot learn.
    assert without in ([], ["attention.key.bias"])


def test_no_two_modules_share_a_parameter() -> None:
    parameters = list(LocationEncoder(SMALL).state_dict().values())
    assert len({p.data_ptr() for p in parameters}) == len(parameters)


def test_moving_the_encoder_moves_every_tensor() -> None:
    encoder = LocationEncoder(SMALL).to("meta")
    assert {tensor.device.type for tensor in encoder.state_dict().values()} == {"meta"}
    assert set(encoder.state_dict()) == {
        name for name, _ in (*encoder.named_parameters(), *encoder.named_buffers())
    }


def test_a_state_dict_carries_everything_including_the_anchors() -> None:
    source = _awake(LocationEncoder(SMALL, anchors=_anywhere(60, seed=4)))
    target = LocationEncoder(replace(SMALL, seed=9)).eval()
    lat_lon = _anywhere(20)
    with torch.no_grad():
        target(lat_lon)
        target.load_state_dict(source.state_dict())
        assert torch.equal(target(lat_lon), source(lat_lon))


def _step(encoder: LocationEncoder) -> None:
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=0.01)
    encoder(EDGES).square().sum().backward()
    optimizer.step()


def _write(encoder: LocationEncoder) -> None:
    with torch.no_grad():
        encoder.anchor_features.mul_(-2.0)


def _assign(encoder: LocationEncoder) -> None:
    other = _awake(LocationEncoder(replace(SMALL, seed=3)))
    encoder.load_state_dict(other.state_dict(), assign=True)


@pytest.mark.parametrize("change", [_step, _write, _assign])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_inference_keeps_is_renewed_after_a_change(
    change: Callable[[LocationEncoder], None], dtype: torch.dtype
) -> None:
    encoder = _awake(LocationEncoder(SMALL))
    encoder.compute_dtype = dtype
    with torch.no_grad():
        before = encoder(EDGES)
    change(encoder)
    fresh = LocationEncoder(SMALL).eval()
    fresh.load_state_dict(encoder.state_dict())
    fresh.compute_dtype = dtype
    with torch.no_grad():
        assert torch.equal(encoder(EDGES), fresh(EDGES))
        assert not torch.equal(encoder(EDGES), before)


def test_anchors_are_prepared_once_for_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = LocationEncoder(SMALL).eval()
    assert encoder.attention is not None
    calls: list[int] = []
    original = encoder.attention.keys_values
    monkeypatch.setattr(
        encoder.attention, "keys_values", lambda anchors: (calls.append(1), original(anchors))[1]
    )
    with torch.inference_mode():
        for _ in range(3):
            encoder(EDGES)
    assert len(calls) == 1


def test_training_prepares_only_the_anchors_that_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = _awake(LocationEncoder(SMALL)).train()
    assert encoder.attention is not None
    lat_lon = _anywhere(4)
    prepared: list[Tensor] = []
    original = encoder.attention.keys_values
    monkeypatch.setattr(
        encoder.attention,
        "keys_values",
        lambda anchors: (prepared.append(anchors), original(anchors))[1],
    )

    def gradients(features: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(features.square().sum(), list(encoder.parameters())))

    features = encoder(lat_lon)
    heard = encoder.nearest_anchors(lat_lon)[1].unique()
    assert len(heard) < SMALL.anchors
    assert torch.equal(prepared[0], encoder.anchor_features[heard])
    with torch.no_grad():
        torch.testing.assert_close(features.detach(), encoder.eval()(lat_lon), atol=1e-6, rtol=0.0)
    whole = encoder._encode(lat_lon, encoder._parts(torch.float32))
    assert len(prepared[-1]) == SMALL.anchors
    for ours, theirs in zip(gradients(features), gradients(whole), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_refreshed_anchors_say_what_the_scales_say_now() -> None:
    encoder = LocationEncoder(SMALL).eval()
    with torch.no_grad():
        encoder.capsules[0][0].weight.mul_(2.0)
        stale = encoder.anchor_features.clone()
        encoder.refresh_anchors()
        # The residuals are zero, so features are the sums of the scale tokens alone.
        now = encoder(fibonacci_lattice(60))
    assert not torch.allclose(stale, now, atol=1e-4)
    assert torch.allclose(encoder.anchor_features, now, atol=1e-6)


@pytest.mark.parametrize(
    "left_out", [{"layers": 0}, {"neighbors": 0}, {"neighbors": 0, "layers": 0}]
)
def test_each_new_part_can_be_left_out(left_out: dict[str, int]) -> None:
    encoder = LocationEncoder(replace(SMALL, **left_out)).eval()
    assert (encoder.mixer is None) == ("layers" in left_out)
    assert (encoder.attention is None) == ("neighbors" in left_out)
    with torch.no_grad():
        assert torch.allclose(encoder(EDGES), LocationEncoder(SMALL)(EDGES), atol=1e-6)


def test_bfloat16_stays_close_to_float32(full: LocationEncoder) -> None:
    lat_lon = torch.cat((EDGES, _anywhere(500)))
    halved = copy.deepcopy(full)
    halved.compute_dtype = torch.bfloat16
    with torch.no_grad():
        exact, fast = full(lat_lon), halved(lat_lon)
    assert fast.dtype is torch.float32
    assert torch.cosine_similarity(exact, fast).min() > 0.999


def test_the_chosen_format_is_kept_and_weights_stay_float32() -> None:
    encoder = LocationEncoder(SMALL)
    assert encoder.choose_compute_dtype("bfloat16") is torch.bfloat16
    assert encoder.compute_dtype is torch.bfloat16
    assert encoder.choose_compute_dtype() in (torch.float32, torch.bfloat16)
    assert {p.dtype for p in encoder.state_dict().values()} == {torch.float32}
    with pytest.raises(ConfigError, match="GEOSEARCH_DTYPE"):
        encoder.choose_compute_dtype("int3")


def test_the_lattice_covers_the_globe_evenly() -> None:
    vectors = unit_vectors(fibonacci_lattice(500))
    nearest = (vectors @ vectors.T).fill_diagonal_(-1.0).amax(dim=1).acos()
    assert nearest.max() / nearest.min() < 1.5
    assert fibonacci_lattice(500).abs().amax(dim=0).le(torch.tensor([90.0, 180.0])).all()


def test_farthest_points_come_one_from_each_cluster() -> None:
    corners = torch.tensor([[0.0, 0.0], [0.0, 90.0], [80.0, 0.0], [-80.0, 0.0]])
    points = (corners[:, None] + torch.rand((10, 2), generator=torch.manual_seed(0))).flatten(0, 1)
    chosen = spread_out(unit_vectors(points), 4)  # points: (40, 2), ten a corner
    assert sorted((chosen // 10).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "wrong", [{"heads": 3}, {"attention_heads": 5}, {"neighbors": 61}, {"sigmas": ()}]
)
def test_numbers_that_do_not_fit_together_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **wrong)


def test_a_wrong_number_of_anchors_is_refused() -> None:
    with pytest.raises(ConfigError, match="59 anchors"):
        LocationEncoder(SMALL, anchors=_anywhere(59))
