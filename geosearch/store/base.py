"""The port of the vector store: points, hits, and what every store must do.

The adapters are `edge/` and `server/`; filters are in `filters.py`; choosing how to search is
in `planning.py`. Coordinates are flipped to lon, lat only behind this port.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Protocol, TypedDict, TypeVar, Unpack
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import StoreError
from geosearch.store.filters import Filter
from geosearch.store.payload import PointPayload

__all__ = [
    "Effort",
    "Hit",
    "Match",
    "PointPayload",
    "SearchMode",
    "VectorPoint",
    "VectorStore",
    "batched",
    "check_points",
    "check_vector",
    "ranked",
]


@dataclass(frozen=True, slots=True)
class VectorPoint:
    """One photo in the index; `vector` is (dim,) float32, finite, not zero."""

    id: UUID
    vector: NDArray[np.float32]
    payload: PointPayload


@dataclass(frozen=True, slots=True)
class Match:
    """A point found; `score` is a cosine, higher is nearer."""

    id: UUID
    score: float


@dataclass(frozen=True, slots=True)
class Hit(Match):
    """A point found, and what is known of it."""

    payload: PointPayload


MatchT = TypeVar("MatchT", bound=Match)


class SearchMode(StrEnum):
    """How a store searches: it compares with every match, or walks the graph.

    `EXACT` compares with the vectors of all matches, `SCAN` with their small copies and then with
    the vectors of the best; `ACORN` (only over matches and their neighbours) and `HNSW` walk.
    """

    EXACT = "exact"
    SCAN = "scan"
    ACORN = "acorn"
    HNSW = "hnsw"


class Effort(TypedDict, total=False):
    """How to search: left to itself a store walks, as far as its engine likes.

    `ef` is how many points a walk keeps in sight (`None`: the engine's own choice); more finds more
    and takes longer. Walks and scans compare small copies unless `on_copies` is False: copies hold
    only values such as stored vectors have, and a query with others is compared wrongly there. A
    store that cannot be sure to scan compares exactly instead.
    """

    mode: SearchMode
    ef: int | None
    on_copies: bool


class VectorStore(Protocol):
    """Vectors with a geo payload, searched by cosine under a filter.

    Every method raises `StoreError` when the engine refuses. A store belongs to one encoder
    identity and is opened only for that one (`IdentityMismatch` otherwise).
    """

    dim: int

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Write points, replacing those with the same id; rejected as a whole if one is bad."""

    def query(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Hit]:
        """Nearest points to `vector` (dim,) float32 by cosine, best first, ties by id."""

    def rank(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Match]:
        """As `query`, without the payloads."""

    def count(self, where: Filter | None = None) -> int:
        """How many points a filter matches, exactly."""

    def delete(self, ids: Collection[UUID]) -> None:
        """Remove points; unknown ids are ignored."""

    def set_payload(self, payloads: dict[UUID, PointPayload]) -> None:
        """Replace the payload of points without touching their vectors; unknown ids are ignored."""

    def existing(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of `ids` that the store holds."""

    def vectors(self, ids: Collection[UUID]) -> dict[UUID, NDArray[np.float32]]:
        """Stored vectors (dim,) float32, L2-normalised, of those of `ids` that the store holds."""

    def scroll(self, where: Filter | None = None, *, batch: int = 1000) -> Iterator[Hit]:
        """Every matching point once, in order of id, `score` 0."""

    def flush(self) -> None:
        """Return once everything written before survives a power cut."""

    def optimize(self) -> None:
        """Build what searches need to be fast; a no-op where the engine does so by itself."""

    def build_apart(self) -> None:
        """As `optimize`, but other threads of this process go on; nobody may use the store then."""

    def take_alias(self) -> None:
        """Be what the alias points to; nothing to do where the catalogue alone says so."""

    def close(self) -> None:
        """Flush and let go of files and connections; harmless when called twice."""


def check_points(points: Sequence[VectorPoint], dim: int) -> None:
    """Refuse what an engine would store in silence: wrong size, not finite, zero.

    Raises:
        StoreError: names the point and what is wrong with it.
    """
    for point in points:
        check_vector(point.vector, dim, f"point {point.id}")


def check_vector(vector: NDArray[np.float32], dim: int, name: str) -> None:
    """Refuse a vector that is not (dim,), not finite or zero.

    Raises:
        StoreError: names the vector and what is wrong with it.
    """
    if vector.shape != (dim,):
        raise StoreError(
            f"{name}: the vector has shape {vector.shape}, this collection takes ({dim},)"
        )
    norm = math.sqrt(float(vector @ vector))
    if not math.isfinite(norm) or norm == 0.0:
        raise StoreError(f"{name}: the vector must be finite and not zero, its length is {norm}")


def ranked(hits: Iterable[MatchT]) -> list[MatchT]:
    """Hits best first, ties by id, so that equal scores come in the same order every time."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.id))


def batched(ids: Iterable[UUID], size: int = 1000) -> Iterator[list[UUID]]:
    """Ids in lists of at most `size`, as one request to an engine takes them."""
    remaining = iter(ids)
    while some := list(islice(remaining, size)):
        yield some
