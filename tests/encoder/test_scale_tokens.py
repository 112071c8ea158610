from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.trainings import QUICK, make_features, tiny_model
from torch import Tensor

from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.scale_tokens import ScaleTokens
from geosearch.encoder.training import train
from geosearch.errors import ConfigError

SMALL = LocationConfig(
    frequencies=16, hidden=32, embed_dim=24, width=16, heads=2,
    anchors=60, neighbors=5, attention_width=16, attention_heads=2,
)  # fmt: skip
KNOWN = torch.tensor([[55.7, 13.2], [0.0, -180.0], [90.0, 0.0], [-33.9, 151.2], [55.7, 13.2]])
UNKNOWN = torch.tensor([[55.7, 13.2], [12.0, 77.0]])


def _count_rows(encoder: LocationEncoder) -> list[int]:
    """How many coordinates each call of the first scale MLP was given."""
    rows: list[int] = []
    encoder.capsules[0].register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    return rows


def test_frozen_scales_give_the_same_features_without_their_arithmetic() -> None:
    encoder = LocationEncoder(SMALL).train()
    before = encoder(KNOWN)
    encoder.freeze_scales(KNOWN)
    rows = _count_rows(encoder)
    torch.testing.assert_close(encoder(KNOWN), before, atol=1e-6, rtol=0)
    assert rows == []


def test_a_coordinate_that_was_not_remembered_is_computed() -> None:
    encoder = LocationEncoder(SMALL).eval()
    with torch.no_grad():
        before = encoder(UNKNOWN)
        encoder.freeze_scales(KNOWN)
        torch.testing.assert_close(encoder(UNKNOWN), before, atol=1e-6, rtol=0)


def test_minus_zero_is_the_same_coordinate_as_zero() -> None:
    tokens = ScaleTokens(torch.zeros(1, 2), lambda part: part[:, :, None], made_by=())
    assert tokens.find(torch.tensor([[-0.0, 0.0]])) is not None


def test_coordinates_are_found_in_any_order_with_their_own_tokens() -> None:
    tokens = ScaleTokens(KNOWN, lambda part: part[:, None], made_by=(), chunk=2)
    assert len(tokens) == 4
    order = torch.tensor([3, 1, 4, 0, 2])
    found = tokens.find(KNOWN[order])
    assert found is not None
    assert torch.equal(found[:, 0], KNOWN[order])


def test_remembered_tokens_are_made_anew_when_the_weights_changed() -> None:
    encoder = LocationEncoder(SMALL).eval()
    encoder.freeze_scales(KNOWN)
    other = LocationEncoder(replace(SMALL, seed=1)).eval()
    encoder.load_state_dict(other.state_dict())
    encoder.freeze_scales(KNOWN)
    with torch.no_grad():
        torch.testing.assert_close(encoder(KNOWN), other(KNOWN), atol=1e-6, rtol=0)


def test_copies_share_what_is_remembered() -> None:
    encoder = LocationEncoder(SMALL)
    encoder.freeze_scales(KNOWN)
    assert copy.deepcopy(encoder)._scale_tokens is encoder._scale_tokens


def test_encoders_with_the_same_scales_share_tokens_and_others_are_refused() -> None:
    first = LocationEncoder(SMALL)
    first.freeze_scales(KNOWN)
    second = LocationEncoder(replace(SMALL, neighbors=3))
    second.capsules.load_state_dict(first.capsules.state_dict())
    second.share_scales(first)
    rows = _count_rows(second)
    second(KNOWN)
    assert rows == []
    for stranger in (LocationEncoder(replace(SMALL, seed=1)), second):
        with pytest.raises(ConfigError, match="same frozen MLPs"):
            stranger.share_scales(LocationEncoder(SMALL))
    with pytest.raises(ConfigError, match="same frozen MLPs"):
        LocationEncoder(replace(SMALL, seed=1)).share_scales(first)


def _weights(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / "state.pt", weights_only=True)["model"]
    return state


def test_training_with_frozen_scales_moves_everything_but_them(tmp_path: Path) -> None:
    features = make_features()
    config = replace(QUICK, epochs=2, freeze_scales=True)
    result = train(features, config, output=tmp_path / "out", build=tiny_model)
    assert result.epochs[-1]["train_loss"] < result.epochs[0]["train_loss"]
    before, after = tiny_model(features).state_dict(), _weights(tmp_path / "out")
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in after if "capsules" in name} <= still
    assert "location.attention.key.weight" not in still


def test_frozen_scales_train_to_what_they_would_without_remembering(tmp_path: Path) -> None:
    features, config = make_features(), replace(QUICK, epochs=2, freeze_scales=True)
    remembered = train(features, config, output=tmp_path / "a", build=tiny_model)
    forgetful = pytest.MonkeyPatch()
    with forgetful.context() as patch:
        patch.setattr(ScaleTokens, "find", lambda self, lat_lon: None)
        computed = train(features, config, output=tmp_path / "b", build=tiny_model)
    losses = [[epoch["loss"] for epoch in result.epochs] for result in (remembered, computed)]
    assert np.allclose(losses[0], losses[1], rtol=1e-4)
