"""A small encoder for tests: colours on a grid, in microseconds, without torch or weights."""

from __future__ import annotations

import time
from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from geosearch import images
from geosearch.encoder.fusion import fuse
from geosearch.encoder.identity import EncoderIdentity

GRID = 4


class ColorGridEmbedder:
    """The methods of `Embedder`; alike pictures have alike colours in the same places.

    Args:
        version: another version is another identity.
        delay_s: how long encoding a batch takes, for tests that interrupt it.
    """

    device = "cpu"
    dtype = "float32"
    dim = 3 * (3 * GRID * GRID + 1)
    has_location_space = False
    has_alike_blocks = True

    def __init__(self, version: str = "1", *, delay_s: float = 0.0) -> None:
        self.identity = EncoderIdentity("color-grid", version, "none", f"grid-{GRID}")
        self._delay_s = delay_s

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """Bytes of an image file to (GRID, GRID, 3) uint8; raises UnreadableImage."""
        return np.asarray(images.open_rgb(data).resize((GRID, GRID)))

    def image_features(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """N of (GRID, GRID, 3) uint8 to features (n, dim / 3) float32."""
        colors = np.stack(pixels).reshape(len(pixels), -1)  # (n, GRID · GRID · 3)
        centred = colors.astype(np.float32) / 127.5 - 1.0
        # The constant keeps a picture of middle grey from being no vector at all.
        return np.concatenate([centred, np.full((len(pixels), 1), 0.1, np.float32)], axis=1)

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to how often each letter is in them, (n, 26) float32."""
        counts = [[text.lower().count(letter) for letter in ascii_lowercase] for text in texts]
        return np.array(counts, dtype=np.float32)

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """N of (GRID, GRID, 3) uint8 to fused vectors (n, dim) float32."""
        time.sleep(self._delay_s)
        features = self.image_features(pixels)
        return fuse(visual=features, text_aligned=features, location_aligned=features)

    def embed(self, data: bytes) -> NDArray[np.float32]:
        """Bytes of one image file to its fused vector (dim,) float32."""
        vector: NDArray[np.float32] = self.encode([self.prepare(data)])[0]
        return vector
