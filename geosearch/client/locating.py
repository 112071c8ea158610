"""The locator of a collection: its index, catalogue, GPS gallery and re-ranker put together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geosearch.client.background import background_of
from geosearch.encoder.gallery import GpsGallery
from geosearch.geo import Coordinate
from geosearch.localization.candidates import Neighbor
from geosearch.localization.locator import Locator, MoreSources
from geosearch.localization.pool import Pointer
from geosearch.localization.ranking import CELL_DEG, GalleryPrior
from geosearch.retrieval import sketch
from geosearch.services import Services
from geosearch.serving.opened import OpenIndex
from geosearch.store import planning
from geosearch.store.filters import Filter

POINTERS = 50
"""Coordinates of the GPS gallery that are looked at."""

FARTHEST_EF = 128
"""Points in sight of the walk to the photos least like a query: examples, not a ranking.

Measured on 50,000 noisy copies of street views (`lite`, 1,280 numbers), five photos: mean cosine
with the query 0.196, of the true ones 0.170, of all 0.478; with 512 in sight 0.177, in 2.4 times
the time.
"""

GROWTH = 0.05
"""Share of the photos by which the index may change before it is looked at again."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a locator knows of the index as a whole; takes longer than to locate a photo.

    Args:
        encoder: whose index.
        photos: how many there were.
        background: how alike unrelated ones are, None when that is not known.
        prior: how many lie where, None without a re-ranker, which alone asks for it.
    """

    encoder: str
    photos: int
    background: float | None
    prior: GalleryPrior | None


class Locators:
    """Locators over one collection; safe for threads. The index is looked at once, not each time.

    It is looked at again after it has grown or shrunk by a twentieth, and when it is another one.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._survey: Survey | None = None

    def locator(self, index: OpenIndex, where: Filter | None = None) -> Locator:
        """As `locator_of`, which it is quicker than."""
        with self._lock:  # requests that come together wait for one look
            photos, known = index.store.count(), self._survey
            if (
                known is None
                or known.encoder != index.identity
                or abs(photos - known.photos) > GROWTH * known.photos
            ):
                known = self._survey = survey(self._services, index)
        return locator_of(self._services, index, where, known)


def survey(services: Services, index: OpenIndex) -> Survey:
    """Look at the index as a whole."""
    prior = None
    if index.reranker is not None:
        prior = GalleryPrior(services.catalogue.occupied_cells(CELL_DEG))
    return Survey(index.identity, index.store.count(), background_of(index.store), prior)


def locator_of(
    services: Services, index: OpenIndex, where: Filter | None = None, known: Survey | None = None
) -> Locator:
    """What locates photos by one index, which stays open as long as the locator is used.

    With a filter only photos that match it speak, and the GPS gallery, which is not filtered, is
    left out. Without `known` the index is looked at.

    Raises:
        ConfigError: the re-ranker in the home is of another encoder or version.
        InvalidInput: it is damaged.
    """
    reranker = index.reranker
    pointers = pointers_of(None if where is not None else index.gps_gallery)
    known = known if known is not None else survey(services, index)

    def neighbors(query: NDArray[np.float32], limit: int) -> list[Neighbor]:
        found = planning.search(index.store, query, where, limit)
        return [Neighbor(sketch(hit), hit.score) for hit in found.hits]

    def learned(query: NDArray[np.float32], limit: int) -> list[Neighbor]:
        found = planning.search(index.store, query, where, limit, on_copies=False)
        return [Neighbor(sketch(hit), hit.score) for hit in found.hits]

    def farthest(query: NDArray[np.float32], limit: int) -> list[Neighbor]:
        found = planning.search(
            index.store, -query, where, limit, on_copies=False, free_ef=FARTHEST_EF
        )
        return [Neighbor(sketch(hit), -hit.score) for hit in found.hits]

    def complete(found: Sequence[Neighbor]) -> list[Neighbor]:
        facts = services.catalogue.facts([one.photo.id for one in found])
        return [replace(one, photo=facts[one.photo.id]) for one in found if one.photo.id in facts]

    @lru_cache(maxsize=4096)
    def place_name(coordinate: Coordinate) -> str:
        place = services.gazetteer.lookup([coordinate])[0]
        return "" if place is None else str(place)

    return Locator(
        neighbors,
        place_name,
        encoder=index.identity,
        background=known.background,
        reranker=reranker,
        sources=MoreSources(pointers, farthest, known.prior, complete, learned),
    )


def pointers_of(gallery: GpsGallery | None) -> Callable[[NDArray[np.float32]], Sequence[Pointer]]:
    """What a GPS gallery points at for a query (dim,): nothing where there is none."""

    def pointers(query: NDArray[np.float32]) -> Sequence[Pointer]:
        block = query[2 * len(query) // 3 :]
        if gallery is None or not block.any():
            return ()
        return [Pointer(hit.coordinate, hit.score) for hit in gallery.nearest(block, POINTERS)]

    return pointers
