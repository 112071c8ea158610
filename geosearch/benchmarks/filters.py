"""What filters cost: hits lost by searching under one, points lost or added by the filter itself.

Truth is computed in numpy and shapely without the store; the baseline of recall is the query that
one would write first, a plain filtered walk with the engine's own settings.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.areas import Area, Circle
from geosearch.benchmarks.filling import filled_store
from geosearch.benchmarks.shapes import (
    CORNERS,
    KINDS,
    Kind,
    area_around,
    awkward_area,
    clustered_vectors,
    perturbed,
    places_anywhere,
    places_by_cluster,
)
from geosearch.geo import Coordinate
from geosearch.store import planning
from geosearch.store.base import Hit
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import And, Filter, Within

Say = Callable[[str], None]

RADII_KM = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
SIZES: tuple[tuple[Kind, float], ...] = (
    *(("circle", radius_km) for radius_km in RADII_KM),
    *((kind, radius_km) for kind in ("box", "polygon") for radius_km in (300.0, 1000.0, 3000.0)),
)
LIMIT = 10
READING_S = 300.0
"""How long to wait for the store to read all coordinates; figures are of its slower way then."""


@dataclass(frozen=True, slots=True)
class _Collection:
    """A filled store beside what is in it: vectors (n, dim), lat (n,), lon (n,)."""

    store: EdgeStore
    vectors: NDArray[np.float32]
    places: Sequence[Coordinate]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]


def filter_recall(
    progress: Say | None = None,
    *,
    n: int = 50_000,
    dim: int = 768,
    seed: int = 0,
    queries: int = 100,
) -> dict[str, Any]:
    """Recall@10 and latency of planned searches under areas of many sizes, beside a plain walk.

    Vectors are clustered; places are drawn once without regard to the cluster and once round its
    home. Areas lie round stored points, queries are perturbed stored vectors. Latency counts the
    matches and searches.
    """
    say = progress or _silent
    rows: list[dict[str, Any]] = []
    for correlated in (False, True):
        rng = np.random.default_rng(seed)
        vectors, clusters = clustered_vectors(rng, n, dim)
        places = places_by_cluster(rng, clusters) if correlated else places_anywhere(rng, n)
        with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch:
            say(f"indexing {n:,} x {dim}, places {'by cluster' if correlated else 'anywhere'}")
            collection = _fill(Path(scratch) / "store", vectors, places)
            _count_in_memory(collection)
            for kind, radius_km in (*SIZES, (None, None)):
                row = {
                    "places": "correlated" if correlated else "independent",
                    "area": kind or "none",
                    "radius_km": radius_km,
                    **_recall_row(rng, collection, kind, radius_km, queries),
                }
                rows.append(row)
                say(
                    f"{row['area']} {radius_km or ''}: recall {row['recall_at_10']:.3f} "
                    f"({row['baseline']['recall_at_10']:.3f} plain), p95 {row['p95_ms']:.1f} ms"
                )
            collection.store.close()
    summary = {
        "n": n,
        "dim": dim,
        "seed": seed,
        "queries_per_row": queries,
        "recall_at_10_min": min(row["recall_at_10"] for row in rows),
        "p95_ms_max": max(row["p95_ms"] for row in rows),
        "hits_short": sum(row["hits_short"] for row in rows),
        "missed": sum(row["missed"] for row in rows),
        "extra": sum(row["extra"] for row in rows),
        "baseline": {
            "recall_at_10_min": min(row["baseline"]["recall_at_10"] for row in rows),
            "hits_short": sum(row["baseline"]["hits_short"] for row in rows),
        },
    }
    return {"name": "filter-recall", "rows": rows, "summary": summary}


def filter_correctness(
    progress: Say | None = None, *, areas: int = 2000, seed: int = 0, n: int = 4000
) -> dict[str, Any]:
    """Points that areas lose or add in the store, against the definition of each area.

    Half of the areas lie on a grid with the poles, ±180 and (0, 0), where points lie too; polygons
    have holes. Latency is that of counting.
    """
    say = progress or _silent
    rng = np.random.default_rng(seed)
    places = [*places_anywhere(rng, n), *CORNERS]
    vectors = rng.normal(size=(len(places), 8)).astype(np.float32)
    rows = []
    with tempfile.TemporaryDirectory(prefix="geosearch-bench-") as scratch:
        collection = _fill(Path(scratch) / "store", vectors, places)
        cases = [(kind, on_grid) for kind in KINDS for on_grid in (False, True)]
        shares = [len(part) for part in np.array_split(np.arange(areas), len(cases))]
        for (kind, on_grid), share in zip(cases, shares, strict=True):
            drawn = [awkward_area(rng, kind, on_grid=on_grid) for _ in range(share)]
            row = {
                "area": kind,
                "touching": "poles and 180" if on_grid else "anything",
                "areas": share,
                **_correctness_row(collection, drawn),
            }
            rows.append(row)
            say(f"{share} x {kind}, {row['touching']}: {row['missed']} lost, {row['extra']} extra")
        collection.store.close()
    summary = {
        "areas": areas,
        "points": len(places),
        "seed": seed,
        "matched": sum(row["matched"] for row in rows),
        "missed": sum(row["missed"] for row in rows),
        "extra": sum(row["extra"] for row in rows),
        "areas_wrong": sum(row["areas_wrong"] for row in rows),
    }
    return {"name": "filter-correctness", "rows": rows, "summary": summary}


def _fill(
    directory: Path, vectors: NDArray[np.float32], places: Sequence[Coordinate]
) -> _Collection:
    store = filled_store(directory, vectors, places)
    lat = np.array([place.lat for place in places])
    lon = np.array([place.lon for place in places])
    return _Collection(store, vectors, places, lat, lon)


def _count_in_memory(collection: _Collection) -> None:
    """Ask for circles until the store counts them in memory, as one that serves searches does."""
    circle = Within(Circle(collection.places[0], 100.0))
    deadline = time.monotonic() + READING_S
    while not collection.store.counts_in_memory and time.monotonic() < deadline:
        collection.store.count(circle)
        time.sleep(0.01)


def _recall_row(
    rng: np.random.Generator,
    collection: _Collection,
    kind: Kind | None,
    radius_km: float | None,
    queries: int,
) -> dict[str, Any]:
    """One row: the planned search and the plain walk under the same areas and queries."""
    store, n = collection.store, len(collection.places)
    vectors = perturbed(rng, collection.vectors[rng.integers(0, n, queries)])
    filters: list[Within | None] = [None] * queries
    inside = np.ones((queries, n), dtype=np.bool_)
    if kind is not None and radius_km is not None:
        for number in range(queries):
            center = collection.places[int(rng.integers(n))]
            area = area_around(rng, center, kind, radius_km)
            filters[number] = Within(area)
            inside[number] = area.contains(collection.lat, collection.lon)
    scores = np.where(inside, vectors @ collection.vectors.T, -np.inf)  # (queries, n)
    # Apart from the truth, whose threads go on spinning for a while, and after a first round,
    # which brings what lies on disk into memory.
    for vector, where in zip(vectors, filters, strict=True):
        store.query(vector, where, LIMIT)
    planned, plain = _Tally(), _Tally()
    plans, missed, extra = [], 0, 0
    for vector, where, truth in zip(vectors, filters, scores, strict=True):
        started = time.perf_counter()
        found = planning.search(store, vector, where, LIMIT)
        planned.add(found.hits, truth, time.perf_counter() - started)
        count = int(np.isfinite(truth).sum())
        missed += max(0, count - found.matched)
        extra += max(0, found.matched - count)
        extra += sum(not np.isfinite(truth[hit.id.int]) for hit in found.hits)
        plans.append(found.plan.value)
    for vector, where, truth in zip(vectors, filters, scores, strict=True):
        started = time.perf_counter()
        hits = store.query(vector, where, LIMIT)
        plain.add(hits, truth, time.perf_counter() - started)
    counting = {}
    if kind == "circle":
        circles = [where for where in filters if where is not None]
        counting = {
            "count_p50_ms": _median_ms(store.count, circles),
            # The same conditions, but no bare circle any more, so the engine counts it.
            "engine_count_p50_ms": _median_ms(store.count, [And((one,)) for one in circles]),
        }
    return {
        **planned.figures(),
        **counting,
        "missed": missed,
        "extra": extra,
        "matched": float(np.median(inside.sum(axis=1))),
        "plan": max(sorted(set(plans)), key=plans.count),
        "plans": {plan: plans.count(plan) for plan in sorted(set(plans))},
        "baseline": plain.figures(),
    }


class _Tally:
    """Recall and latency over the queries of a row."""

    def __init__(self) -> None:
        self._recalls: list[float] = []
        self._seconds: list[float] = []
        self._short = 0

    def add(self, hits: Sequence[Hit], scores: NDArray[np.float32], seconds: float) -> None:
        """Count one query; `scores` (n,) are all true cosines, -inf outside the area."""
        wanted = min(LIMIT, int(np.isfinite(scores).sum()))
        self._seconds.append(seconds)
        self._short += len(hits) < wanted
        if wanted:
            last = np.partition(scores, -wanted)[-wanted]
            # Equal to the last within rounding is as right as the last itself.
            right = sum(scores[hit.id.int] >= last - 1e-6 for hit in hits)
            self._recalls.append(min(right, wanted) / wanted)

    def figures(self) -> dict[str, Any]:
        """Mean recall, latency in milliseconds, and queries that returned too few hits."""
        milliseconds = np.array(self._seconds) * 1000.0
        return {
            "recall_at_10": float(np.mean(self._recalls)),
            "p50_ms": float(np.quantile(milliseconds, 0.5)),
            "p95_ms": float(np.quantile(milliseconds, 0.95)),
            "hits_short": self._short,
        }


def _median_ms(count: Callable[[Filter], int], filters: Sequence[Filter]) -> float:
    """Median time of counting what a filter matches, in milliseconds."""
    milliseconds = []
    for where in filters:
        started = time.perf_counter()
        count(where)
        milliseconds.append((time.perf_counter() - started) * 1000.0)
    return float(np.median(milliseconds))


def _correctness_row(collection: _Collection, areas: Sequence[Area]) -> dict[str, Any]:
    """One row: every area's points in the store against those that it contains."""
    missed = extra = matched = wrong = 0
    milliseconds = []
    for area in areas:
        inside = area.contains(collection.lat, collection.lon)
        truth = {int(number) for number in np.flatnonzero(inside)}
        started = time.perf_counter()
        count = collection.store.count(Within(area))
        milliseconds.append((time.perf_counter() - started) * 1000.0)
        found = {hit.id.int for hit in collection.store.scroll(Within(area), batch=5000)}
        missed += len(truth - found)
        extra += len(found - truth) + abs(count - len(found))
        wrong += found != truth or count != len(found)
        matched += len(truth)
    return {
        "matched": matched,
        "missed": missed,
        "extra": extra,
        "areas_wrong": wrong,
        "p50_ms": float(np.quantile(milliseconds, 0.5)),
        "p95_ms": float(np.quantile(milliseconds, 0.95)),
    }


def _silent(text: str) -> None:
    """Take a progress message and show it to nobody."""
