"""From the fused vector of a photo to a prediction, or to a reason why there is none.

Composes retrieval, density and uncertainty; knows neither store nor catalogue, only the two
callables that it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import ConfigError
from geosearch.geo import Coordinate
from geosearch.localization.candidates import (
    DensitySettings,
    Neighbor,
    PlaceSupport,
    find_places,
    neighbor_weights,
)
from geosearch.localization.uncertainty import FLOOR_KM, support_radii
from geosearch.records import Candidate, Evidence, Prediction, Step


class NeighborSource(Protocol):
    """Whatever can find the gallery photos most like a query."""

    def __call__(self, query: NDArray[np.float32], limit: int, /) -> Sequence[Neighbor]:
        """At most `limit` photos nearest to `query` (dim,) by cosine, in any order."""


@dataclass(frozen=True, slots=True)
class LocatorSettings:
    """How a photo is located from its neighbours alone; defaults come from measurement.

    Args:
        neighbors: how many photos are asked for.
        min_score: photos below this cosine support nothing, whatever the encoder.
        max_spread_km: when half the support lies farther than this from the best place, the
            neighbours are scattered over the world and no answer is given; None always answers.
        evidence: photos shown for each candidate.
        floor_km: the smallest radius.
        density: how neighbours are weighed and joined to places.

    Raises:
        ConfigError: a value is out of range.
    """

    neighbors: int = 50
    min_score: float = 0.0
    max_spread_km: float | None = None
    evidence: int = 10
    floor_km: float = FLOOR_KM
    density: DensitySettings = field(default_factory=DensitySettings)

    def __post_init__(self) -> None:
        if self.neighbors < 1 or self.evidence < 1 or self.floor_km <= 0.0:
            raise ConfigError(
                f"neighbors is {self.neighbors}, evidence {self.evidence}, floor_km "
                f"{self.floor_km}; all must be above 0"
            )


def background_score(
    vectors: NDArray[np.float32], *, quantile: float = 0.95, seed: int = 0
) -> float:
    """The cosine that two unrelated photos of a gallery seldom exceed, for `Locator`.

    Args:
        vectors: (n, dim) L2-normalised sample of the gallery, n > 1; some hundreds are enough.
        quantile: how seldom, 0 to 1.
        seed: of the random pairs.

    Raises:
        ConfigError: fewer than two vectors.
    """
    if len(vectors) < 2:
        raise ConfigError(f"{len(vectors)} vectors make no pair; give two or more")
    generator = np.random.default_rng(seed)
    first = generator.integers(0, len(vectors), size=4096)
    second = (first + generator.integers(1, len(vectors), size=4096)) % len(vectors)
    return float(np.quantile(np.einsum("nd,nd->n", vectors[first], vectors[second]), quantile))


class Locator:
    """Locates photos from the neighbours of their fused vectors.

    Args:
        neighbors: finds the gallery photos most like a query.
        place_name: names a coordinate in words.
        encoder: identity of the encoder that made the vectors, for the record.
        settings: how many neighbours, floors, density.
        background: the cosine that unrelated photos reach (`background_score`); a query whose best
            neighbour is no nearer gets no answer. None when it is not known.
        clock: seconds, for the steps' durations.
    """

    def __init__(
        self,
        neighbors: NeighborSource,
        place_name: Callable[[Coordinate], str],
        *,
        encoder: str,
        settings: LocatorSettings | None = None,
        background: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._neighbors = neighbors
        self._place_name = place_name
        self._encoder = encoder
        self._settings = settings if settings is not None else LocatorSettings()
        self._background = background
        self._clock = clock

    def locate(self, query: NDArray[np.float32], *, image: str) -> Prediction:
        """Where the photo with the fused vector `query` (dim,) was taken; `image` names it.

        The answer is None, with a reason, when nothing supports one: no labelled neighbour, none
        nearer than unrelated photos are, or support scattered over the world.

        Raises:
            GeosearchError: whatever the neighbour source raises, and scores that are not finite.
        """
        return _Run(self._settings, self._clock, image, self._encoder).locate(
            query, self._neighbors, self._place_name, self._background
        )


class _Run:
    """One photo on its way through the steps."""

    def __init__(
        self, settings: LocatorSettings, clock: Callable[[], float], image: str, encoder: str
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._image = image
        self._encoder = encoder
        self._steps: list[Step] = []
        self._started = self._last = clock()

    def locate(
        self,
        query: NDArray[np.float32],
        source: NeighborSource,
        place_name: Callable[[Coordinate], str],
        background: float | None,
    ) -> Prediction:
        settings = self._settings
        found = sorted(
            source(query, settings.neighbors), key=lambda item: (-item.score, item.photo.id)
        )
        voices = [
            (neighbor, neighbor.photo.coordinate)
            for neighbor in found
            if neighbor.photo.coordinate is not None and neighbor.score >= settings.min_score
        ]
        self._note_retrieval(found, voices)
        reason = _why_nothing(found, voices, settings.min_score, background)
        if reason is not None:
            return self._predict(None, reason=reason)

        neighbors = [neighbor for neighbor, _ in voices]
        lat, lon = np.array([[place.lat, place.lon] for _, place in voices]).T  # each (n,)
        scores = [neighbor.score for neighbor in neighbors]
        weights = neighbor_weights(lat, lon, scores, settings.density)
        places = find_places(lat, lon, weights, settings.density)
        best = places[0]
        self._note(
            "density",
            f"{len(best.members)} of {len(voices)} photos, with {best.share:.0%} of the support, "
            f"agree on one place; {len(places) - 1} alternatives",
            best.coordinate,
        )
        candidates = [
            self._candidate(
                place,
                neighbors,
                place_name,
                support_radii(place.coordinate, lat, lon, weights, floor_km=settings.floor_km),
            )
            for place in places
        ]
        radii = candidates[0].radius_km
        self._note(
            "uncertainty",
            f"half the support lies within {radii[50]:.3g} km, 90 % within {radii[90]:.3g} km",
            best.coordinate,
        )
        limit_km = settings.max_spread_km
        if limit_km is not None and radii[50] > limit_km:
            return self._predict(
                None,
                reason=(
                    "the most similar photos are scattered over the world: only "
                    f"{best.share:.0%} of their support is at the best place, half of it is "
                    f"more than {radii[50]:.0f} km away from there"
                ),
            )
        return self._predict(candidates)

    def _candidate(
        self,
        place: PlaceSupport,
        neighbors: Sequence[Neighbor],
        place_name: Callable[[Coordinate], str],
        radius_km: dict[int, float],
    ) -> Candidate:
        evidence = []
        for index in place.members[: self._settings.evidence]:
            photo = neighbors[index].photo
            assert photo.coordinate is not None  # `voices` has none without
            distance_km = place.coordinate.distance_km(photo.coordinate)
            evidence.append(Evidence(photo, neighbors[index].score, distance_km))
        name = place_name(place.coordinate)
        return Candidate(place.coordinate, place.share, name, radius_km, tuple(evidence))

    def _note_retrieval(
        self, found: Sequence[Neighbor], voices: Sequence[tuple[Neighbor, Coordinate]]
    ) -> None:
        summary = f"{len(found)} photos found, {len(voices)} of them with a place and a score"
        if voices:
            summary += f"; the nearest ({voices[0][0].score:.3f}) is {voices[0][0].photo.path}"
        self._note("retrieval", summary, voices[0][1] if voices else None)

    def _note(self, name: str, summary: str, coordinate: Coordinate | None) -> None:
        now = self._clock()
        self._steps.append(Step(name, summary, coordinate, now - self._last))
        self._last = now

    def _predict(
        self, candidates: Sequence[Candidate] | None, *, reason: str | None = None
    ) -> Prediction:
        return Prediction(
            image=self._image,
            best=candidates[0] if candidates is not None else None,
            alternatives=tuple(candidates[1:]) if candidates is not None else (),
            steps=tuple(self._steps),
            encoder=self._encoder,
            reason=reason,
            seconds=self._clock() - self._started,
        )


def _why_nothing(
    found: Sequence[Neighbor],
    voices: Sequence[tuple[Neighbor, Coordinate]],
    min_score: float,
    background: float | None,
) -> str | None:
    """The reason why these neighbours support no answer at all, None when they may."""
    if not found:
        return "no photo to compare with: the gallery, or the part searched, is empty"
    if not voices:
        return (
            f"none of the {len(found)} photos found has both a place and a similarity of at least "
            f"{min_score:g} (the best has {found[0].score:.3f})"
        )
    top = voices[0][0].score
    if background is not None and top <= background:
        return (
            f"the most similar photo ({top:.3f}) is no nearer than unrelated photos of the "
            f"gallery are to each other ({background:.3f})"
        )
    return None
