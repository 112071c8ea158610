from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.encoder.batching import ElasticEncoder, is_out_of_memory, measured_batch_size

Pixels = NDArray[np.uint8]


class SmallDevice:
    """Encodes a picture as its first number; has room for so many at once, and keeps time."""

    def __init__(self, room: int, *, call_s: float = 1.0, photo_s: float = 0.1) -> None:
        self.room = room
        self.sizes: list[int] = []
        self.now_s = 0.0
        self._call_s, self._photo_s = call_s, photo_s

    def prepare(self, data: bytes) -> Pixels:
        return np.frombuffer(data, np.uint8)

    def encode(self, pixels: Sequence[Pixels]) -> NDArray[np.float32]:
        if len(pixels) > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.sizes.append(len(pixels))
        self.now_s += self._call_s + self._photo_s * len(pixels)
        return np.array([[p[0]] for p in pixels], np.float32)


def test_out_of_memory_halves_the_batch_and_loses_no_photo() -> None:
    device = SmallDevice(room=5)
    encoder = ElasticEncoder(device, batch_size=32)
    pixels = [encoder.prepare(bytes([n])) for n in range(50)]
    assert encoder.encode(pixels)[:, 0].tolist() == list(range(50))
    assert (device.sizes, encoder.batch_size) == ([4] * 12 + [2], 4)
    device.sizes.clear()
    encoder.encode(pixels[:8])
    assert device.sizes == [4, 4], "the smaller batch is kept"


def test_one_photo_that_does_not_fit_is_an_error() -> None:
    encoder = ElasticEncoder(SmallDevice(room=0), batch_size=8)
    with pytest.raises(RuntimeError, match="out of memory"):
        encoder.encode([np.zeros(1, np.uint8)] * 8)


def test_other_errors_pass_at_once() -> None:
    class Broken(SmallDevice):
        def encode(self, pixels: Sequence[Pixels]) -> NDArray[np.float32]:
            raise RuntimeError("device-side assert triggered")

    encoder = ElasticEncoder(Broken(room=9), batch_size=8)
    with pytest.raises(RuntimeError, match="device-side"):
        encoder.encode([np.zeros(1, np.uint8)] * 4)
    assert encoder.batch_size == 8


@pytest.mark.parametrize(
    ("room", "call_s", "expected"),
    [
        (1000, 1.0, 256),  # each call costs much: the largest
        (1000, 0.0, 4),  # nothing is gained by more
        (20, 1.0, 16),  # the largest that fits
        (0, 1.0, None),
    ],
)
def test_the_batch_is_the_smallest_that_is_about_as_fast_as_the_fastest(
    room: int, call_s: float, expected: int | None
) -> None:
    device = SmallDevice(room, call_s=call_s)
    pixels = np.zeros(1, np.uint8)
    if expected is None:
        with pytest.raises(RuntimeError, match="out of memory"):
            measured_batch_size(device.encode, pixels, clock=lambda: device.now_s)
        return
    found = measured_batch_size(device.encode, pixels, budget_s=1000.0, clock=lambda: device.now_s)
    assert found == expected


def test_measuring_stops_when_its_time_is_over() -> None:
    device = SmallDevice(1000, call_s=1.0)
    measured_batch_size(
        device.encode, np.zeros(1, np.uint8), budget_s=8.0, clock=lambda: device.now_s
    )
    assert device.now_s <= 10.0
    assert max(device.sizes) < 256


def test_out_of_memory_is_told_by_kind_or_words() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("HIP out of memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
