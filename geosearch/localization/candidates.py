"""From ranked neighbours to candidate places: weights, density on the sphere, modes.

Pure functions of arrays; degrees are never averaged, everything happens on unit vectors. Names,
photos and radii are given to the places in `locator.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import ConfigError, InvalidInput
from geosearch.geo import (
    EARTH_RADIUS_KM,
    Coordinate,
    chord_of,
    coordinate_of,
    squared_chords,
    unit_vectors,
)
from geosearch.records import PhotoFact

_MAX_SHIFTS = 200
_SHIFT_TOLERANCE = 1e-10  # of the unit sphere's radius: under a millimetre


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A photo of the gallery and its cosine with the query."""

    photo: PhotoFact
    score: float


@dataclass(frozen=True, slots=True)
class DensitySettings:
    """How neighbours are weighed and joined to places; defaults come from measurement.

    Args:
        temperature: how fast weight falls with the score, as a part of the gap between the best
            and the last score; scale-free, so it carries from one encoder to another.
        min_gap: the least score gap taken as meaningful, so that a handful of equal scores is not
            blown up to a ranking.
        bandwidths_km: scales of the density, from a street to a continent: the wide ones
            decide between places that narrow ones find equal.
        separation_km: two places are at least so far apart; photos nearer than this to a place
            support it.
        burst_km: photos of one stay lie within this distance of each other.
        burst_cap: such photos together weigh at most as much as so many of the best of them.
        max_places: how many places are looked for.

    Raises:
        ConfigError: a value is out of range.
    """

    temperature: float = 0.11
    min_gap: float = 0.02
    bandwidths_km: tuple[float, ...] = (1.0, 25.0, 200.0, 1000.0, 3000.0)
    separation_km: float = 50.0
    burst_km: float = 1.0
    burst_cap: float = 3.0
    max_places: int = 5

    def __post_init__(self) -> None:
        for name in ("temperature", "min_gap", "separation_km", "burst_km"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not self.bandwidths_km or min(self.bandwidths_km) <= 0.0:
            raise ConfigError(f"bandwidths_km is {self.bandwidths_km}; give one or more above 0")
        if self.burst_cap < 1.0 or self.max_places < 1:
            raise ConfigError(
                f"burst_cap is {self.burst_cap}, max_places {self.max_places}; both start at 1"
            )


@dataclass(frozen=True, slots=True)
class PlaceSupport:
    """A mode of the density: where, its share of all weight, and the neighbours behind it.

    `members` are indices into the neighbours, heaviest first; `density` is 0 to 1, the weight
    around the place averaged over the bandwidths.
    """

    coordinate: Coordinate
    share: float
    density: float
    members: tuple[int, ...]


def score_weights(
    scores: ArrayLike, *, temperature: float = 0.11, min_gap: float = 0.02
) -> NDArray[np.float64]:
    """Weights that sum to 1 from scores, falling exponentially with the gap to the best one.

    The gap is measured in units of `temperature` x (best - last score). A plain softmax on cosines
    needs a temperature for each encoder; this needs one for all, and did as well in measurement.

    Args:
        scores: (n,) cosines, n > 0, in any order.
        temperature: above 0; small follows the best score alone.
        min_gap: the least value taken for best - last.

    Returns:
        (n,) float64, each above or equal to 0.

    Raises:
        InvalidInput: there is no score, or one is not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise InvalidInput("scores of neighbours must be one or more finite numbers")
    gap = max(float(np.ptp(values)), min_gap)
    weights = np.exp((values - values.max()) / (temperature * gap))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def limit_bursts(
    weights: NDArray[np.float64], vectors: NDArray[np.float64], *, burst_km: float, burst_cap: float
) -> NDArray[np.float64]:
    """Weights in which many photos of one spot count as a few, summing to 1 again.

    A photo whose surroundings hold more than `burst_cap` times their best photo's weight is scaled
    down to that. Circles round each photo, not grid cells: no burst is split by a cell's edge.

    Args:
        weights: (n,) summing to 1.
        vectors: (n, 3) unit vectors.
        burst_km: radius of one spot.
        burst_cap: how many photos a spot may count as.
    """
    near = squared_chords(vectors, vectors) <= chord_of(burst_km) ** 2  # (n, n)
    heard = np.where(near, weights, 0.0)  # (n, n)
    crowd, heaviest = heard.sum(axis=1), heard.max(axis=1)  # (n,)
    excess = np.maximum(crowd / np.maximum(burst_cap * heaviest, np.finfo(np.float64).tiny), 1.0)
    limited = weights / excess
    return np.asarray(limited / limited.sum(), dtype=np.float64)


def neighbor_weights(
    lat: ArrayLike, lon: ArrayLike, scores: ArrayLike, settings: DensitySettings
) -> NDArray[np.float64]:
    """What each neighbour's voice counts: by score, with bursts limited; (n,), summing to 1.

    Raises:
        InvalidInput: there is no neighbour, or a score is not finite.
    """
    weights = score_weights(scores, temperature=settings.temperature, min_gap=settings.min_gap)
    return limit_bursts(
        weights,
        unit_vectors(lat, lon),
        burst_km=settings.burst_km,
        burst_cap=settings.burst_cap,
    )


def find_places(
    lat: ArrayLike, lon: ArrayLike, weights: ArrayLike, settings: DensitySettings
) -> tuple[PlaceSupport, ...]:
    """The modes of the weighted density of neighbours on the sphere, densest first.

    Each place is found at the densest neighbour and moved by mean shift to the weighted spherical
    centre of the photos round it, the nearest counting most: views of one street meet in their
    middle, two streets of a city do not. Its supporters are taken out before the next is looked
    for, so that an alternative stands on photos of its own. The order of neighbours is no matter.

    Args:
        lat: (n,) degrees.
        lon: (n,) degrees.
        weights: (n,) above or equal to 0, summing to 1.
        settings: bandwidths, separation, how many places.

    Returns:
        One to `max_places` places, at least `separation_km` apart; their shares sum to at most 1.
        None for no neighbours.

    Source: kernel density with von Mises-Fisher kernels, Hall, Watson and Cabrera (1987),
        Biometrika 74(4); mean shift, Comaniciu and Meer (2002), IEEE TPAMI 24(5).
    """
    lat, lon, weights = (np.asarray(value, dtype=np.float64) for value in (lat, lon, weights))
    # One order for the same neighbours, whatever order they came in: sums and ties repeat exactly.
    order = np.lexsort((lon, lat, -weights))
    vectors, remaining = unit_vectors(lat, lon)[order], weights[order]
    precision = (EARTH_RADIUS_KM / np.asarray(settings.bandwidths_km)) ** 2  # (n_bandwidths,)
    kernel = np.mean(
        np.exp(-precision[:, None, None] * squared_chords(vectors, vectors) / 2.0), axis=0
    )  # (n, n)
    reach = chord_of(settings.separation_km) ** 2
    places: list[PlaceSupport] = []
    centers: list[NDArray[np.float64]] = []
    while len(places) < settings.max_places and remaining.any():
        density = np.where(remaining > 0.0, np.einsum("ij,j->i", kernel, remaining), -1.0)
        start = int(density.argmax())
        center = _shift(vectors[start], vectors, remaining, precision)
        members = (((vectors - center) ** 2).sum(axis=1) <= reach) & (remaining > 0.0)
        members[start] = True  # a shift that left its start behind must not find it again
        apart = all(((center - other) ** 2).sum() > reach for other in centers)
        if apart:
            places.append(
                PlaceSupport(
                    coordinate=coordinate_of(center),
                    share=float(remaining[members].sum()),
                    density=float(density[start]),
                    members=tuple(int(index) for index in order[members]),
                )
            )
            centers.append(center)
        remaining = np.where(members, 0.0, remaining)
    return tuple(places)


def _shift(
    start: NDArray[np.float64],
    vectors: NDArray[np.float64],
    weights: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean shift from `start` (3,) to the mode above it, a unit vector (3,)."""
    center = start
    for _ in range(_MAX_SHIFTS):
        squared_chords = ((vectors - center) ** 2).sum(axis=1)  # (n,)
        pull = weights * (
            precision[:, None] * np.exp(-precision[:, None] * squared_chords / 2.0)
        ).sum(axis=0)  # (n,)
        mean = pull @ vectors  # (3,)
        length = float(np.linalg.norm(mean))
        # Photos all round the Earth can balance to nothing under very wide kernels: no way to go.
        if length <= 1e-9 * float(pull.sum()):
            return center
        moved = mean / length
        if float(np.linalg.norm(moved - center)) < _SHIFT_TOLERANCE:
            return np.asarray(moved, dtype=np.float64)
        center = moved
    return center
