"""How far off an answer may be: radii from the spread of the neighbours that speak for it.

Not calibrated: a radius says how scattered the support is, which is not yet how often the truth
lies inside. Calibration on a held-out split comes on top and does not change these functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geosearch.errors import ConfigError
from geosearch.geo import EARTH_RADIUS_KM, HALF_EARTH_KM, Coordinate, haversine_km

LEVELS = (50, 90)
"""Confidence levels in percent that every answer states."""

FLOOR_KM = 0.5
"""No radius is smaller: phone GPS in streets is off by tens of metres, and photographer and subject
of one place by hundreds."""


def support_radii(
    center: Coordinate,
    lat: ArrayLike,
    lon: ArrayLike,
    weights: ArrayLike,
    *,
    levels: Sequence[int] = LEVELS,
    floor_km: float = FLOOR_KM,
) -> dict[int, float]:
    """Radii round `center` that hold so many percent of the support, in kilometres.

    All neighbours count, those that speak for other places most of all: scattered support gives a
    wide radius. One voice out of n + 1 is kept for "somewhere else on Earth, anywhere" (Laplace's
    rule of succession), so that a gallery of three photos cannot make an answer look certain.

    Args:
        center: the answer.
        lat: (n,) degrees of all neighbours, n > 0.
        lon: (n,) degrees.
        weights: (n,) above or equal to 0, with a positive sum.
        levels: percent, each from 1 to 99.
        floor_km: the smallest radius.

    Returns:
        A radius for each level, from `floor_km` to half the Earth's circumference.

    Raises:
        ConfigError: a level is outside 1 to 99.
    """
    if any(not 1 <= level <= 99 for level in levels):
        raise ConfigError(f"confidence levels {tuple(levels)}: each is a percentage from 1 to 99")
    distances = np.atleast_1d(haversine_km(center.lat, center.lon, lat, lon))
    order = np.argsort(distances, kind="stable")
    distances = distances[order]
    mass = np.cumsum(np.asarray(weights, dtype=np.float64)[order])
    elsewhere = 1.0 / (len(mass) + 1.0)
    mass *= (1.0 - elsewhere) / mass[-1]
    bounds = np.append(distances, HALF_EARTH_KM)
    before = np.concatenate([[0.0], mass])  # neighbours nearer than each bound
    within = np.append(mass, mass[-1]) + elsewhere * _cap_share(bounds)  # and all up to it
    radii = {}
    for level in levels:
        wanted = level / 100.0
        step = int(np.argmax(within >= wanted - 1e-12))
        # Either the growing cap reaches the level on the way to this bound, or the bound does.
        radius_km = min(_cap_radius_km((wanted - before[step]) / elsewhere), bounds[step])
        radii[level] = float(np.clip(radius_km, floor_km, HALF_EARTH_KM))
    return radii


def proposal_radii(
    probability: float, *, near_km: float, levels: Sequence[int] = LEVELS
) -> dict[int, float]:
    """Radii round a place that is right to `near_km` with a probability, and else anywhere.

    Args:
        probability: 0 to 1.
        near_km: what being right means.
        levels: percent, each from 1 to 99.
    """
    radii = {}
    for level in levels:
        beyond = level / 100.0 - probability
        share = beyond / (1.0 - probability) if beyond > 0.0 else 0.0
        radii[level] = near_km if share <= 0.0 else max(near_km, _cap_radius_km(share))
    return radii


def _cap_share(radius_km: ArrayLike) -> NDArray[np.float64]:
    """The part of the Earth's surface within a radius."""
    angle = np.asarray(radius_km, dtype=np.float64) / EARTH_RADIUS_KM
    return np.asarray((1.0 - np.cos(angle)) / 2.0, dtype=np.float64)


def _cap_radius_km(share: float) -> float:
    """The radius that holds a part of the Earth's surface."""
    return EARTH_RADIUS_KM * math.acos(1.0 - 2.0 * min(max(share, 0.0), 1.0))
