"""Which parameters learn how fast, and how the rate rises and falls."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

LOCATION = "location."
LOWEST = 0.01
"""The rate ends at this share of its peak, so that the last epochs still do something."""


def parameter_groups(
    model: nn.Module, *, rate: float, location_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer, each with its peak rate under `peak`.

    The location encoder has a rate of its own; vectors and scalars (biases, norms, temperatures)
    are not decayed.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith(LOCATION), parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": location_rate if is_location else rate,
            "peak": location_rate if is_location else rate,
            "weight_decay": weight_decay if is_matrix else 0.0,
        }
        for (is_location, is_matrix), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]


def learning_rate_factor(step: int, *, total: int, warmup: float) -> float:
    """The share of the peak rate at a step: a line up, then half a cosine down to `LOWEST`.

    Args:
        step: from 0.
        total: steps of the whole training.
        warmup: share of them on the way up.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return LOWEST + (1.0 - LOWEST) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
