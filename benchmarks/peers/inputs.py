"""What contenders are given: photos, weights, vectors, places, circles and the truth about them.

Everything is drawn from seeds and kept in the work folder; what is there is not made again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geosearch.benchmarks.ingest import FOUR_MEGAPIXELS, write_photos
from geosearch.benchmarks.shapes import (
    clustered_vectors,
    perturbed,
    places_anywhere,
    places_by_cluster,
)
from geosearch.encoder.backbone import untrained_clip
from geosearch.encoder.fusion import BLOCKS, fuse
from geosearch.geo import haversine_km

K = 10
PLACES = ("independent", "correlated")
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5)
"""Parts of all points that the circles keep."""


def photos(work: Path, count: int, size: tuple[int, int] = FOUR_MEGAPIXELS) -> Path:
    """A folder of `count` JPEGs that differ in their bytes."""
    folder = work / f"photos-{size[0]}x{size[1]}-{count}"
    if not folder.exists():
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        write_photos(new, count, size)
        new.rename(folder)
    return folder


def weights(work: Path, architecture: str) -> Path:
    """Random weights of an architecture of open_clip, the same for every contender."""
    import torch

    path = work / f"{architecture}.pt"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        new = path.with_suffix(".new")
        torch.save(untrained_clip(architecture).state_dict(), new)
        new.rename(path)
    return path


def vectors(work: Path, n: int, *, block_dim: int = 256, queries: int = 200) -> Path:
    """A folder of arrays: fused vectors, queries, places of both kinds, circles and truths.

    `vectors` (n, 3 block_dim), `queries` (q, 3 block_dim): perturbed stored ones; `truth` (q, K)
    ids. For each kind of places: its name (n, 2) in degrees, `-circles` (shares, q, 3) as lat, lon,
    radius_km round stored points, `-truth` (shares, q, K) with -1 where fewer lie inside.
    """
    folder = work / f"vectors-{n}x{3 * block_dim}"
    if folder.exists():
        return folder
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    rng = np.random.default_rng(0)
    drawn = [clustered_vectors(rng, n, block_dim) for _ in BLOCKS]
    stored = fuse(**dict(zip(BLOCKS, (block for block, _ in drawn), strict=True)))
    clusters = drawn[-1][1]  # places go with the block that is aligned with locations
    asked = perturbed(rng, stored[rng.integers(0, n, queries)])
    scores = asked @ stored.T  # (q, n)
    np.save(new / "vectors.npy", stored)
    np.save(new / "queries.npy", asked)
    np.save(new / "truth.npy", nearest(scores, K))
    for kind in PLACES:
        found = (
            places_anywhere(rng, n) if kind == "independent" else places_by_cluster(rng, clusters)
        )
        lat_lon = np.array([(place.lat, place.lon) for place in found])
        circles, truths = _circles(rng, lat_lon, scores)
        np.save(new / f"{kind}.npy", lat_lon)
        np.save(new / f"{kind}-circles.npy", circles)
        np.save(new / f"{kind}-truth.npy", truths)
    new.rename(folder)
    return folder


def nearest(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Ids (q, k) of the k best of scores (q, n), best first; -1 in place of what is -inf."""
    k = min(k, scores.shape[1])
    some = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    best = np.take_along_axis(scores, some, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")
    ids = np.take_along_axis(some, order, axis=1)
    return np.where(np.isfinite(np.take_along_axis(best, order, axis=1)), ids, -1)


def _circles(
    rng: np.random.Generator, lat_lon: NDArray[np.float64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Circles (shares, q, 3) round stored points that hold their share, and the truth (.., K)."""
    queries, n = scores.shape
    circles = np.empty((len(SHARES), queries, 3))
    truths = np.empty((len(SHARES), queries, K), np.int64)
    for at, share in enumerate(SHARES):
        inside = max(1, round(share * n))
        for query in range(queries):
            lat, lon = lat_lon[rng.integers(n)]
            distances = haversine_km(lat_lon[:, 0], lat_lon[:, 1], lat, lon)
            edges = np.sort(np.partition(distances, inside)[: inside + 1])[-2:]
            radius_km = float(edges.mean())  # half-way, so that rounding moves no point across
            circles[at, query] = lat, lon, radius_km
            matching = np.where(distances <= radius_km, scores[query], -np.inf)
            truths[at, query] = nearest(matching[None], K)[0]
    return circles, truths
