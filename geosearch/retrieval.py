"""Finding photos: by vector under a filter, spread over places, or newest first."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from geosearch.catalogue.repository import Catalogue
from geosearch.geo import Coordinate, haversine_km
from geosearch.records import PhotoFact, SearchHit, SearchResult
from geosearch.store import planning
from geosearch.store.base import Hit, PointPayload, VectorStore
from geosearch.store.filters import Filter, matches

logger = logging.getLogger(__name__)

SEPARATION_KM = 25.0
"""Diverse results are at least so far apart: one a city, roughly."""


def find_similar(
    store: VectorStore,
    catalogue: Catalogue,
    vector: NDArray[np.float32],
    *,
    where: Filter | None = None,
    limit: int = 10,
    separation_km: float | None = None,
    center: Coordinate | None = None,
) -> SearchResult:
    """The photos most similar to a fused vector, best first.

    Args:
        store: the index that the vector belongs to.
        catalogue: the record.
        vector: (dim,) float32.
        where: which photos count.
        limit: the most hits.
        separation_km: leave out hits nearer than this to a better one.
        center: distances are measured from here.

    Raises:
        StoreError: the index refuses the vector or the filter.
    """
    start = time.monotonic()
    wanted = limit
    while True:
        found = planning.search(store, vector, where, wanted)
        hits: Sequence[Hit] = found.hits
        if separation_km is not None:
            hits = _spread(hits, separation_km)
        # Thinning may leave too few: look further until there are enough or no more to look at.
        if separation_km is None or len(hits) >= limit or wanted >= found.matched:
            break
        wanted = min(4 * wanted, found.matched)
    return SearchResult(
        hits=tuple(
            SearchHit(fact, hit.score, _distance_km(fact, center))
            for hit, fact in _recorded(hits[:limit], catalogue)
        ),
        matched=found.matched,
        plan=str(found.plan),
        seconds=time.monotonic() - start,
    )


def list_newest(
    catalogue: Catalogue,
    *,
    where: Filter | None = None,
    limit: int = 10,
    separation_km: float | None = None,
    center: Coordinate | None = None,
) -> SearchResult:
    """Photos that match a filter, newest first, those without a time last; nothing is compared."""
    start = time.monotonic()
    kept: list[PhotoFact] = []
    matched = catalogue.counts()["indexed"] if where is None else 0
    with closing(catalogue.newest()) as batches:
        for batch in batches:
            chosen = matches(where, [_payload(fact) for fact in batch])
            if where is not None:
                matched += int(np.count_nonzero(chosen))
            for fact, is_match in zip(batch, chosen, strict=True):
                if is_match and len(kept) < limit and _is_apart(fact, kept, separation_km):
                    kept.append(fact)
            if where is None and len(kept) == limit:
                break  # what all photos match need not be counted by reading them
    return SearchResult(
        hits=tuple(SearchHit(fact, None, _distance_km(fact, center)) for fact in kept),
        matched=matched,
        plan="exact",
        seconds=time.monotonic() - start,
    )


def _spread(hits: Sequence[Hit], separation_km: float) -> list[Hit]:
    kept: list[Hit] = []
    for hit in hits:
        here = hit.payload.coordinate
        distances_km = haversine_km(
            [other.payload.coordinate.lat for other in kept],
            [other.payload.coordinate.lon for other in kept],
            here.lat,
            here.lon,
        )
        if not np.any(distances_km < separation_km):
            kept.append(hit)
    return kept


def _is_apart(fact: PhotoFact, kept: Iterable[PhotoFact], separation_km: float | None) -> bool:
    if separation_km is None or fact.coordinate is None:
        return True
    return all(
        other.coordinate is None or fact.coordinate.distance_km(other.coordinate) >= separation_km
        for other in kept
    )


def _recorded(hits: Sequence[Hit], catalogue: Catalogue) -> list[tuple[Hit, PhotoFact]]:
    facts = catalogue.facts([hit.id for hit in hits])
    for hit in hits:
        if hit.id not in facts:
            logger.warning("point %s is in the index and not in the catalogue", hit.id)
    return [(hit, facts[hit.id]) for hit in hits if hit.id in facts]


def _distance_km(fact: PhotoFact, center: Coordinate | None) -> float | None:
    if center is None or fact.coordinate is None:
        return None
    return fact.coordinate.distance_km(center)


def _payload(fact: PhotoFact) -> PointPayload:
    if fact.coordinate is None:
        raise ValueError(f"photo {fact.id} is indexed and has no coordinate")
    return PointPayload(fact.coordinate, fact.captured_at, fact.dataset, fact.country, fact.author)
