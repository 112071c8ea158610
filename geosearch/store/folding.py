"""Vectors of three alike blocks, kept as one: a third of the memory, the same scores.

An encoder without trained heads has nothing else to put into the text- and location-aligned blocks
than the image feature, so every photo's vector is one block three times.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Unpack
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import StoreError
from geosearch.store.base import (
    Effort,
    Hit,
    Match,
    PointPayload,
    VectorPoint,
    VectorStore,
    check_points,
    check_vector,
)
from geosearch.store.filters import Filter

BLOCKS = 3
ALIKE = 1e-4
"""Blocks that differ by more, relative to the vector's length, are not one block three times."""


def folds(stored_dim: int | None, dim: int, *, may_fold: bool) -> bool:
    """Whether a collection keeps one block of vectors of `dim` numbers.

    One that is there stays as it was made; a new one folds where its encoder lets it.

    Args:
        stored_dim: the length of the vectors that it holds, None for a new collection.
        dim: the length of the encoder's vectors.
        may_fold: whether that encoder gives nothing but alike blocks.
    """
    if stored_dim is None:
        return may_fold
    return may_fold and BLOCKS * stored_dim == dim


class FoldedStore:
    """A store of vectors (3 d,) with alike blocks over one of vectors (d,).

    Seen from outside it is a store like any other: queries may have any blocks, scores are the
    cosines of whole vectors. With photos ``x = [u, u, u] / sqrt(3)`` and a query ``q = [a, b, c]``,
    ``q · x = (a + b + c) · u / sqrt(3)``: exact, and a third of the numbers to compare.

    Args:
        inner: keeps the blocks.
    """

    def __init__(self, inner: VectorStore) -> None:
        self._inner = inner
        self.dim = BLOCKS * inner.dim

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Write points, replacing those with the same id; rejected as a whole if one is bad."""
        check_points(points, self.dim)
        self._inner.upsert([replace(point, vector=self._folded(point)) for point in points])

    def _folded(self, point: VectorPoint) -> NDArray[np.float32]:
        blocks = point.vector.reshape(BLOCKS, self._inner.dim)  # (3, d)
        apart = np.abs(blocks - blocks[0]).max()
        if apart > ALIKE * float(np.linalg.norm(point.vector)):
            raise StoreError(
                f"point {point.id}: this collection was made for an encoder without trained heads, "
                "whose three blocks are alike, and those of this vector differ; run geosearch "
                "reindex"
            )
        block: NDArray[np.float32] = blocks[0]
        return block

    def query(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Hit]:
        """Nearest points to `vector` (3 d,) float32 by cosine, best first, ties by id."""
        folded, scale = self._folded_query(vector)
        found = self._inner.query(folded, where, limit, **how)
        return [Hit(hit.id, scale * hit.score, hit.payload) for hit in found]

    def rank(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Match]:
        """As `query`, without the payloads."""
        folded, scale = self._folded_query(vector)
        found = self._inner.rank(folded, where, limit, **how)
        return [Match(hit.id, scale * hit.score) for hit in found]

    def _folded_query(self, vector: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """The query (d,) for the blocks, and what its scores are multiplied with."""
        check_vector(vector, self.dim, "query")
        folded = vector.reshape(BLOCKS, self._inner.dim).sum(axis=0)  # (d,)
        length = float(np.linalg.norm(folded))
        if length == 0.0:
            raise StoreError("query: its three blocks cancel each other out; it is like no photo")
        return folded, length / (math.sqrt(BLOCKS) * float(np.linalg.norm(vector)))

    def count(self, where: Filter | None = None) -> int:
        """How many points a filter matches, exactly."""
        return self._inner.count(where)

    def delete(self, ids: Collection[UUID]) -> None:
        """Remove points; unknown ids are ignored."""
        self._inner.delete(ids)

    def set_payload(self, payloads: dict[UUID, PointPayload]) -> None:
        """Replace the payload of points without touching their vectors; unknown ids are ignored."""
        self._inner.set_payload(payloads)

    def existing(self, ids: Collection[UUID]) -> set[UUID]:
        """Those of `ids` that the store holds."""
        return self._inner.existing(ids)

    def vectors(self, ids: Collection[UUID]) -> dict[UUID, NDArray[np.float32]]:
        """Vectors (3 d,) float32, L2-normalised, of those of `ids` that the store holds."""
        shrink = np.float32(1.0 / math.sqrt(BLOCKS))
        return {
            one: np.tile(block * shrink, BLOCKS) for one, block in self._inner.vectors(ids).items()
        }

    def scroll(self, where: Filter | None = None, *, batch: int = 1000) -> Iterator[Hit]:
        """Every matching point once, in order of id, `score` 0."""
        return self._inner.scroll(where, batch=batch)

    def flush(self) -> None:
        """Return once everything written before survives a power cut."""
        self._inner.flush()

    def optimize(self) -> None:
        """Build what searches need to be fast; a no-op where the engine does so by itself."""
        self._inner.optimize()

    def build_apart(self) -> None:
        """As `optimize`, but other threads of this process go on; nobody may use the store then."""
        self._inner.build_apart()

    def take_alias(self) -> None:
        """Be what the alias points to; nothing to do where the catalogue alone says so."""
        self._inner.take_alias()

    def close(self) -> None:
        """Flush and let go of files and connections; harmless when called twice."""
        self._inner.close()
