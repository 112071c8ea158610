from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from geosearch.encoder.backbone import ClipBackbone
from geosearch.encoder.embedder import load_embedder
from geosearch.errors import ConfigError, MissingWeights

ARCHITECTURE = "ViT-S-32-alt"
"""The smallest of open_clip's own architectures; tests give it random weights."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))


def test_a_local_checkpoint_gives_open_clips_own_features(checkpoint: Path) -> None:
    embedder = load_embedder(f"{ARCHITECTURE}/{checkpoint}", device="cpu", dtype="float32")
    model, _, preprocess = open_clip.create_model_and_transforms(
        ARCHITECTURE, pretrained=str(checkpoint)
    )
    model.eval()
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((400, 300), Image.Resampling.BICUBIC)
    with torch.inference_mode():
        reference = model.encode_image(preprocess(image)[None])[0].numpy()
    ours = embedder.image_features([embedder.preprocess(image)])[0]
    assert np.abs(ours - reference).max() < 1e-4
    backbone = ClipBackbone(f"{ARCHITECTURE}/{checkpoint}")
    with torch.inference_mode():
        words = model.encode_text(open_clip.get_tokenizer(ARCHITECTURE)(["a street"]))[0].numpy()
    assert np.abs(backbone.text_features(["a street"])[0] - words).max() < 1e-4


def test_the_identity_of_a_local_checkpoint_is_its_content(
    checkpoint: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed.pt"
    renamed.write_bytes(checkpoint.read_bytes())
    torch.manual_seed(1)
    other = tmp_path / "other.pt"
    torch.save(open_clip.create_model(ARCHITECTURE).state_dict(), other)
    weights = [ClipBackbone(f"{ARCHITECTURE}/{p}").weights for p in (checkpoint, renamed, other)]
    assert weights[0] == weights[1] != weights[2]


def test_the_activation_is_part_of_the_identity(checkpoint: Path) -> None:
    assert ClipBackbone(f"{ARCHITECTURE}/{checkpoint}").activation == "gelu"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ViT-L-14", "architecture/pretrained"),
        ("ViT-X-99/openai", "no architecture 'ViT-X-99'"),
        ("ViT-L-14/opnai", "no weights 'opnai'.*openai"),
    ],
)
def test_an_unknown_name_says_what_is_known(spec: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ClipBackbone(spec)


def test_a_missing_checkpoint_names_the_path_and_the_way_out() -> None:
    with pytest.raises(MissingWeights, match=r"/none/x\.pt.*GEOSEARCH_ENCODER=lite"):
        ClipBackbone("ViT-L-14//none/x.pt")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"not weights")
    with pytest.raises(MissingWeights, match=r"x\.pt.*GEOSEARCH_ENCODER=lite"):
        ClipBackbone(f"{ARCHITECTURE}/{tmp_path / 'x.pt'}")


@pytest.mark.usefixtures("offline")
def test_without_network_the_error_names_setting_offline_choice_and_place() -> None:
    with pytest.raises(MissingWeights, match=r"GEOSEARCH_ENCODER=ViT-L-14/openai.*hub.*lite"):
        ClipBackbone("ViT-L-14/openai")
