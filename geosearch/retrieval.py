"""Finding photos: by vector under a filter, spread over places, or newest first."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geosearch.catalogue.repository import Catalogue
from geosearch.geo import Coordinate, haversine_km
from geosearch.records import PhotoFact, SearchHit, SearchResult
from geosearch.store import planning
from geosearch.store.base import Hit, Match, PointPayload, VectorStore
from geosearch.store.filters import Filter, matches
from geosearch.store.planning import PlannedHits

logger = logging.getLogger(__name__)

SEPARATION_KM = 25.0
"""Diverse results are at least so far apart: one a city, roughly."""

FEW = 2000
"""Matches that are read from the index and sorted; more are soon met among the newest."""


def find_similar(
    store: VectorStore,
    catalogue: Catalogue,
    vector: NDArray[np.float32],
    *,
    where: Filter | None = None,
    limit: int = 10,
    separation_km: float | None = None,
    center: Coordinate | None = None,
    is_photo: bool = False,
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
        is_photo: the vector is a photo's, no words or place mixed in: found with less work.

    Raises:
        StoreError: the index refuses the vector or the filter.
    """
    start = time.monotonic()
    free_ef = planning.PHOTO_EF if is_photo else None
    found: PlannedHits[Match] | PlannedHits[Hit]
    if separation_km is None:
        found = planning.rank(store, vector, where, limit, free_ef=free_ef)
    else:
        found = _apart(store, vector, where, limit, separation_km, free_ef)
    return SearchResult(
        hits=tuple(
            SearchHit(fact, hit.score, _distance_km(fact, center))
            for hit, fact in _recorded(found.hits, catalogue)
        ),
        matched=found.matched,
        plan=str(found.plan),
        seconds=time.monotonic() - start,
    )


def _apart(
    store: VectorStore,
    vector: NDArray[np.float32],
    where: Filter | None,
    limit: int,
    separation_km: float,
    free_ef: int | None,
) -> PlannedHits[Hit]:
    wanted = limit
    while True:
        found = planning.search(store, vector, where, wanted, free_ef=free_ef)
        kept = _spread(found.hits, separation_km)
        # Thinning may leave too few: look further until there are enough or no more to look at.
        if len(kept) >= limit or wanted >= found.matched:
            return replace(found, hits=tuple(kept[:limit]))
        wanted = min(4 * wanted, found.matched)


def list_newest(
    catalogue: Catalogue,
    store: VectorStore | None = None,
    *,
    where: Filter | None = None,
    limit: int = 10,
    separation_km: float | None = None,
    center: Coordinate | None = None,
) -> SearchResult:
    """Photos that match a filter, newest first, those without a time last; nothing is compared.

    Args:
        catalogue: the record.
        store: finds what matches where few do, and counts it; without, the record is read.
        where: which photos count.
        limit: the most hits.
        separation_km: leave out photos nearer than this to a newer one.
        center: distances are measured from here.
    """
    start = time.monotonic()
    indexed = catalogue.counts()["indexed"]
    matched: int | None = indexed
    if where is not None:
        # The index counts for the record only if it has all of it: not after another encoder was
        # activated.
        is_whole = store is not None and store.count() == indexed
        matched = store.count(where) if store is not None and is_whole else None
    kept: list[PhotoFact] = []
    with closing(_newest(catalogue, store, where, matched, limit)) as batches:
        read = 0
        for batch in batches:
            read += len(batch)
            for fact in batch:
                if len(kept) < limit and _is_apart(fact, kept, separation_km):
                    kept.append(fact)
            if len(kept) == limit and matched is not None:
                break
    return SearchResult(
        hits=tuple(SearchHit(fact, None, _distance_km(fact, center)) for fact in kept),
        matched=read if matched is None else matched,
        plan="exact",
        seconds=time.monotonic() - start,
    )


def _newest(
    catalogue: Catalogue,
    store: VectorStore | None,
    where: Filter | None,
    matched: int | None,
    limit: int,
) -> Generator[list[PhotoFact]]:
    """Photos that match, newest first, in batches."""
    if store is not None and where is not None and matched is not None and matched <= FEW:
        # Few enough to be sorted here; reading the record would pass over all the others.
        found = sorted(store.scroll(where), key=lambda hit: (*_age(hit.payload), hit.id))
        size = max(limit, 100)
        for first in range(0, len(found), size):
            ids = [hit.id for hit in found[first : first + size]]
            facts = catalogue.facts(ids)
            yield [facts[photo] for photo in ids if photo in facts]
        return
    with closing(catalogue.newest()) as batches:
        for batch in batches:
            chosen = matches(where, [_payload(fact) for fact in batch])
            yield [fact for fact, is_match in zip(batch, chosen, strict=True) if is_match]


def _age(payload: PointPayload) -> tuple[bool, float]:
    at = payload.captured_at
    return at is None, 0.0 if at is None else -at.timestamp()


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


def _recorded(hits: Sequence[Match], catalogue: Catalogue) -> list[tuple[Match, PhotoFact]]:
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


def sketch(hit: Hit) -> PhotoFact:
    """What the index alone knows of a photo: enough to score, not to show."""
    payload = hit.payload
    return PhotoFact(
        id=hit.id,
        path="",
        coordinate=payload.coordinate,
        place="",
        country=payload.country,
        captured_at=payload.captured_at,
        dataset=payload.dataset,
        author=payload.author,
        license=None,
        caption=None,
    )
