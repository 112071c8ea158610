"""Answers that do not look at the photo, and the best that a gallery allows.

A method that does not beat the constant has learned nothing but where photos are taken; one that
beats the oracle does not exist. Pure functions of arrays.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import ConfigError, InvalidInput
from geosearch.evaluation.metrics import geoscore
from geosearch.geo import Coordinate, haversine_km

Objective = Literal["geoscore", "median"]

CANDIDATES = 1024
"""So many coordinates of the gallery are tried as the one answer; all of them in small ones."""

JUDGES = 8192
"""And each is judged on so many."""


def best_constant(
    lat: ArrayLike, lon: ArrayLike, *, objective: Objective = "geoscore", seed: int = 0
) -> Coordinate:
    """The one coordinate that would answer a whole gallery best, chosen among its own.

    The median favours the middle of the largest crowd of photos within reach, GeoScore the point
    with most photos near; neither sees a single query.

    Args:
        lat: (n,) degrees of the gallery.
        lon: (n,) degrees.
        objective: greatest mean GeoScore, or least median error.
        seed: of the samples taken from a large gallery.

    Raises:
        InvalidInput: the gallery is empty.
    """
    places = np.stack([np.asarray(lat, np.float64), np.asarray(lon, np.float64)], axis=-1)
    if not len(places):
        raise InvalidInput("the gallery is empty; there is no constant answer to choose")
    generator = np.random.default_rng(seed)
    judges = _sample(places, JUDGES, generator)  # (j, 2)
    candidates = _sample(np.unique(places, axis=0), CANDIDATES, generator)  # (c, 2)
    merit = np.empty(len(candidates))
    for row, (candidate_lat, candidate_lon) in enumerate(candidates):
        error_km = haversine_km(candidate_lat, candidate_lon, judges[:, 0], judges[:, 1])
        merit[row] = geoscore(error_km).mean() if objective == "geoscore" else -np.median(error_km)
    best = candidates[int(merit.argmax())]
    return Coordinate(float(best[0]), float(best[1]))


def draw_places(
    lat: ArrayLike, lon: ArrayLike, n: int, *, weights: ArrayLike | None = None, seed: int = 0
) -> list[Coordinate]:
    """Answers by lot: `n` places drawn with chances in proportion to `weights`.

    With the coordinates of a gallery it is the prior of where its photos were taken; with towns and
    their inhabitants, the prior of where people live.

    Args:
        lat: (m,) degrees.
        lon: (m,) degrees.
        n: how many.
        weights: (m,) at or above 0, equal unless told.
        seed: of the draw.

    Raises:
        InvalidInput: there is no place with a weight above 0.
        ConfigError: a weight is below 0 or not finite.
    """
    lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    chances: NDArray[np.float64] | None = None
    if weights is not None:
        chances = np.asarray(weights, np.float64)
        if not np.isfinite(chances).all() or (chances < 0.0).any():
            raise ConfigError("weights of places must be finite and at or above 0")
    if not len(lat) or (chances is not None and not chances.any()):
        raise InvalidInput("there is no place to draw from")
    if chances is not None:
        chances = chances / chances.sum()
    drawn = np.random.default_rng(seed).choice(len(lat), size=n, p=chances)
    return [Coordinate(float(lat[row]), float(lon[row])) for row in drawn]


def _sample(
    places: NDArray[np.float64], limit: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """At most `limit` rows, all of them where they fit."""
    if len(places) <= limit:
        return places
    return places[np.sort(generator.choice(len(places), size=limit, replace=False))]
