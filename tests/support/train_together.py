"""One process of a training with several; torchrun starts it in `encoder/test_workers.py`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from geosearch.encoder.training import train
from support.trainings import QUICK, make_features, tiny_model

if __name__ == "__main__":
    torch.set_num_threads(1)
    config = replace(QUICK, epochs=2, distributed=True)
    result = train(make_features(), config, output=Path(sys.argv[1]), build=tiny_model)
    sys.stdout.write(f"loss {result.epochs[-1]['loss']:.9f}\n")
