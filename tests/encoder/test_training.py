from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.trainings import DIM, ENCODER, QUICK, make_features, tiny_model

from geosearch.encoder.drafts import drafted_file
from geosearch.encoder.features import FeatureSet
from geosearch.encoder.optimization import learning_rate_factor, parameter_groups
from geosearch.encoder.registry import load_checkpoint
from geosearch.encoder.training import TrainingConfig, TrainingResult, TrainingStatus, train
from geosearch.errors import ConfigError, InvalidInput


def _train(
    output: Path,
    config: TrainingConfig = QUICK,
    *,
    features: FeatureSet | None = None,
    resume: bool = False,
    progress: Callable[[TrainingStatus], None] | None = None,
) -> TrainingResult:
    return train(
        make_features() if features is None else features,
        config,
        output=output,
        resume=resume,
        progress=progress,
        build=tiny_model,
    )


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads only get into each other's way in models this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class _Stop(Exception):
    pass


def _stop_in_epoch(number: int) -> Callable[[TrainingStatus], None]:
    def stop(status: TrainingStatus) -> None:
        if status.epoch == number:
            raise _Stop

    return stop


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return _train(tmp_path_factory.mktemp("training") / "out")


def test_training_learns_and_keeps_the_best_epoch(uninterrupted: TrainingResult) -> None:
    losses = [epoch["train_loss"] for epoch in uninterrupted.epochs]
    assert losses[-1] < losses[0]
    best = max(uninterrupted.epochs, key=lambda epoch: epoch["geo_score"])
    assert uninterrupted.metrics["geo_score"] == best["geo_score"]
    assert uninterrupted.epochs[uninterrupted.best_epoch - 1] == best


@pytest.mark.parametrize("stopped_in", [1, 2, 4])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one_to_the_bit(
    tmp_path: Path, uninterrupted: TrainingResult, stopped_in: int
) -> None:
    with pytest.raises(_Stop):
        _train(tmp_path / "out", progress=_stop_in_epoch(stopped_in))
    torch.rand(17)  # what others draw in between does not matter
    resumed = _train(tmp_path / "out", resume=True)
    assert resumed.checkpoint.document["sha256"] == uninterrupted.checkpoint.document["sha256"]
    ours = torch.load(resumed.checkpoint.folder.parent / "state.pt", weights_only=True)
    theirs = torch.load(uninterrupted.checkpoint.folder.parent / "state.pt", weights_only=True)
    for name, tensor in theirs["model"].items():
        assert torch.equal(ours["model"][name], tensor), name
    assert len(resumed.epochs) == QUICK.epochs


def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    tmp_path: Path, uninterrupted: TrainingResult
) -> None:
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import torch; torch.set_num_threads(int(sys.argv[2]))\n"
        "from pathlib import Path\n"
        "import test_training as t\n"
        "def slow(status):\n"
        "    print(status.epoch, flush=True); time.sleep(0.05)\n"
        "t._train(Path(sys.argv[1]), progress=slow)\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(out), str(torch.get_num_threads())],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if line.strip() == "3":
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    resumed = _train(out, resume=True)
    assert resumed.checkpoint.document["sha256"] == uninterrupted.checkpoint.document["sha256"]


def test_a_finished_training_can_be_resumed_and_changes_nothing(
    tmp_path: Path, uninterrupted: TrainingResult
) -> None:
    first = _train(tmp_path / "out")
    again = _train(tmp_path / "out", resume=True)
    assert again.checkpoint.folder == first.checkpoint.folder
    assert again.epochs == first.epochs


