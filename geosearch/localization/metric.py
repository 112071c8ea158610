"""A metric learned for places: which differences between photos matter and which do not.

Views of one place differ by light, weather, people, framing. Directions in which they differ much
tell places apart badly; the metric counts them less. It acts on the query alone, so the photos in
the index stay as they are and one index serves it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import InvalidInput

SHRINKAGE = 0.3
"""Share of the mean variance that every direction is given, measured in docs/evaluation.md."""

MIN_PAIRED_PHOTOS = 50
"""Photos of places with several, below which there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class PlaceMetric:
    """The bilinear form q' = matrix @ (q - mean): its dot product with a photo ranks photos.

    Args:
        matrix: (d, d) float32, symmetric, positive definite.
        mean: (d,) float32, of the photos it was learned from.

    Source: within-class covariance normalisation, Hatch, Kajarekar and Stolcke (2006), Interspeech.
    """

    matrix: NDArray[np.float32]
    mean: NDArray[np.float32]

    def query(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """A vector (dim,) to the query (dim,) that finds its nearest under the metric.

        `dim` may be a multiple of the metric's width: the blocks of a vector that are all alike are
        one block to the metric.
        """
        width = len(self.mean)
        offset = vector[:width] * (len(vector) // width) ** 0.5 - self.mean
        asked = np.einsum("ij,j->i", self.matrix, offset)  # BLAS wakes threads for it
        tiled: NDArray[np.float32] = np.tile(asked, len(vector) // width)
        return (tiled / np.linalg.norm(tiled)).astype(np.float32)


def learn_metric(
    vectors: NDArray[np.float32], places: NDArray[np.int64], *, shrinkage: float = SHRINKAGE
) -> PlaceMetric | None:
    """The inverse of how photos (n, d) of one place (n,) differ, shrunk towards all alike.

    Returns:
        None where fewer than `MIN_PAIRED_PHOTOS` photos share their place with another.

    Raises:
        InvalidInput: there are not as many places as photos.
    """
    if len(vectors) != len(places):
        raise InvalidInput(f"{len(places)} places for {len(vectors)} photos; give one for each")
    names, index, count = np.unique(places, return_inverse=True, return_counts=True)
    index = np.asarray(index).ravel()
    paired = count[index] > 1
    if int(paired.sum()) < MIN_PAIRED_PHOTOS:
        return None
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, index, vectors)
    differences = (vectors - (sums / count[:, None])[index])[paired].astype(np.float64)
    freedom = max(1, int(paired.sum()) - len(np.unique(index[paired])))
    within = differences.T @ differences / freedom  # (d, d)
    width = within.shape[0]
    shrunk = within + shrinkage * np.trace(within) / width * np.eye(width)
    matrix = np.linalg.inv(shrunk)
    matrix *= width / np.trace(matrix)
    return PlaceMetric(matrix.astype(np.float32), vectors.mean(axis=0).astype(np.float32))
