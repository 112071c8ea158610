"""Cached features as batches of tensors: one gather a step, no Python work for single photos."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geosearch.encoder.features import FeatureSet
from geosearch.errors import InvalidInput

_SAMPLE = 4096  # rows from which the spread of each dimension is estimated


class Batches:
    """The photos to train on, in an order that is a function of (seed, epoch).

    On a CUDA device the features are moved there once if they fill at most half of what is free;
    otherwise each batch is gathered from the memory-mapped files.

    Args:
        features: with text features.
        rows: (n,) numbers of the photos to train on.
        batch_size: at most so many a step; steps of an epoch differ by one photo at most.
        seed: another one gives another order.
        device: where batches go.

    Raises:
        InvalidInput: there are no text features.
    """

    def __init__(
        self,
        features: FeatureSet,
        rows: NDArray[np.intp],
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        if features.text_features is None:
            raise InvalidInput("the features have no text features; compute them with `with_text`")
        self._rows = torch.from_numpy(np.asarray(rows))
        self._seed, self._device = seed, device
        self.steps = math.ceil(len(rows) / batch_size)
        tensors = [
            torch.from_numpy(np.asarray(array))
            for array in (features.image_features, features.text_features, features.lat_lon)
        ]
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if sum(tensor.nbytes for tensor in tensors) <= free // 2:
                tensors = [tensor.to(device) for tensor in tensors]
        self._image, self._text, self._lat_lon = tensors
        sample = np.random.default_rng(seed).permutation(rows)[:_SAMPLE]
        spread = np.asarray(features.image_features[np.sort(sample)], dtype=np.float64).std(axis=0)
        self._spread = torch.from_numpy(spread.astype(np.float32)).to(device)  # (image_dim,)

    def epoch(self, number: int) -> tuple[Tensor, ...]:
        """The row numbers of each step's photos."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + number)
        order = self._rows[torch.randperm(len(self._rows), generator=generator)]
        return order.tensor_split(self.steps)

    def gather(
        self, index: Tensor, *, noise: float = 0.0, dropout: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Image features (b, image_dim), text features (b, text_dim) and coordinates (b, 2).

        All float32 on the device; noise and dropout change image features only and are drawn from
        torch's global generator.

        Args:
            index: (b,) row numbers, on the CPU.
            noise: deviation of the noise, in deviations of each dimension.
            dropout: share of the dimensions set to zero, the others scaled up.
        """
        index = index.to(self._image.device)
        image, text, lat_lon = (
            tensor[index].to(self._device, torch.float32)
            for tensor in (self._image, self._text, self._lat_lon)
        )
        if noise > 0.0:
            image = image + noise * self._spread * torch.randn_like(image)
        if dropout > 0.0:
            image = torch.nn.functional.dropout(image, dropout)
        return image, text, lat_lon
