"""What the stages of an ingest share: the engines, the encoder, sizes and limits, who watches.

Ports and values only; the stages are `arrivals`, `recording` and `indexing`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.catalogue.repository import Catalogue
from geosearch.geo import Coordinate
from geosearch.ingest.decisions import Outcome
from geosearch.ingest.reader import ReadLimits
from geosearch.records import Place
from geosearch.store.base import VectorStore

Pixels = NDArray[np.uint8]
PlaceLookup = Callable[[list[Coordinate]], list[Place | None]]


class PhotoEncoder(Protocol):
    """What the pipeline needs of `encoder.embedder.Embedder`."""

    def prepare(self, data: bytes) -> Pixels:
        """Bytes of an image file to pixels (size, size, 3); raises UnreadableImage."""

    def encode(self, pixels: list[Pixels]) -> NDArray[np.float32]:
        """Pixels of n photos to vectors (n, dim)."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Sizes and limits.

    `threads` read and decode, `batch_size` photos are encoded together, and the index confirms
    every `checkpoint_photos` (a sync to disk where it is embedded). With `resumes` a photo that an
    earlier call under the same run left unfinished is taken in again, as a worker must. Without
    `optimizes` the graph of the index is not brought up to date at the end of a run.
    """

    threads: int = 2
    batch_size: int = 32
    limits: ReadLimits = ReadLimits()
    checkpoint_photos: int = 2048
    resumes: bool = False
    optimizes: bool = True


def at_once() -> None:
    """Nothing is more urgent."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The engines of one pipeline; `identity` is the encoder's, as text.

    `give_way` is called by each thread before a piece of work of some milliseconds, and may block
    while there is something more urgent to do.
    """

    catalogue: Catalogue
    store: VectorStore
    encoder: PhotoEncoder
    identity: str
    places: PlaceLookup
    options: PipelineOptions
    give_way: Callable[[], None] = at_once


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a source, once that is durable; `reason` says why it failed."""

    uri: str
    outcome: Outcome
    reason: str | None = None


class Observer(Protocol):
    """Who watches an ingest; called from several threads, and must not raise."""

    def settled(self, sources: Sequence[Settled]) -> None:
        """These sources are done; nothing about them can be lost any more."""

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """A stage (read, record, decode, encode, upsert, mark) took so long for so many."""


class NoObserver:
    """Watches nothing."""

    def settled(self, sources: Sequence[Settled]) -> None:
        """Do nothing."""

    def timed(self, stage: str, seconds: float, photos: int) -> None:
        """Do nothing."""


@contextmanager
def timing(observer: Observer, stage: str, photos: int) -> Iterator[None]:
    """Tell the observer how long the block took."""
    start = time.perf_counter()
    yield
    observer.timed(stage, time.perf_counter() - start, photos)
