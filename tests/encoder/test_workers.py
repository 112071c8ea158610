from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from geosearch.encoder.training import TrainingConfig
from geosearch.encoder.workers import Workers
from geosearch.errors import ConfigError

TESTS = Path(__file__).parent.parent
LIMIT_S = 300


def test_two_processes_train_one_model_and_one_of_them_writes(tmp_path: Path) -> None:
    """Real processes over gloo; torchrun finds a free port itself."""
    pytest.importorskip("accelerate")
    run = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(TESTS / "support" / "train_together.py"), str(tmp_path / "out"),
        ],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    losses = [line for line in run.stdout.splitlines() if line.startswith("loss ")]
    assert len(losses) == 2
    assert losses[0] == losses[1]  # the same weights in both
    [document] = (tmp_path / "out").glob("transgeoclip-*/checkpoint.json")
    assert json.loads(document.read_text())["training"]["processes"] == 2


def test_processes_that_accelerate_does_not_join_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise each would train alone and write over the other's files."""
    accelerate = pytest.importorskip("accelerate")
    alone = SimpleNamespace(num_processes=1, is_main_process=True, device=torch.device("cpu"))
    monkeypatch.setattr(accelerate, "Accelerator", lambda cpu: alone)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were started and accelerate joins 1"):
        Workers(distributed=True, device="cpu")


def test_one_process_takes_the_whole_batch() -> None:
    workers = Workers(distributed=TrainingConfig().distributed)
    assert workers.count == 1
    assert workers.is_main
