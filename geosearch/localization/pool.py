"""The candidate pool: what several channels found, brought together on the sphere.

A channel is one way to look: `fused` compares whole vectors, `visual` what is seen alone, `learned`
under a metric trained for places, `gps` compares with coordinates instead of photos. Pure functions
of what was found; scoring is in `ranking.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import InvalidInput
from geosearch.geo import (
    EARTH_RADIUS_KM,
    Coordinate,
    chord_of,
    coordinate_of,
    squared_chords,
    unit_vectors,
)
from geosearch.localization.candidates import DensitySettings, Neighbor, neighbor_weights

FUSED, LEARNED, VISUAL, GPS = "fused", "learned", "visual", "gps"
CHANNELS = (FUSED, LEARNED, VISUAL, GPS)

MERGE_KM = 1.0
"""Voices so near to each other are for one place."""

MAX_PLACES = 120
"""Places that are looked at closely: the strongest of all that any channel names."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A coordinate that a channel points at without a photo, and its cosine with the query."""

    coordinate: Coordinate
    score: float


@dataclass(frozen=True, slots=True)
class PooledPlace:
    """A place: its coordinate, the voices within `MERGE_KM` (rows, strongest first), channels."""

    coordinate: Coordinate
    members: tuple[int, ...]
    origins: tuple[str, ...]


class Pool:
    """Everything that was found for one query, as voices: photos first, then bare coordinates.

    Args:
        photos: channel to photos with a place; a photo found twice is one voice.
        pointers: what the channel `gps` points at.
        density: how scores become weights.

    Raises:
        InvalidInput: a channel is unknown or a score is not finite.
    """

    def __init__(
        self,
        photos: Mapping[str, Sequence[Neighbor]],
        pointers: Sequence[Pointer] = (),
        *,
        density: DensitySettings | None = None,
    ) -> None:
        unknown = set(photos) - {FUSED, LEARNED, VISUAL}
        if unknown:
            raise InvalidInput(f"no channel of photos is named {', '.join(sorted(unknown))}")
        settings = density if density is not None else DensitySettings()
        # By the number of an id: hashing a UUID itself is slow.
        known = {one.photo.id.int: one for found in photos.values() for one in reversed(found)}
        # The score of this channel is the one that people are shown.
        known |= {one.photo.id.int: one for one in photos.get(FUSED, ())}
        self.neighbors = tuple(known.values())
        row_of = {name: row for row, name in enumerate(known)}
        places = [one.photo.coordinate for one in self.neighbors]
        points = [place for place in places if place is not None]
        if len(points) != len(places):
            raise InvalidInput("photos without a place cannot speak for one; leave them out")
        points += [pointer.coordinate for pointer in pointers]
        self.lat = np.array([point.lat for point in points], dtype=np.float64)
        self.lon = np.array([point.lon for point in points], dtype=np.float64)
        self.scores: dict[str, NDArray[np.float64]] = {}
        self.weights: dict[str, NDArray[np.float64]] = {}
        for name, found in photos.items():
            self._add(name, [row_of[one.photo.id.int] for one in found], found, settings)
        first = len(self.neighbors)
        self._add(GPS, list(range(first, first + len(pointers))), pointers, settings)

    def _add(
        self,
        name: str,
        rows: list[int],
        found: Sequence[Neighbor] | Sequence[Pointer],
        settings: DensitySettings,
    ) -> None:
        if not rows:
            return
        scores = np.full(len(self.lat), np.nan)
        scores[rows] = [one.score for one in found]
        weights = np.zeros(len(self.lat))
        weights[rows] = neighbor_weights(self.lat[rows], self.lon[rows], scores[rows], settings)
        self.scores[name], self.weights[name] = scores, weights

    def __len__(self) -> int:
        return len(self.lat)

    @property
    def channels(self) -> tuple[str, ...]:
        """Those that found something, in the order of `CHANNELS`."""
        return tuple(name for name in CHANNELS if name in self.scores)

    @cached_property
    def voices(self) -> NDArray[np.float64]:
        """What each voice counts over all channels (n,), summing to 1: each channel alike."""
        total = np.sum([self.weights[name] for name in self.channels], axis=0)
        return np.asarray(total / total.sum(), dtype=np.float64)

    @cached_property
    def units(self) -> NDArray[np.float64]:
        """Unit vectors (n, 3) of the voices."""
        return unit_vectors(self.lat, self.lon)

    @cached_property
    def places(self) -> tuple[PooledPlace, ...]:
        """The voices merged within `MERGE_KM`, begun with the strongest in any channel."""
        strength = np.max([self.weights[name] for name in self.channels], axis=0)
        order = np.lexsort((self.lon, self.lat, -strength))
        is_near = squared_chords(self.units, self.units) <= chord_of(MERGE_KM) ** 2
        is_near |= np.eye(len(self), dtype=np.bool_)  # rounding must not part a voice from itself
        is_near = is_near[np.ix_(order, order)]
        found_in = np.stack([np.isfinite(self.scores[name]) for name in self.channels])
        names = np.array(self.channels)
        free = np.ones(len(self), dtype=np.bool_)
        found: list[PooledPlace] = []
        for start in range(len(order)):
            if not free[start]:
                continue
            near = is_near[start] & free
            free &= ~near
            members = order[near]
            center = strength[members] @ self.units[members]
            origins = names[found_in[:, members].any(axis=1)]
            found.append(
                PooledPlace(coordinate_of(center), tuple(members.tolist()), tuple(origins.tolist()))
            )
            if len(found) == MAX_PLACES:
                break
        return tuple(found)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The place (n,) that each voice belongs to, -1 for those beyond `MAX_PLACES`."""
        owner = np.full(len(self), -1, dtype=np.int64)
        for at, place in enumerate(self.places):
            owner[list(place.members)] = at
        return owner

    @cached_property
    def distances_km(self) -> NDArray[np.float64]:
        """From each place to each voice (places, n)."""
        where = [place.coordinate for place in self.places]
        centers = unit_vectors([one.lat for one in where], [one.lon for one in where])
        chords = np.sqrt(squared_chords(centers, self.units))
        angles = 2.0 * np.arcsin(np.minimum(chords / 2.0, 1.0))
        return np.asarray(EARTH_RADIUS_KM * angles, dtype=np.float64)


def visual_query(query: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The query (dim,) with its visual block alone; None where the blocks are all alike.

    Without trained heads they are: then the visual channel would repeat the fused one.
    """
    width = len(query) // 3
    if len(query) % 3 or width == 0:
        return None
    blocks = query.reshape(3, width)
    if np.allclose(blocks[0], blocks[1], atol=1e-6) and np.allclose(
        blocks[0], blocks[2], atol=1e-6
    ):
        return None
    if not blocks[0].any():
        return None
    alone = np.zeros_like(query)
    alone[:width] = blocks[0]
    return alone
