"""From a pool to a short list of candidates: scored, spread out, each with its evidence.

Two ways to score. Without a trained re-ranker the rule: the modes of the density of all voices,
every channel counting alike (`candidates.find_places`), radii from the spread of the support. With
one: its order, and probabilities and radii once held-out photos have calibrated them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.geo import Coordinate, chord_of, unit_vectors
from geosearch.localization.candidates import DensitySettings, Neighbor, find_places
from geosearch.localization.pool import MERGE_KM, Pool
from geosearch.localization.ranking import Prior, place_features
from geosearch.localization.reranker import BANDS_KM, REPORTED_KM, Reranker
from geosearch.localization.uncertainty import LEVELS, support_radii
from geosearch.records import Candidate, Evidence, PhotoFact


@dataclass(frozen=True, slots=True)
class Entry:
    """A place of the short list: voices that support it (rows, strongest first), probabilities."""

    coordinate: Coordinate
    members: tuple[int, ...]
    share: float
    within: dict[int, float]
    radius_km: dict[int, float]
    origins: tuple[str, ...]


def rule_entries(pool: Pool, density: DensitySettings, *, floor_km: float) -> list[Entry]:
    """The modes of the density of all voices, densest first."""
    places = find_places(pool.lat, pool.lon, pool.voices, density)
    return [
        Entry(
            coordinate=place.coordinate,
            members=place.members,
            share=place.share,
            within={},
            radius_km=_spread(pool, place.coordinate, floor_km),
            origins=_origins(pool, place.members),
        )
        for place in places
    ]


def ranked_entries(
    pool: Pool,
    reranker: Reranker,
    density: DensitySettings,
    *,
    prior: Prior | None,
    floor_km: float,
) -> list[Entry]:
    """The places of greatest merit, best first; those near a better one are left out."""
    features = place_features(pool, prior=prior)
    probabilities = reranker.probabilities(features)
    merit = reranker.merit(features, probabilities)
    reach = chord_of(density.separation_km) ** 2
    where = [place.coordinate for place in pool.places]
    units = unit_vectors([one.lat for one in where], [one.lon for one in where])
    free = np.ones(len(pool), dtype=np.bool_)
    entries: list[Entry] = []
    kept: list[int] = []
    for at in np.argsort(-merit, kind="stable").tolist():
        if any(((units[at] - units[other]) ** 2).sum() <= reach for other in kept):
            continue
        near = (pool.distances_km[at] <= density.separation_km) & free
        members = np.flatnonzero(near)
        members = members[np.argsort(-pool.voices[members], kind="stable")]
        free[members] = False
        kept.append(at)
        entries.append(
            Entry(
                coordinate=where[at],
                members=tuple(members.tolist()),
                share=float(pool.voices[members].sum()),
                within=_within(reranker, probabilities[at]),
                radius_km=_radii(pool, where[at], reranker, probabilities[at], floor_km),
                origins=pool.places[at].origins,
            )
        )
        if len(entries) == density.max_places:
            break
    return entries


def candidate_of(entry: Entry, pool: Pool, *, place: str, evidence: int) -> Candidate:
    """A short-listed place with its name and its photos, those at the spot itself first."""
    photos = [row for row in entry.members if row < len(pool.neighbors)]
    distances = [
        entry.coordinate.distance_km(Coordinate(float(pool.lat[row]), float(pool.lon[row])))
        for row in photos
    ]
    order = sorted(range(len(photos)), key=lambda at: distances[at] > MERGE_KM)
    shown = [
        Evidence(pool.neighbors[photos[at]].photo, pool.neighbors[photos[at]].score, distances[at])
        for at in order[:evidence]
    ]
    return Candidate(
        coordinate=entry.coordinate,
        share=entry.share,
        place=place,
        radius_km=entry.radius_km,
        evidence=tuple(shown),
        within=entry.within,
        origins=entry.origins,
    )


def photos_with_facts(
    photos: Sequence[Neighbor], known: Mapping[UUID, PhotoFact]
) -> list[Neighbor]:
    """Photos with all that is known of them, without those of which nothing is."""
    return [replace(one, photo=known[one.photo.id]) for one in photos if one.photo.id in known]


def candidates_with_facts(
    candidates: Sequence[Candidate], known: Mapping[UUID, PhotoFact]
) -> tuple[Candidate, ...]:
    """Candidates whose evidence says all that is known of its photos; unknown ones are left out."""
    return tuple(
        replace(
            one,
            evidence=tuple(
                replace(item, photo=known[item.photo.id])
                for item in one.evidence
                if item.photo.id in known
            ),
        )
        for one in candidates
    )


def _within(reranker: Reranker, probabilities: NDArray[np.float64]) -> dict[int, float]:
    if reranker.conformal is None:
        return {}
    reported = dict(zip(BANDS_KM, probabilities.tolist(), strict=True))
    return {int(band): reported[band] for band in REPORTED_KM}


def _radii(
    pool: Pool,
    center: Coordinate,
    reranker: Reranker,
    probabilities: NDArray[np.float64],
    floor_km: float,
) -> dict[int, float]:
    if reranker.conformal is None:
        return _spread(pool, center, floor_km)
    stated = {level: reranker.radius_km(probabilities, level) for level in LEVELS}
    return {level: radius for level, radius in stated.items() if radius is not None}


def _spread(pool: Pool, center: Coordinate, floor_km: float) -> dict[int, float]:
    return support_radii(center, pool.lat, pool.lon, pool.voices, floor_km=floor_km)


def _origins(pool: Pool, members: Sequence[int]) -> tuple[str, ...]:
    rows = list(members)
    return tuple(name for name in pool.channels if bool(np.isfinite(pool.scores[name][rows]).any()))
