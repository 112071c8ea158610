"""Random places, vectors and areas for the benchmarks of filters, many of them awkward on purpose.

Everything is drawn from the generator that is passed in, so that a seed gives the same run again.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geosearch.areas import Area, BoundingBox, Circle, Polygon
from geosearch.errors import InvalidArea
from geosearch.geo import Coordinate

Kind = Literal["circle", "box", "polygon"]
KINDS: tuple[Kind, ...] = ("circle", "box", "polygon")

CLUSTERS = 200
NOISE = 0.8
"""Length of the noise round a cluster's centre; two members have a cosine near 0.6."""

HOME_SPREAD_DEG = 3.0

CORNERS = [Coordinate(lat, lon) for lat in range(-90, 91, 30) for lon in range(-180, 181, 30)]
"""Places on the grid that areas snap to: poles, ±180 from both sides, (0, 0), edges and corners."""


def clustered_vectors(
    rng: np.random.Generator, n: int, dim: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors (n, dim) float32 in clusters, and the cluster (n,) of each."""
    centers = rng.normal(size=(CLUSTERS, dim))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    clusters = rng.integers(0, CLUSTERS, n)
    vectors = np.empty((n, dim), dtype=np.float32)
    for start in range(0, n, 5000):  # the noise of all at once would take gigabytes
        rows = slice(start, start + 5000)
        noise = rng.normal(size=(len(clusters[rows]), dim)) * (NOISE / math.sqrt(dim))
        vectors[rows] = centers[clusters[rows]] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, clusters


def perturbed(rng: np.random.Generator, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors (n, dim) near given ones, as new photos of known scenes are."""
    noise = rng.normal(size=vectors.shape) * (NOISE / 2.0 / math.sqrt(vectors.shape[1]))
    near = vectors + noise
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return near.astype(np.float32)


def places_anywhere(rng: np.random.Generator, n: int) -> list[Coordinate]:
    """Places spread evenly over the sphere."""
    lat = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    lon = rng.uniform(-180.0, 180.0, n)
    return [Coordinate(*place) for place in zip(lat.tolist(), lon.tolist(), strict=True)]


def places_by_cluster(rng: np.random.Generator, clusters: NDArray[np.int64]) -> list[Coordinate]:
    """A place (n,) near the home of each one's cluster: what looks alike lies together."""
    homes = places_anywhere(rng, CLUSTERS)
    offsets = rng.normal(size=(len(clusters), 2)) * HOME_SPREAD_DEG
    return [
        Coordinate(min(max(homes[cluster].lat + north, -90.0), 90.0), homes[cluster].lon + east)
        for cluster, (north, east) in zip(clusters.tolist(), offsets.tolist(), strict=True)
    ]


def area_around(rng: np.random.Generator, center: Coordinate, kind: Kind, radius_km: float) -> Area:
    """An area of about `radius_km` that holds its centre; boxes and polygons are in degrees."""
    if kind == "circle":
        return Circle(center, radius_km)
    half = min(math.degrees(radius_km / 6371.0), 89.0)
    if kind == "box":
        south, north = max(center.lat - half, -90.0), min(center.lat + half, 90.0)
        return BoundingBox(center.lon - half, south, center.lon + half, north)
    return _star(rng, center, half, holes=False)


def awkward_area(rng: np.random.Generator, kind: Kind, *, on_grid: bool) -> Area:
    """An area of any size anywhere; on the grid, its corners or centre are `CORNERS`."""
    center = places_anywhere(rng, 1)[0]
    if on_grid:
        center = CORNERS[int(rng.integers(len(CORNERS)))]
    if kind == "circle":
        if on_grid and rng.random() < 0.5:  # some corner lies on the rim
            return Circle(center, center.distance_km(CORNERS[int(rng.integers(len(CORNERS)))]))
        return Circle(center, float(10.0 ** rng.uniform(-3.0, 4.4)))
    if kind == "box":
        west, east = rng.uniform(-180.0, 180.0, 2)
        south, north = np.sort(rng.uniform(-90.0, 90.0, 2))
        if on_grid:
            west, east, south, north = (
                np.round(value / 30.0) * 30.0 for value in (west, east, south, north)
            )
        return BoundingBox(west, south, east, north)
    if on_grid:  # smaller rings would snap onto one corner of the grid
        return _star(rng, center, float(rng.uniform(30.0, 80.0)), holes=False, grid_deg=30.0)
    return _star(rng, center, float(10.0 ** rng.uniform(-1.0, 1.9)), holes=True)


def _star(
    rng: np.random.Generator,
    center: Coordinate,
    half_deg: float,
    *,
    holes: bool,
    grid_deg: float | None = None,
) -> Polygon:
    """A ring of 4 to 12 corners round a centre, with a hole of half its size now and then."""
    while True:
        corners = int(rng.integers(4, 13))
        angles = (np.arange(corners) + rng.uniform(0.0, 0.9, corners)) * (2.0 * math.pi / corners)
        reach = rng.uniform(0.4, 1.0, corners) * half_deg
        with_hole = holes and rng.random() < 0.5
        try:
            ring, hole = (
                _ring(center, angles, reach * scale, grid_deg=grid_deg) for scale in (1.0, 0.5)
            )
            return Polygon(ring, (hole,) if with_hole else ())
        except InvalidArea:  # on the grid or at a pole, onto one line or across itself: no area
            continue


def _ring(
    center: Coordinate,
    angles: NDArray[np.float64],
    reach: NDArray[np.float64],
    *,
    grid_deg: float | None,
) -> tuple[Coordinate, ...]:
    lat = np.clip(center.lat + reach * np.sin(angles), -90.0, 90.0)
    lon = center.lon + reach * np.cos(angles)
    if grid_deg is not None:
        lat, lon = np.round(lat / grid_deg) * grid_deg, np.round(lon / grid_deg) * grid_deg
    return tuple(Coordinate(*place) for place in zip(lat.tolist(), lon.tolist(), strict=True))
