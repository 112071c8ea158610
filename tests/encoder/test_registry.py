from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from geosearch.encoder.checkpoints import config_of, tensors_hash
from geosearch.encoder.identity import EncoderIdentity
from geosearch.encoder.location import LocationConfig, LocationEncoder
from geosearch.encoder.model import ModelConfig, TransGeoClip
from geosearch.encoder.registry import (
    Checkpoint,
    Registry,
    backbone_identity,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    trained_checkpoint,
)
from geosearch.errors import ConfigError, InvalidInput

IDENTITY = EncoderIdentity("tiny", "1", "relu", "squash-bilinear-32")
ENCODER = str(IDENTITY)
LOCATION = LocationConfig(
    sigmas=(1.0, 4.0), frequencies=8, hidden=16, embed_dim=8, width=8, heads=2,
    anchors=32, neighbors=4, attention_width=8, attention_heads=2,
)  # fmt: skip


def _model(seed: int = 0) -> TransGeoClip:
    location = LocationEncoder(replace(LOCATION, seed=seed))
    return TransGeoClip(ModelConfig(16, 12, 16, location_dim=8, hidden=16, seed=seed), location)


def _save(parent: Path, seed: int = 0) -> Checkpoint:
    return save_checkpoint(
        _model(seed), parent, encoder=ENCODER, training={"seed": seed}, card="# {name}\n"
    )


def _edit(folder: Path, **changes: object) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_loaded_checkpoint_answers_as_the_saved_model_did(tmp_path: Path) -> None:
    model = _model().eval()
    folder = _save(tmp_path).folder
    loaded = load_checkpoint(folder, encoder=ENCODER)
    points = torch.tensor([[55.7, 13.2], [-90.0, 0.0], [0.0, 180.0]])
    with torch.no_grad():
        assert torch.equal(loaded.encode_locations(points), model.encode_locations(points))
        for ours, theirs in zip(
            loaded.encode_images(torch.ones(2, 16)),
            model.encode_images(torch.ones(2, 16)),
            strict=True,
        ):
            assert torch.equal(ours, theirs)


def test_the_name_is_the_hash_of_the_weights_and_the_card_has_it(tmp_path: Path) -> None:
    checkpoint = _save(tmp_path)
    assert checkpoint.name == f"transgeoclip-{checkpoint.document['sha256'][:12]}"
    card = (checkpoint.folder / "MODEL_CARD.md").read_text()
    assert card == f"# {checkpoint.name}\n"


def test_saving_the_same_weights_again_keeps_the_first_folder(tmp_path: Path) -> None:
    first = _save(tmp_path)
    assert _save(tmp_path).folder == first.folder
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_the_identity_tells_heads_and_location_encoder_apart(tmp_path: Path) -> None:
    one = _save(tmp_path)
    identity = one.identity
    assert backbone_identity(identity) == ENCODER
    assert identity.heads == one.heads != identity.location == one.location
    model = _model()
    with torch.no_grad():
        model.image_to_text.down.bias.add_(1.0)
    other = save_checkpoint(model, tmp_path, encoder=ENCODER, training={}, card="")
    assert other.location == one.location
    assert other.heads != one.heads
    assert other.identity.short != one.identity.short


def test_hashes_do_not_depend_on_the_order_of_names_but_on_shapes() -> None:
    a, b = torch.ones(2, 3), torch.zeros(4)
    assert tensors_hash({"a": a, "b": b}, {}) == tensors_hash({"b": b, "a": a}, {})
    assert tensors_hash({"a": a}, {}) != tensors_hash({"a": a.T}, {})
    assert tensors_hash({"a": a}, {}) != tensors_hash({"a": a}, {"k": 1})


def test_configs_come_back_from_json_as_they_were() -> None:
    from dataclasses import asdict

    assert config_of(LocationConfig, json.loads(json.dumps(asdict(LOCATION)))) == LOCATION


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path).folder
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidInput, match=r"weights\.safetensors is truncated"):
        load_checkpoint(folder)
    path.unlink()
    with pytest.raises(InvalidInput, match="it has 0 bytes"):
        read_checkpoint(folder)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path).folder
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InvalidInput, match="was changed: its sha256 begins with"):
        load_checkpoint(folder)


