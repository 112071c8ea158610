"""The methods that every report compares: blind baselines, the nearest photo, the locator.

All of one gallery share what it found: each photo is embedded and searched once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from geosearch.errors import InvalidInput, UnreadableImage
from geosearch.evaluation.baselines import best_constant, draw_places
from geosearch.evaluation.datasets import Query
from geosearch.evaluation.galleries import CatalogueGallery, Found, Gallery
from geosearch.evaluation.harness import REFERENCE, Answer, Method, Unanswered
from geosearch.evaluation.metrics import RECALL_KS
from geosearch.evaluation.settlements import Settlements
from geosearch.geo import Coordinate
from geosearch.localization.candidates import Neighbor
from geosearch.localization.locator import Locator, LocatorSettings, MoreSources
from geosearch.localization.reranker import Reranker

CONSTANT = "constant answer"
GALLERY_PRIOR = "gallery prior"
POPULATION_PRIOR = "population prior"
ORACLE = "nearest in gallery (oracle)"
LOCATOR = "locator"
LOCATOR_ALWAYS = "locator, always answers"
RERANKER = "re-ranker"
RERANKER_ALWAYS = "re-ranker, always answers"


def blind_methods(
    gallery: Gallery, *, settlements: Settlements | None = None, seed: int = 0
) -> list[Method]:
    """Baselines that do not look: the best constant, and answers by lot from two priors.

    Constant and gallery prior know the gallery's coordinates, no query. The population prior draws
    a GeoNames place of 1,000 inhabitants or more with chances in proportion to them.
    """
    methods = [
        Method(CONSTANT, lambda queries: _constant(gallery, queries, seed), gallery.name),
        Method(GALLERY_PRIOR, lambda queries: _gallery_prior(gallery, queries, seed), gallery.name),
    ]
    if settlements is not None:
        methods.append(
            Method(
                POPULATION_PRIOR,
                lambda queries: draw_places(
                    settlements.lat,
                    settlements.lon,
                    len(queries),
                    weights=settlements.population,
                    seed=seed,
                ),
                gallery.name,
            )
        )
    return methods


def gallery_methods(
    gallery: Gallery, *, settings: LocatorSettings | None = None, with_oracle: bool = True
) -> list[Method]:
    """The nearest photo, the locator (free to abstain, and not), and what the gallery allows.

    The oracle answers with the gallery photo nearest to the truth: no method that answers with
    places of the gallery can do better.
    """
    chosen = settings if settings is not None else LocatorSettings()
    always = LocatorSettings(
        neighbors=chosen.neighbors,
        min_score=chosen.min_score,
        max_spread_km=None,
        evidence=chosen.evidence,
        floor_km=chosen.floor_km,
        density=chosen.density,
    )
    limit = max(chosen.neighbors, *RECALL_KS)
    memory = _Memory(gallery, limit)

    def located(
        settings: LocatorSettings, background: float | None
    ) -> Callable[..., Iterator[Answer]]:
        return lambda queries: _located(memory, queries, settings, background, gallery.encoder)

    methods = [
        Method(REFERENCE, lambda queries: _nearest(memory.stream(queries)), gallery.name, memory),
        Method(LOCATOR_ALWAYS, located(always, None), gallery.name),
        Method(LOCATOR, located(chosen, gallery.background), gallery.name),
    ]
    if with_oracle:
        methods.append(Method(ORACLE, lambda queries: _oracle(gallery, queries), gallery.name))
    return methods


def reranked_methods(
    gallery: CatalogueGallery, reranker: Reranker, sources: MoreSources
) -> list[Method]:
    """The locator with a trained re-ranker, free to abstain and not.

    Args:
        gallery: of the encoder that the re-ranker is for.
        reranker: trained on photos that should not be among those asked.
        sources: GPS gallery and prior, as `geosearch locate` has them.
    """

    def located(
        settings: LocatorSettings, background: float | None
    ) -> Callable[..., Iterator[Answer]]:
        return lambda queries: _reranked(gallery, queries, settings, background, reranker, sources)

    return [
        Method(RERANKER_ALWAYS, located(LocatorSettings(max_spread_km=None), None), gallery.name),
        Method(RERANKER, located(LocatorSettings(), gallery.background), gallery.name),
    ]


def _reranked(
    gallery: CatalogueGallery,
    queries: Sequence[Query],
    settings: LocatorSettings,
    background: float | None,
    reranker: Reranker,
    sources: MoreSources,
) -> Iterator[Answer]:
    for query in queries:
        try:
            vector = gallery.vector(query)
        except (UnreadableImage, InvalidInput) as error:
            yield Unanswered(str(error))
            continue
        locator = Locator(
            partial(gallery.near, query),
            lambda _: "",
            encoder=gallery.encoder,
            settings=settings,
            background=background,
            reranker=reranker,
            sources=replace(sources, learned=partial(gallery.near, query, on_copies=False)),
        )
        yield locator.locate(vector, image=query.id)


class _Memory:
    """What the gallery found for each query; asked once, in whatever order methods come."""

    def __init__(self, gallery: Gallery, limit: int) -> None:
        self._gallery, self._limit = gallery, limit
        self._found: dict[str, Found] = {}

    def stream(self, queries: Sequence[Query]) -> Iterator[tuple[Query, Found]]:
        new = [query for query in queries if query.id not in self._found]
        fresh = self._gallery.find(new, self._limit)
        for query in queries:
            if query.id not in self._found:
                self._found[query.id] = next(fresh)
            yield query, self._found[query.id]

    def __call__(self, queries: Sequence[Query]) -> list[Found]:
        return [found for _, found in self.stream(queries)]


def _nearest(asked: Iterator[tuple[Query, Found]]) -> Iterator[Answer]:
    for _, found in asked:
        placed = (neighbor.photo.coordinate for neighbor in found.neighbors)
        answer = next((place for place in placed if place is not None), None)
        yield answer if answer is not None else Unanswered(found.problem or "an empty gallery")


def _located(
    memory: _Memory,
    queries: Sequence[Query],
    settings: LocatorSettings,
    background: float | None,
    encoder: str,
) -> Iterator[Answer]:
    """The locator on what was found, so that no photo is searched for twice."""
    nothing = np.zeros(1, dtype=np.float32)  # neighbours are known; the vector is not looked at
    for query, found in memory.stream(queries):
        if found.problem is not None:
            yield Unanswered(found.problem)
            continue

        def known(
            _: NDArray[np.float32], limit: int, neighbors: tuple[Neighbor, ...] = found.neighbors
        ) -> Sequence[Neighbor]:
            return neighbors[:limit]

        locator = Locator(
            known, lambda _: "", encoder=encoder, settings=settings, background=background
        )
        yield locator.locate(nothing, image=query.id)


def _constant(gallery: Gallery, queries: Sequence[Query], seed: int) -> Iterator[Coordinate]:
    best: dict[int, Coordinate] = {}
    for query in queries:
        lat, lon, number = gallery.coordinates(query)
        if number not in best:
            best[number] = best_constant(lat, lon, seed=seed)
        yield best[number]


def _gallery_prior(gallery: Gallery, queries: Sequence[Query], seed: int) -> Iterator[Coordinate]:
    for at, query in enumerate(queries):
        lat, lon, _ = gallery.coordinates(query)
        yield draw_places(lat, lon, 1, seed=seed * len(queries) + at)[0]


def _oracle(gallery: Gallery, queries: Sequence[Query]) -> Sequence[Coordinate | None]:
    nearest = gallery.nearest_coordinates(queries)
    return nearest if nearest is not None else [None] * len(queries)
