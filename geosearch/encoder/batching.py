"""How many photos at once: measured when an encoder starts, halved when its memory runs out."""

from __future__ import annotations

import gc
import io
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

CANDIDATES = (4, 8, 16, 32, 64, 128, 256)
ENOUGH = 0.97
"""The smallest batch that reaches this part of the best rate is taken, to spare memory."""


class BatchEncoder(Protocol):
    """What is measured and guarded here, of `encoder.embedder.Embedder`."""

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """Bytes of an image file to pixels (size, size, 3)."""

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pixels of n photos to vectors (n, dim)."""


class ElasticEncoder:
    """An encoder that takes any number of photos and feeds its device what fits.

    Out of memory halves the batch, for this call and for those that follow; one photo alone that
    does not fit is an error. Everything else is the encoder's own.

    Args:
        encoder: used by one thread at a time.
        batch_size: photos at once to begin with.
    """

    def __init__(self, encoder: BatchEncoder, *, batch_size: int) -> None:
        self._encoder = encoder
        self.batch_size = batch_size

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """Bytes of an image file to pixels; raises UnreadableImage."""
        return self._encoder.prepare(data)

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Pixels of n photos to vectors (n, dim)."""
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(pixels):
            some = pixels[done : done + self.batch_size]
            try:
                parts.append(self._encoder.encode(some))
            except (RuntimeError, MemoryError) as error:
                if len(some) == 1 or not is_out_of_memory(error):
                    raise
                self.batch_size = len(some) // 2
                logger.warning(
                    "out of memory with %d photos at once; going on with %d",
                    len(some),
                    self.batch_size,
                )
            else:
                done += len(some)
                continue
            free_cached_memory()  # outside of `except`: the traceback keeps tensors alive
        return np.concatenate(parts)


def measured_batch_size(
    encode: Callable[[Sequence[NDArray[np.uint8]]], object],
    pixels: NDArray[np.uint8],
    *,
    candidates: Sequence[int] = CANDIDATES,
    budget_s: float = 10.0,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """The smallest batch size that is about as fast as the fastest.

    Larger ones are tried until memory or `budget_s` runs out, or until they are slower.

    Args:
        encode: encodes a batch.
        pixels: one prepared picture, repeated to fill a batch.
        candidates: sizes in increasing order.
        budget_s: seconds to spend in all, about.
        clock: seconds.
    """
    rates: dict[int, float] = {}
    begin = clock()
    encode([pixels])  # the first call pays for what is compiled and allocated
    for size in candidates:
        try:
            start = clock()
            encode([pixels] * size)
            seconds = max(clock() - start, 1e-9)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        rates[size] = size / seconds
        is_slower = rates[size] < 0.9 * max(rates.values())
        # The next size takes about twice as long as this one.
        if is_slower or clock() - begin + 2.0 * seconds > budget_s:
            break
    free_cached_memory()
    if not rates:
        return 1
    best = max(rates.values())
    chosen = next(size for size, rate in rates.items() if rate >= ENOUGH * best)
    logger.info("batch of %d: %.1f photos/s; tried %s", chosen, rates[chosen], sorted(rates))
    return chosen


def sample_pixels(encoder: BatchEncoder) -> NDArray[np.uint8]:
    """A picture of noise, prepared by the encoder, to measure with."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return encoder.prepare(file.getvalue())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had no memory left; torch says so in words."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()


def free_cached_memory() -> None:
    """Give back what torch keeps of the device's memory for later."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