def test_another_seed_gives_other_weights(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    other = _train(tmp_path / "out", replace(QUICK, seed=1))
    assert other.checkpoint.name != uninterrupted.checkpoint.name


def test_training_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    _train(tmp_path / "out", replace(QUICK, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    _train(tmp_path / "out", replace(QUICK, epochs=1))
    with pytest.raises(ConfigError, match="holds a training already; add --resume"):
        _train(tmp_path / "out")


def test_resuming_with_other_options_or_other_data_is_refused(tmp_path: Path) -> None:
    _train(tmp_path / "out", replace(QUICK, epochs=1))
    with pytest.raises(ConfigError, match="was made with epochs 1, and now it is 4"):
        _train(tmp_path / "out", resume=True)
    with pytest.raises(ConfigError, match="belongs to other data"):
        _train(
            tmp_path / "out",
            replace(QUICK, epochs=1),
            features=make_features(seed=1),
            resume=True,
        )


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(_Stop):
        _train(tmp_path / "out", progress=_stop_in_epoch(3))
    state = tmp_path / "out" / "state.pt"
    state.write_bytes(state.read_bytes()[:-1000])
    with pytest.raises(InvalidInput, match=r"state\.pt is missing or damaged"):
        _train(tmp_path / "out", resume=True)


def test_it_stops_when_nothing_gets_better(tmp_path: Path) -> None:
    config = replace(
        QUICK, epochs=30, patience=2, learning_rate=1e-12, location_learning_rate=1e-12
    )
    result = _train(tmp_path / "out", replace(config, monitor="within_750_km"))
    assert result.stopped_early
    assert len(result.epochs) == result.best_epoch + 2


def test_a_loss_that_is_no_number_stops_before_anything_is_written(tmp_path: Path) -> None:
    features = make_features()
    broken = replace(features, image_features=np.full((72, DIM), 3e38, np.float32))
    with pytest.raises(InvalidInput, match="no number any more in epoch 1"):
        _train(tmp_path / "out", features=broken)
    assert not (tmp_path / "out").exists()


def test_one_place_and_two_places_are_too_few(tmp_path: Path) -> None:
    for places in (1, 2):
        with pytest.raises(ConfigError, match="training needs 3 or more"):
            _train(tmp_path / "out", features=make_features(places=places))
    assert not (tmp_path / "out").exists()


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 blocks of 90°"):
        _train(
            Path("nowhere"),
            replace(QUICK, blocks_deg=90.0),
            features=replace(make_features(), lat=np.full(72, 1.0), lon=np.full(72, 2.0)),
        )


def test_features_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no text features"):
        _train(tmp_path / "out", features=replace(make_features(), text_features=None))


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens without CUDA")
def test_cuda_asked_for_and_absent_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="offers 0 CUDA devices"):
        _train(tmp_path / "out", replace(QUICK, device="cuda"))
    assert not (tmp_path / "out").exists()


def test_several_gpus_without_accelerate_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ConfigError, match=r"geosearch\[train\]"):
        _train(tmp_path / "out", replace(QUICK, distributed=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("patience", 0),
        ("learning_rate", float("nan")),
        ("location_learning_rate", -1.0),
        ("weight_decay", -0.1),
        ("feature_dropout", 1.0),
        ("warmup", -0.1),
    ],
)
def test_numbers_that_cannot_work_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        replace(QUICK, **{name: value})


def test_a_write_that_fails_leaves_the_state_of_the_epoch_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: TrainingResult
) -> None:
    saves = 0
    real = torch.save

    def full(state: object, path: Path) -> None:
        nonlocal saves
        saves += "state.pt" in str(path)
        if saves == 3:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        real(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no room is left"):
        _train(tmp_path / "out")
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    resumed = _train(tmp_path / "out", resume=True)
    assert resumed.checkpoint.document["sha256"] == uninterrupted.checkpoint.document["sha256"]


def test_a_draft_replaces_the_file_or_leaves_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fail() -> None:
        with drafted_file(target) as draft:
            draft.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_checkpoint_says_what_it_was_made_of(uninterrupted: TrainingResult) -> None:
    training = uninterrupted.checkpoint.document["training"]
    assert training["data"]["fingerprint"] == make_features().fingerprint()
    assert training["data"]["licenses"] == {"CC0": 70, "not given": 2}
    assert training["config"]["seed"] == 0
    assert training["split"] == {"train": 60, "validation": 12}
    assert len(training["epochs"]) == 4
    assert training["versions"]["torch"] in torch.__version__
    card = (uninterrupted.checkpoint.folder / "MODEL_CARD.md").read_text()
    assert card.startswith(f"# {uninterrupted.checkpoint.name}")
    for words in (
        "## Data", "## Licences", "## Metrics", "## Limits", "## Intended use",
        "The licence of 2 photos is not given", "held-out places", ENCODER,
    ):  # fmt: skip
        assert words in card


def test_the_checkpoint_gives_the_model_of_the_best_epoch(uninterrupted: TrainingResult) -> None:
    model = load_checkpoint(uninterrupted.checkpoint.folder, encoder=ENCODER)
    best = uninterrupted.checkpoint.folder.parent / f"best-{uninterrupted.best_epoch:04d}.pt"
    weights = torch.load(best, weights_only=True)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_progress_tells_the_loss_and_each_epochs_metrics(tmp_path: Path) -> None:
    told: list[TrainingStatus] = []
    _train(tmp_path / "out", replace(QUICK, epochs=2), progress=told.append)
    ends = [status for status in told if status.metrics is not None]
    assert [status.epoch for status in ends] == [1, 2]
    assert all(np.isfinite(status.loss) and status.samples_per_second > 0 for status in told)


def test_bfloat16_trains_too(tmp_path: Path) -> None:
    result = _train(tmp_path / "out", replace(QUICK, epochs=1, bf16=True))
    assert np.isfinite(result.metrics["loss"])


def test_the_rate_rises_then_falls() -> None:
    rates = [learning_rate_factor(step, total=100, warmup=0.1) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_every_parameter_is_in_one_group_and_vectors_do_not_decay() -> None:
    model = tiny_model(make_features())
    groups = parameter_groups(model, rate=1.0, location_rate=0.5, weight_decay=0.1)
    parameters = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(parameters) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    for group in groups:
        assert (group["weight_decay"] > 0.0) == all(p.ndim >= 2 for p in group["params"])
    in_location = {id(p) for p in model.location.parameters()}
    for group in groups:
        assert all((id(p) in in_location) == (group["peak"] == 0.5) for p in group["params"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("bf16", [False, True])
def test_training_runs_on_cuda(tmp_path: Path, bf16: bool) -> None:
    result = _train(tmp_path / "out", replace(QUICK, device="cuda", bf16=bf16))
    assert np.isfinite(result.metrics["loss"])
    assert result.epochs[-1]["train_loss"] < result.epochs[0]["train_loss"]
    with pytest.raises(_Stop):
        _train(
            tmp_path / "again",
            replace(QUICK, device="cuda", bf16=bf16),
            progress=_stop_in_epoch(2),
        )
    resumed = _train(tmp_path / "again", replace(QUICK, device="cuda", bf16=bf16), resume=True)
    assert resumed.epochs[-1]["loss"] == pytest.approx(result.epochs[-1]["loss"], rel=0.05)
