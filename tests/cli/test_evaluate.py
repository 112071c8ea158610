from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_line import Run


def _features(tmp_path: Path, **changes: Any) -> Path:
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "image_features": generator.normal(size=(60, 8)).astype(np.float32),
        "lat": np.repeat(np.linspace(-60, 60, 20), 3),
        "lon": np.repeat(np.linspace(-170, 170, 20), 3),
        "place": np.repeat([f"p{n}" for n in range(20)], 3),
        "dataset": np.array(["streets"] * 60),
    }
    arrays |= changes
    np.savez(tmp_path / "f.npz", **arrays)
    return tmp_path / "f.npz"


def test_features_are_evaluated_and_written_in_four_files(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'evaluation' is not installed")
    code, out, err = run(
        "evaluate", "features", "--features", _features(tmp_path), "--dataset", "streets",
        "--split-blocks", "1", "--folds", "4", "--resamples", "50", "--json",
        "--output", tmp_path / "report",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    assert (document["asked"], document["groups"], document["grouping"]) == (60, 20, "place")
    assert document["conditions"]["split"] == "4 folds of whole cells of 1 degrees"
    assert [one["method"] for one in document["methods"]][:4] == [
        "constant answer", "gallery prior", "population prior", "nearest photo"
    ]  # fmt: skip
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.json", "report.md", "errors.png", "map.html"
    }  # fmt: skip
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [len(one.pop("answers")) for one in written["methods"]] == [60] * 7
    assert written == document


@pytest.mark.parametrize(
    ("columns", "named"),
    [({"encoder": "lite|1|none"}, "lite|1|none"), ({}, "not named by the features")],
)
def test_a_report_names_the_encoder_that_made_the_features(
    run: Run, tmp_path: Path, columns: dict[str, str], named: str
) -> None:
    features = _features(tmp_path, **columns)
    code, out, err = run(
        "evaluate", "features", "--features", features, "--resamples", "5", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["conditions"]["encoder"] == named


def test_a_report_that_cannot_be_written_leaves_no_half_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    output = tmp_path / "report"
    code, _, err = run(
        "evaluate", "features", "--features", _features(tmp_path), "--resamples", "5",
        "--output", output,
    )  # fmt: skip
    assert code == 1
    assert "no room" in err
    assert not output.exists()


def test_the_same_seed_gives_the_same_report(run: Run, tmp_path: Path) -> None:
    command = ("evaluate", "features", "--features", _features(tmp_path), "--resamples", "20",
               "--json", "--seed")  # fmt: skip
    first, again, other = run(*command, 1), run(*command, 1), run(*command, 2)
    assert first == again
    assert first[1] != other[1]


def test_fused_views_and_a_limit_are_noted(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "evaluate", "features", "--features", _features(tmp_path), "--fuse-views", "--limit", "10"
    )
    assert code == 0
    assert "# f: 10 photos" in out
    assert "only 10 of 20 photos were asked" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"place": np.array(["one"] * 60)}, "there are 1 groups of photos (by place) for 5 folds"),
        ({"image_features": np.full((60, 8), np.nan)}, "row 0 "),
        ({"lat": np.full(60, 95.0)}, "lat of row 0 is 95;"),
        ({"encoder": np.array(["lite"] * 60)}, "encoder has 60 values; one made all features"),
    ],
)
def test_bad_features_are_one_sentence_and_exit_code_2(
    run: Run, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    output = tmp_path / "report"
    source = _features(tmp_path, **changes)
    code, out, err = run("evaluate", "features", "--features", source, "--output", output)
    assert (code, out) == (2, "")
    assert not output.exists()
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["features"], "add --features FILE.npz"),
        (["im2gps3k", "--images", "x"], "add --labels FILE"),
        (["yfcc4k", "--labels", "x"], "add --images DIR"),
        (["features", "--features", "x.npz", "--images", "y"], "--images has no meaning"),
        (["manifest", "--labels", "x", "--split-blocks", "1"], "compared with the catalogue"),
        (["features", "--features", "none.npz"], "no such file of features"),
        (["gws15k"], "is not one of"),
    ],
)
def test_options_that_do_not_go_together_are_exit_code_2(
    run: Run, arguments: list[str], message: str
) -> None:
    code, out, err = run("evaluate", *arguments)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.usefixtures("own_home")
def test_a_benchmark_is_asked_of_the_catalogue_with_and_without_the_photographer(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    assert run("ingest", folder)[0] == 0
    rows = ["IMG_ID,AUTHOR,LAT,LON", "lund-0.jpg,ann@N00,55.705,13.193",
            "suva-0.jpg,bob@N00,-18.141,178.442", "gone.jpg,cy@N00,1,2"]  # fmt: skip
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    code, out, err = run(
        "evaluate", "im2gps", "--images", folder, "--labels", tmp_path / "labels.csv", "--json"
    )
    assert code == 1, err  # one image is missing
    document = json.loads(out)
    assert (document["asked"], document["missing"]) == (2, 1)
    assert document["grouping"] == "photographer"
    galleries = {one["gallery"] for one in document["methods"]}
    assert galleries == {"as published", "photographer filtered"}
    nearest = next(one for one in document["methods"] if one["method"] == "nearest photo")
    assert nearest["within_percent"]["25"]["value"] == 100.0


@pytest.mark.usefixtures("own_home")
def test_an_empty_catalogue_is_exit_code_2_and_says_what_to_do(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_text("path,lat,lon\nphotos/lund-0.jpg,1,2\nphotos/suva-0.jpg,3,4\n")
    code, _, err = run("evaluate", "manifest", "--labels", tmp_path / "m.csv")
    assert code == 2
    assert "take some in by `geosearch ingest`" in err


def test_the_shared_features_reach_what_is_known_of_them(run: Run, shared: Path) -> None:
    path = shared / "features" / "photos_lite0.npz"
    if not path.is_file():
        pytest.skip("the features (../shared/features) are not beside this checkout")
    code, out, err = run(
        "evaluate", "features", "--features", path, "--dataset", "streets", "--split-blocks", "1",
        "--fuse-views", "--limit", "300", "--resamples", "100", "--json",
    )  # fmt: skip
    assert code == 0, err
    nearest = next(m for m in json.loads(out)["methods"] if m["method"] == "nearest photo")
    at_2500 = nearest["within_percent"]["2500"]
    assert at_2500["low"] < 37.3 < at_2500["high"] + 5  # ../shared/README.md, one fold
