"""`geosearch worker` with the small encoder, for tests that kill it.

Arguments: a file that holds the encoder while it exists, how many photos it encodes before that,
and the seconds of a shift. A photo with `POISON` in it kills its process, one with `DEFECT` raises.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.settings import load_settings
from workers.worker import serve

LOAD_S = 4.5
"""How long the model of a second child takes to load: longer than Celery's own patience."""

POISON, DEFECT = b"poison to workers", b"a defect of the decoder"


class HeldEmbedder(ColorGridEmbedder):
    """Encodes so many photos and then waits while a file exists."""

    def __init__(self, hold: Path, before: int) -> None:
        super().__init__()
        self._hold = hold
        self._left = before

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        if POISON in data:
            os.kill(os.getpid(), signal.SIGKILL)
        if DEFECT in data:
            raise ZeroDivisionError("a defect")
        return super().prepare(data)

    def encode(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        while self._left <= 0 and self._hold.exists():
            time.sleep(0.01)
        self._left -= len(pixels)
        return super().encode(pixels)


def _end_with_the_test() -> None:
    """Kill the whole group once standard input ends, which is when whoever started it is gone."""
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def _loaded(hold: Path, before: int) -> HeldEmbedder:
    """A model; `slow` beside `hold` says that loading it takes long."""
    if hold.with_name("slow").exists():
        time.sleep(LOAD_S)
    return HeldEmbedder(hold, before)


def main() -> None:
    threading.Thread(target=_end_with_the_test, daemon=True).start()
    hold, before, shift_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    serve(
        load_settings(),
        load_embedder=lambda _: _loaded(hold, before),  # type: ignore[arg-type,return-value]
        shift_s=shift_s,
    )


if __name__ == "__main__":
    main()
