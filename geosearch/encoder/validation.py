"""How well a model locates held-out photos, quickly: the measure that picks the best epoch.

Full evaluation, with intervals and baselines, is the work of `evaluation/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geosearch.geo import haversine_km

if TYPE_CHECKING:
    import torch

RADII_KM = (25, 200, 750, 2500)
GALLERY = 100_000
"""The most training coordinates that compete; a million more change the order of epochs little."""

CHUNK = 1024

GEO_SCORE_KM = 1492.7
"""Scale of GeoScore, 5000 · exp(-distance / scale).

Source: arXiv 2404.18873 (OpenStreetView-5M), the score of the game GeoGuessr.
"""


def gallery_of(lat_lon: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """Distinct coordinates (m, 2) out of (n, 2) degrees, at most `GALLERY` of them."""
    distinct = np.unique(lat_lon, axis=0)
    if len(distinct) > GALLERY:
        rows = np.random.default_rng(seed).choice(len(distinct), GALLERY, replace=False)
        distinct = distinct[np.sort(rows)]
    return distinct


def located(
    queries: torch.Tensor, gallery_features: torch.Tensor, gallery: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The gallery coordinate (n, 2) with the highest cosine to each query.

    Args:
        queries: (n, d) float32, L2-normalised.
        gallery_features: (m, d) float32, L2-normalised.
        gallery: (m, 2) degrees.
    """
    import torch

    best = [(part @ gallery_features.T).argmax(dim=1) for part in torch.split(queries, CHUNK)]
    found: NDArray[np.float32] = gallery[torch.cat(best).cpu().numpy()]
    return found  # (n, 2)


def distance_metrics(found: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """Median error, GeoScore and the percentages within `RADII_KM`; both (n, 2) degrees."""
    error_km = haversine_km(found[:, 0], found[:, 1], truth[:, 0], truth[:, 1])  # (n,)
    metrics = {
        "median_km": float(np.median(error_km)),
        "geo_score": float((5000.0 * np.exp(-error_km / GEO_SCORE_KM)).mean()),
    }
    for radius_km in RADII_KM:
        metrics[f"within_{radius_km}_km"] = float(100.0 * (error_km <= radius_km).mean())
    return metrics
