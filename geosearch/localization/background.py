"""How alike unrelated photos of a gallery are: a query must do better to be located."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.geo import chord_of, unit_vectors

BACKGROUND_PAIRS = 4096
MIN_BACKGROUND_PHOTOS = 20
UNRELATED_KM = 200.0
"""Photos farther apart than this show different places, whatever they look like."""


def background_score(
    vectors: NDArray[np.float32],
    lat: ArrayLike,
    lon: ArrayLike,
    *,
    quantile: float = 0.75,
    seed: int = 0,
) -> float | None:
    """The cosine that most pairs of unrelated photos of a gallery stay below, for `Locator`.

    Unrelated are photos that lie far apart: those of one street may well look the same.

    Args:
        vectors: (n, dim) L2-normalised sample of the gallery; some hundreds are enough.
        lat: (n,) degrees.
        lon: (n,) degrees.
        quantile: the part of the pairs that stay below, 0 to 1. Higher ones refuse more answers
            that would have been right, at no gain against noise.
        seed: of the random pairs.

    Returns:
        The cosine, or None when the sample has too few photos or too few of them lie apart.
    """
    if len(vectors) < MIN_BACKGROUND_PHOTOS:
        return None
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, len(vectors), size=(2, BACKGROUND_PAIRS))
    units = unit_vectors(lat, lon)
    chords = np.linalg.norm(units[first] - units[second], axis=1)  # (n_pairs,)
    unrelated = chords > chord_of(UNRELATED_KM)
    if unrelated.mean() < 0.05:
        return None
    cosines = np.einsum("nd,nd->n", vectors[first[unrelated]], vectors[second[unrelated]])
    return float(np.quantile(cosines, quantile))
