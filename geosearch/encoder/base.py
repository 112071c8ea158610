"""The port of a backbone: pictures and words to features, nothing about indexes or files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.preprocess import Preprocess

if TYPE_CHECKING:
    import torch


class Backbone(Protocol):
    """A frozen pair of image and text encoder.

    `name`, `weights` and `activation` enter the encoder identity; `may_be_halved` tells whether
    16-bit formats may be tried for speed, `has_joint_space` whether images and texts
    can be compared as they are.
    """

    name: str
    weights: str
    activation: str
    preprocess: Preprocess
    image_dim: int
    text_dim: int
    may_be_halved: bool
    has_joint_space: bool

    def image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) float32, scaled by `preprocess`, to (n, image_dim), not normalised."""

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to (n, text_dim) float32, not normalised."""

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the weights; inputs and outputs follow by themselves."""
