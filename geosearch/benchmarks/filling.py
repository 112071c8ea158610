"""An embedded store with vectors at places, its graph built: what benchmarks of searching ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.geo import Coordinate
from geosearch.store.base import PointPayload, VectorPoint
from geosearch.store.edge import EdgeStore
from geosearch.store.layout import STANDARD, VectorLayout


def filled_store(
    directory: Path,
    vectors: NDArray[np.float32],
    places: Sequence[Coordinate],
    layout: VectorLayout = STANDARD,
) -> EdgeStore:
    """Vectors (n, dim) at n places, row i under the id `UUID(int=i)`; closed by the caller."""
    store = EdgeStore(directory, dim=vectors.shape[1], identity="benchmark", layout=layout)
    for start in range(0, len(places), 1000):
        store.upsert(
            [
                VectorPoint(UUID(int=i), vectors[i], PointPayload(places[i]))
                for i in range(start, min(start + 1000, len(places)))
            ]
        )
    store.optimize()
    return store
