"""Small encoders that are not alike: a vector of one means nothing in the index of another."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.encoder.registry import Registry
from geosearch.services import Services
from geosearch.settings import Settings


class TurnedEmbedder(ColorGridEmbedder):
    """Colours on a grid, turned by a rotation of its own for each version.

    Args:
        version: another version is another identity.
        delay_s: how long encoding several photos takes; one, as of a query, takes no time.
    """

    def __init__(self, version: str, *, delay_s: float = 0.0) -> None:
        super().__init__(version)
        self._batch_s = delay_s
        width = self.dim // 3
        noise = np.random.default_rng(zlib.crc32(version.encode())).normal(size=(width, width))
        self._turn = np.linalg.qr(noise)[0].astype(np.float32)

    def image_features(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        turned: NDArray[np.float32] = super().image_features(pixels) @ self._turn
        return turned

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        if len(pixels) > 1:
            time.sleep(self._batch_s)
        return super().encode(pixels)


def choose(home: Path, heads: str | None) -> None:
    """What `geosearch encoders activate` leaves behind."""
    folder = Registry(home).folder
    folder.mkdir(parents=True, exist_ok=True)
    name = "null" if heads is None else f'"{heads}"'
    (folder / "active.json").write_text(f'{{"active": {name}}}')


def turned_services(settings: Settings, *, delay_s: float = 0.0) -> Services:
    """Services whose encoder is another one for each heads."""
    return Services(
        settings,
        load_embedder=lambda asked: TurnedEmbedder(asked.heads or "none", delay_s=delay_s),  # type: ignore[arg-type,return-value]
    )
