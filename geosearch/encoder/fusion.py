"""The fused vector [visual ‖ text-aligned ‖ location-aligned]: one index for every query."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLOCKS = ("visual", "text_aligned", "location_aligned")


def normalize(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, d) scaled to unit length; a zero row stays zero."""
    norm = np.linalg.norm(features, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = (features / np.maximum(norm, 1e-12)).astype(np.float32)
    return scaled


def fuse(
    *,
    visual: NDArray[np.float32] | None = None,
    text_aligned: NDArray[np.float32] | None = None,
    location_aligned: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Join the blocks a photo or a query has; missing blocks are zero.

    Each block (n, d) is L2-normalised and divided by sqrt(3), so the dot product of two complete
    vectors is the mean of their three cosines.

    Returns:
        (n, 3 d) float32.

    Raises:
        ValueError: no block is given, or their shapes differ.

    Source: arXiv 2606.08918, the concatenated image index (2304-d for ViT-L/14).
    """
    given = {"visual": visual, "text_aligned": text_aligned, "location_aligned": location_aligned}
    shapes = {block.shape for block in given.values() if block is not None}
    if len(shapes) != 1:
        raise ValueError(f"the blocks of a fused vector must share one shape, given: {shapes}")
    shape = shapes.pop()
    blocks = [
        np.zeros(shape, np.float32) if given[name] is None else normalize(np.asarray(given[name]))
        for name in BLOCKS
    ]
    fused: NDArray[np.float32] = np.concatenate(blocks, axis=1) / np.float32(math.sqrt(3.0))
    return fused  # (n, 3 d)


def block_of(fused: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """One block (n, d) of fused vectors (n, 3 d), as stored: its length is at most 1/sqrt(3)."""
    dim = fused.shape[-1] // len(BLOCKS)
    start = BLOCKS.index(name) * dim
    return fused[..., start : start + dim]
