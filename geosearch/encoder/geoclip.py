"""What the wheel `geoclip` carries, read as files: its own modules would load transformers.

Trained weights (MIT) of the location encoder, the image MLP and the temperature, and the gallery.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geosearch.errors import MissingDependency

SOURCE = "geoclip-1.3"
"""Name of these weights in an encoder identity."""


def location_weights() -> dict[str, Tensor]:
    """State dict of GeoCLIP's location encoder: ``LocEnc0..2.capsule.*`` and ``.head.0.*``."""
    return _load("location_encoder_weights")


def image_mlp_weights() -> dict[str, Tensor]:
    """State dict of GeoCLIP's image MLP, 768 to 768 to 512, on CLIP ViT-L/14 by OpenAI."""
    return _load("image_encoder_mlp_weights")


def log_logit_scale() -> float:
    """Logarithm of GeoCLIP's temperature, learned together with its weights."""
    path = _folder() / "weights" / "logit_scale_weights.pth"
    return float(torch.load(path, map_location="cpu", weights_only=True))


def gallery() -> Tensor:
    """Coordinates (100000, 2) float32, (lat, lon) in degrees, of GeoCLIP's gallery."""
    path = _folder() / "gps_gallery" / "coordinates_100K.csv"
    return torch.from_numpy(np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32))


def _load(name: str) -> dict[str, Tensor]:
    path = _folder() / "weights" / f"{name}.pth"
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _folder() -> Path:
    """Where the wheel keeps its data; finding it does not import it.

    Raises:
        MissingDependency: the extra `geoclip` is not installed.
    """
    spec = importlib.util.find_spec("geoclip")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(place) / "model"
        if (folder / "weights").is_dir():
            return folder
    raise MissingDependency("geoclip", extra="geoclip", purpose="starting from GeoCLIP's weights")
