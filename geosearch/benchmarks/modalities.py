"""Whether one index serves pictures, words, coordinates and mixes: recall of each kind of query.

The index holds complete fused vectors; a query fills the blocks that it has and leaves the others
zero, which a graph built from complete vectors was not made for.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.benchmarks.filling import filled_store
from geosearch.benchmarks.shapes import clustered_vectors, perturbed, places_anywhere
from geosearch.encoder.fusion import BLOCKS, fuse
from geosearch.store import planning
from geosearch.store.edge import EdgeStore
from geosearch.store.layout import Quantization, VectorLayout

KINDS: dict[str, dict[str, float]] = {
    "image": {"visual": 1.0, "text_aligned": 1.0, "location_aligned": 1.0},
    "text": {"visual": 1.0, "text_aligned": 1.0},
    "gps": {"location_aligned": 1.0},
    "image and gps": {"visual": 1.0, "text_aligned": 1.0, "location_aligned": 2.0},
    "text and gps": {"visual": 1.0, "text_aligned": 1.0, "location_aligned": 1.0},
}
"""What each kind of query fills, and how much it counts."""

PHOTO = "image"
"""All its blocks are of one scene; in mixes each block is of another."""

LIMIT = 10

Say = Callable[[str], None]


def modality_recall(
    progress: Say | None = None,
    *,
    n: int = 50_000,
    block_dim: int = 256,
    queries: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Recall@10 and time of each kind of query against comparing with every vector in float32.

    Each block is clustered by itself: what looks alike need not be at one place. Queries are
    perturbed stored blocks, the same for each way of keeping the vectors.
    """
    say = progress or (lambda _: None)
    rng = np.random.default_rng(seed)
    blocks = {name: clustered_vectors(rng, n, block_dim)[0] for name in BLOCKS}
    vectors = fuse(**blocks)
    places = places_anywhere(rng, n)
    asked = {}
    for kind, filled in KINDS.items():
        scene = rng.integers(0, n, queries)
        asked[kind] = _fused(
            {
                name: weight
                * perturbed(
                    rng, blocks[name][scene if kind == PHOTO else rng.integers(0, n, queries)]
                )
                for name, weight in filled.items()
            }
        )
    truth = {
        kind: [set(np.argpartition(-(vectors @ q), LIMIT)[:LIMIT].tolist()) for q in asked[kind]]
        for kind in KINDS
    }
    rows = []
    for copies in Quantization:
        with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch:
            store = filled_store(Path(scratch) / "store", vectors, places, VectorLayout(copies))
            say(f"{copies}: {n:,} vectors written, graph built")
            for kind in KINDS:
                ef = planning.PHOTO_EF if kind == PHOTO else None
                recall, times_ms = _ask(store, asked[kind], truth[kind], ef)
                row = {
                    "copies": str(copies),
                    "query": kind,
                    "recall_at_10": recall,
                    "p50_ms": statistics.median(times_ms),
                    "p95_ms": float(np.quantile(times_ms, 0.95)),
                    "baseline": "every vector compared, float32",
                }
                rows.append(row)
                say(f"{kind}: recall {recall:.4f}, {row['p50_ms']:.1f} ms")
            store.close()
    return {"name": "modalities", "rows": rows}


def _fused(asked: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Queries (q, 3 dim) that fill the blocks that are asked for."""
    zero = np.zeros_like(next(iter(asked.values())))
    return np.concatenate([asked.get(name, zero) for name in BLOCKS], axis=1)


def _ask(
    store: EdgeStore, queries: NDArray[np.float32], truth: list[set[int]], ef: int | None
) -> tuple[float, list[float]]:
    found, times_ms = [], []
    for query, nearest in zip(queries, truth, strict=True):
        start = time.perf_counter()
        hits = planning.search(store, query, None, LIMIT, free_ef=ef).hits
        times_ms.append(1000.0 * (time.perf_counter() - start))
        found.append(len({hit.id.int for hit in hits} & nearest) / LIMIT)
    return float(np.mean(found)), times_ms