def test_a_checkpoint_of_another_backbone_is_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path).folder
    with pytest.raises(ConfigError, match="made by the encoder tiny"):
        load_checkpoint(folder, encoder="clip|1|gelu|none|none|none")


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path).folder
    document = json.loads((folder / "checkpoint.json").read_text())
    shapes = document["shapes"]
    _edit(folder, shapes=shapes | {"heads": shapes["heads"] | {"new_part": 3}})
    with pytest.raises(ConfigError, match="does not fit this version"):
        load_checkpoint(folder)
    _edit(folder, shapes=shapes | {"heads": shapes["heads"] | {"hidden": 17}})
    with pytest.raises(ConfigError, match="does not fit this version"):
        load_checkpoint(folder)
    _edit(folder, format=2)
    with pytest.raises(ConfigError, match="checkpoint of format 2"):
        read_checkpoint(folder)


def test_a_damaged_document_or_none_is_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path).folder
    (folder / "checkpoint.json").write_text('{"format": 1}')
    with pytest.raises(InvalidInput, match="damaged"):
        read_checkpoint(folder)
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        read_checkpoint(tmp_path / "nowhere")


def test_the_registry_lists_adds_activates_and_drops(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    assert registry.names() == []
    assert registry.active() is None
    assert not (tmp_path / "home").exists()
    one, two = _save(tmp_path / "out"), _save(tmp_path / "out", seed=1)
    for checkpoint in (one, two, one):
        registry.add(checkpoint.folder)
    assert registry.names() == sorted([one.name, two.name])
    registry.activate(one.name, encoder=ENCODER)
    active = registry.active()
    assert active is not None
    assert active.identity == one.identity
    with pytest.raises(ConfigError, match="is active"):
        registry.drop(one.name)
    assert registry.drop(two.document["sha256"][:6]) == two.name
    registry.activate(None)
    assert registry.active() is None
    assert registry.names() == [one.name]


def test_unknown_and_ambiguous_names_are_refused_with_those_there_are(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(ConfigError, match="`geosearch train` makes one"):
        registry.get("abc")
    one = _save(registry.folder)
    with pytest.raises(ConfigError, match=one.name):
        registry.get("zzz")
    shutil.copytree(one.folder, registry.folder / f"{one.name[:-1]}x")
    with pytest.raises(ConfigError, match="several encoders"):
        registry.get(one.name[13:20])


def test_a_damaged_checkpoint_is_neither_added_nor_activated(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home")
    good = registry.add(_save(tmp_path / "out").folder)
    registry.activate(good.name)
    bad = _save(tmp_path / "out", seed=1).folder
    (bad / "weights.safetensors").write_bytes(b"")
    with pytest.raises(InvalidInput, match="truncated"):
        registry.add(bad)
    assert registry.names() == [good.name]
    shutil.copytree(bad, registry.folder / bad.name)
    with pytest.raises(InvalidInput, match="truncated"):
        registry.activate(bad.name)
    with pytest.raises(ConfigError, match="made by the encoder"):
        registry.activate(good.name, encoder="other")
    assert registry.active_name() == good.name


def test_a_damaged_pointer_says_how_to_mend_it(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.activate(_save(registry.folder).name)
    (registry.folder / "active.json").write_text("{")
    with pytest.raises(InvalidInput, match="encoders activate NAME"):
        registry.active()


def test_an_unfinished_training_has_no_checkpoint_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`geosearch train --resume`"):
        trained_checkpoint(tmp_path)
    checkpoint = _save(tmp_path)
    (tmp_path / "latest.json").write_text(json.dumps({"checkpoint": checkpoint.name}))
    assert trained_checkpoint(tmp_path) == checkpoint.folder
    assert trained_checkpoint(checkpoint.folder) == checkpoint.folder
