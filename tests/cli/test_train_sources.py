"""`geosearch train` from every source of photos, and what it says to inputs that cannot work."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.command_line import Run
from support.places import CITIES
from support.trainings import tiny_model

from geosearch.encoder import training
from geosearch.encoder.fakes import ColorGridEmbedder

pytestmark = pytest.mark.usefixtures("own_home")
DIM = ColorGridEmbedder.dim // 3


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    small = functools.partial(training.train, build=tiny_model)
    monkeypatch.setattr(training, "train", small)


@pytest.fixture
def manifest(folder: Path) -> Path:
    path = folder.parent / "labels.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "lat", "lon", "author", "license", "dataset"])
        for city, (lat, lon) in CITIES.items():
            for view in range(3):
                photo = folder / f"{city}-{view}.jpg"
                rows.writerow([photo, lat + 0.001 * view, lon, "Ada", "CC0", "cities"])
    return path


def _trained(outcome: tuple[int, str, str], output: Path) -> dict[str, Any]:
    """The document of a run that worked, and checkpoint.json of what it wrote."""
    code, out, err = outcome
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    [checkpoint] = output.glob("transgeoclip-*")
    assert document["checkpoint"] == str(checkpoint)
    training: dict[str, Any] = json.loads((checkpoint / "checkpoint.json").read_text())["training"]
    return training | {"left_out": document["left_out"]}


def test_photos_of_a_manifest_are_trained_on(run: Run, tmp_path: Path, manifest: Path) -> None:
    with manifest.open("a") as file:
        file.write(f"{tmp_path}/missing.jpg,1,2,Ada,CC0,cities\n")
    options = ("--manifest", manifest, "--epochs", 2, "--split-blocks", 1, "--seed", 3)
    outcome = run("train", *options, "--output", tmp_path / "out", "--json")
    found = _trained(outcome, tmp_path / "out")
    assert found["left_out"] == 1
    assert "missing.jpg" in outcome[2]
    assert found["data"]["photos"] == 12
    assert found["data"]["licenses"] == {"CC0": 12}
    assert found["split"] == {"train": 9, "validation": 3}
    assert found["config"]["seed"] == 3
    again = run("train", *options, "--output", tmp_path / "again", "--json")
    repeated = _trained(again, tmp_path / "again")
    assert repeated["metrics"] == found["metrics"]
    assert repeated["data"]["fingerprint"] == found["data"]["fingerprint"]


def test_photos_of_the_catalogue_are_trained_on_and_the_run_resumes(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    assert run("ingest", folder, "--dataset", "cities")[0] == 0
    options = ("train", "--dataset", "cities", "--epochs", 1, "--freeze-scales", "--json")
    found = _trained(run(*options, "--output", tmp_path / "out"), tmp_path / "out")
    assert found["data"]["datasets"] == {"cities": 12}
    assert found["data"]["countries"] == {"FJ": 3, "KE": 3, "SE": 3, "US": 3}
    assert found["config"]["freeze_scales"] is True
    code, _, err = run(*options, "--output", tmp_path / "out")
    assert code == 2
    assert "add --resume" in err
    assert run(*options, "--output", tmp_path / "out", "--resume")[0] == 0
    code, _, err = run("train", "--dataset", "nobody", "--output", tmp_path / "other")
    assert code == 2
    assert "no labelled photo to train on" in err
    assert not (tmp_path / "other").exists()


def _npz(folder: Path, **changes: Any) -> Path:
    """Features that can be trained on, but for the changes."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "image_features": rng.random((12, DIM)).astype(np.float16),
        "lat": np.repeat([10.0, 20.0, 30.0, 40.0], 3),
        "lon": np.repeat([10.0, 20.0, 30.0, 40.0], 3),
    }
    path = folder / "features.npz"
    np.savez(path, **columns | changes)
    return path


def _with_nan() -> Any:
    features = np.ones((12, DIM), np.float16)
    features[4, 2] = np.nan
    return features


BAD: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "another encoder": (
        {"encoder": np.array("clip|1|quickgelu|none|none|none")}, (), "made by the encoder clip"
    ),
    "latitude": ({"lat": np.full(12, 91.0)}, (), "lat of row 0 is 91"),
    "longitude": ({"lon": np.full(12, 181.0)}, (), "lon of row 0 is 181"),
    "no number": ({"lat": np.full(12, np.nan)}, (), "lat of row 0 is nan"),
    "one place": (
        {"lat": np.zeros(12), "lon": np.zeros(12)}, (), "of 1 places, and training needs 3 or more"
    ),
    "one block": ({}, ("--split-blocks", "90"), "1 blocks of 90°"),
    "no block": ({}, ("--split-blocks", "0"), "cells of 0 degrees; give"),
    "NaN": ({"image_features": _with_nan()}, (), "image_features of row 4 is not finite"),
    "no photo": (
        {"image_features": np.zeros((0, DIM), np.float16), "lat": [], "lon": []}, (), "no photo"
    ),
    "no CUDA": ({}, ("--device", "cuda:7"), "CUDA devices"),
    "no device": ({}, ("--device", "tpu"), "tpu"),
    "no such data set": ({}, ("--dataset", "nobody"), "no photo of the data set 'nobody'"),
    "learning rate": ({}, ("--learning-rate", "nan"), "learning_rate is nan"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_an_input_that_cannot_work_gets_one_sentence_and_writes_nothing(
    run: Run, tmp_path: Path, name: str
) -> None:
    changes, options, says = BAD[name]
    output = tmp_path / "out"
    source = _npz(tmp_path, **changes)
    code, out, err = run("train", "--features", source, *options, "--output", output, "--json")
    assert code == 2
    assert out == ""
    assert says in err
    assert len(err.strip().splitlines()) == 1
    assert not output.exists()


def test_features_that_are_no_npz_or_truncated_get_one_sentence(run: Run, tmp_path: Path) -> None:
    path = _npz(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    code, _, err = run("train", "--features", path, "--output", tmp_path / "out")
    assert code == 2
    assert "no NPZ file, or truncated" in err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_truncated_or_of_another_version_is_not_activated(
    run: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    options = ("--features", _npz(tmp_path), "--epochs", 1)
    assert run("train", *options, "--output", output)[0] == 0
    [checkpoint] = output.glob("transgeoclip-*")
    document = checkpoint / "checkpoint.json"
    whole = document.read_text()
    document.write_text(json.dumps(json.loads(whole) | {"format": 99}))
    code, _, err = run("encoders", "activate", output)
    assert code == 2
    assert "of format 99" in err
    document.write_text(whole)
    weights = checkpoint / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    code, _, err = run("encoders", "activate", output)
    assert code == 2
    assert "is truncated" in err
    assert len(err.strip().splitlines()) == 1
    assert not list((tmp_path / "home").glob("**/transgeoclip-*"))
