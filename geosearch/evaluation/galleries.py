"""What queries are compared with: features in memory under a split, or the catalogue itself.

A gallery never shows a query its own photo, nor what its split holds out; with `without_author`
neither the photos of the query's photographer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geosearch import retrieval
from geosearch.catalogue.repository import Catalogue
from geosearch.errors import InvalidInput, UnreadableImage
from geosearch.evaluation.datasets import Query
from geosearch.evaluation.features import FeatureSet
from geosearch.geo import Coordinate, haversine_km, unit_vectors
from geosearch.localization.background import background_score
from geosearch.localization.candidates import Neighbor
from geosearch.records import PhotoFact, photo_id
from geosearch.store import planning
from geosearch.store.base import VectorStore
from geosearch.store.filters import Author, Filter, Not, all_of

AS_PUBLISHED = "as published"
PHOTOGRAPHER_FILTERED = "photographer filtered"

UNNAMED = "not named by the features"
"""What a report says of the encoder where features come without its identity."""

Vectors: TypeAlias = dict[str, tuple[str, NDArray[np.float32]]]
"""Query to the sha256 of its file and its fused vector."""

SAMPLE = 4096
"""Photos of a catalogue from whose coordinates the constant answer and the prior are made."""

BACKGROUND_SAMPLE = 512
_CHUNK = 512  # queries compared with a gallery at once


@dataclass(frozen=True, slots=True)
class Found:
    """The photos nearest to one query, best first, or why it could not be asked."""

    neighbors: tuple[Neighbor, ...]
    problem: str | None = None


class Gallery(Protocol):
    """Labelled photos that queries are compared with.

    `name` says which photos are left out, `background` how alike unrelated photos are.
    """

    name: str
    encoder: str
    size: int
    background: float | None

    def find(self, queries: Sequence[Query], limit: int) -> Iterator[Found]:
        """The `limit` photos most like each query, in the order of the queries."""

    def coordinates(self, query: Query) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Latitudes and longitudes of what the query may find, and a number for that set."""

    def nearest_coordinates(self, queries: Sequence[Query]) -> list[Coordinate] | None:
        """What lies nearest to each truth in the gallery; None where that is not known."""


class FeatureGallery:
    """Exact cosine neighbours among features in memory, whole folds held out.

    Args:
        features: gallery and queries alike.
        fold: (n,) fold of each row; a query finds no row of its own fold.
        without_author: nor a row of its photographer.
        seed: of the sample that `background` is made from.

    Raises:
        InvalidInput: the photographers are to be left out and the features name none.
    """

    def __init__(
        self,
        features: FeatureSet,
        fold: NDArray[np.int64],
        *,
        without_author: bool = False,
        seed: int = 0,
    ) -> None:
        if without_author and features.author is None:
            raise InvalidInput(
                f"the features {features.name} name no photographers; the gallery cannot be "
                "filtered by them"
            )
        self.name = PHOTOGRAPHER_FILTERED if without_author else AS_PUBLISHED
        self.encoder = features.encoder or UNNAMED
        self.size = len(features)
        self._features, self._fold, self._without_author = features, fold, without_author
        sample = np.random.default_rng(seed).permutation(len(features))[:BACKGROUND_SAMPLE]
        self.background = background_score(
            features.image_features[sample], features.lat[sample], features.lon[sample], seed=seed
        )
        self._facts = [
            PhotoFact(
                id=photo_id(str(row)),
                path=f"{features.name}:{row}",
                coordinate=Coordinate(lat, lon),
                place=str(features.place[row]),
                **dict.fromkeys(
                    ("country", "captured_at", "dataset", "author", "license", "caption")
                ),
            )
            for row, (lat, lon) in enumerate(
                zip(features.lat.tolist(), features.lon.tolist(), strict=True)
            )
        ]

    def find(self, queries: Sequence[Query], limit: int) -> Iterator[Found]:
        """The `limit` rows most like each query; views of one query are averaged first."""
        features = self._features.image_features
        for start in range(0, len(queries), _CHUNK):
            chunk = queries[start : start + _CHUNK]
            asked = np.stack([features[list(query.rows)].mean(axis=0) for query in chunk])
            asked /= np.linalg.norm(asked, axis=1, keepdims=True)
            scores = asked @ features.T  # (chunk, n)
            for query, row in zip(chunk, scores, strict=True):
                row[self._hidden(query)] = -np.inf
                yield Found(tuple(self._best(row, limit)))

    def _best(self, scores: NDArray[np.float32], limit: int) -> Iterator[Neighbor]:
        count = min(limit, int(np.isfinite(scores).sum()))
        if not count:
            return
        best = np.argpartition(-scores, count - 1)[:count]
        for row in best[np.argsort(-scores[best], kind="stable")]:
            yield Neighbor(self._facts[row], float(scores[row]))

    def _hidden(self, query: Query) -> NDArray[np.bool_]:
        hidden = self._fold == self._fold[query.rows[0]]
        author = self._features.author
        if self._without_author and author is not None and query.author is not None:
            hidden = hidden | (author == query.author)
        return np.asarray(hidden, dtype=np.bool_)

    def coordinates(self, query: Query) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Those outside the query's fold; numbered by the fold."""
        fold = int(self._fold[query.rows[0]])
        visible = self._fold != fold
        return self._features.lat[visible], self._features.lon[visible], fold

    def nearest_coordinates(self, queries: Sequence[Query]) -> list[Coordinate] | None:
        """The nearest row outside the query's fold, photographers included."""
        nearest: dict[int, Coordinate] = {}
        by_fold: dict[int, list[int]] = {}
        for at, query in enumerate(queries):
            by_fold.setdefault(int(self._fold[query.rows[0]]), []).append(at)
        for fold, members in by_fold.items():
            visible = np.flatnonzero(self._fold != fold)
            tree = cKDTree(unit_vectors(self._features.lat[visible], self._features.lon[visible]))
            truths = [queries[at].coordinate for at in members]
            _, rows = tree.query(unit_vectors([t.lat for t in truths], [t.lon for t in truths]))
            for at, row in zip(members, visible[rows], strict=True):
                where = self._facts[row].coordinate
                assert where is not None  # every row of a feature set has one
                nearest[at] = where
        return [nearest[at] for at in range(len(queries))]


class CatalogueGallery:
    """The photos of the catalogue, found as `GeoSearch.locate` finds them.

    Args:
        store: the index.
        catalogue: the record.
        embed: bytes of an image to its fused vector; each query is embedded once.
        encoder: identity of the encoder.
        where: only photos that match may be found.
        without_author: photos of the query's photographer may not.
        vectors: vectors of queries that another gallery has embedded, and a place for new ones.
    """

    def __init__(
        self,
        store: VectorStore,
        catalogue: Catalogue,
        embed: Callable[[bytes], NDArray[np.float32]],
        *,
        encoder: str,
        where: Filter | None = None,
        without_author: bool = False,
        vectors: Vectors | None = None,
    ) -> None:
        self.name = PHOTOGRAPHER_FILTERED if without_author else AS_PUBLISHED
        self.encoder = encoder
        self._store, self._catalogue, self._embed = store, catalogue, embed
        self._where, self._without_author = where, without_author
        self._vectors: Vectors = {} if vectors is None else vectors
        self.size = store.count(where)
        sample = list(itertools.islice(store.scroll(batch=BACKGROUND_SAMPLE), SAMPLE))
        places = [hit.payload.coordinate for hit in sample]
        self._lat = np.array([place.lat for place in places])
        self._lon = np.array([place.lon for place in places])
        # As the client does: ids are hashes of content, so the first of them are a sample.
        few = [hit.id for hit in sample[:BACKGROUND_SAMPLE]]
        stored = store.vectors(few) if few else {}
        self.background = (
            background_score(
                np.stack([stored[name] for name in few]),
                self._lat[: len(few)],
                self._lon[: len(few)],
            )
            if len(few) > 1
            else None
        )

    def find(self, queries: Sequence[Query], limit: int) -> Iterator[Found]:
        """The nearest photos of the catalogue but the query's own; a bad file says what is bad."""
        for query in queries:
            try:
                vector = self.vector(query)
            except (UnreadableImage, InvalidInput) as error:
                yield Found((), str(error))
                continue
            found = retrieval.find_similar(
                self._store,
                self._catalogue,
                vector,
                where=self._visible(query),
                limit=limit + 1,
                is_photo=True,
            )
            own = self._own_id(query)
            yield Found(
                tuple(
                    Neighbor(hit.photo, hit.score)
                    for hit in found.hits
                    if hit.score is not None and hit.photo.id != own
                )[:limit]
            )

    def near(
        self, query: Query, vector: NDArray[np.float32], limit: int, *, on_copies: bool = True
    ) -> list[Neighbor]:
        """What a query may find nearest to any vector (dim,), as the index alone knows it.

        `on_copies` as in `store.planning.search`.
        """
        found = planning.search(
            self._store, vector, self._visible(query), limit + 1, on_copies=on_copies
        )
        own = self._own_id(query)
        return [Neighbor(retrieval.sketch(hit), hit.score) for hit in found.hits if hit.id != own][
            :limit
        ]

    def _visible(self, query: Query) -> Filter | None:
        author = query.author if self._without_author else None
        return all_of(self._where, None if author is None else Not(Author(author)))

    def _own_id(self, query: Query) -> UUID:
        return photo_id(self._vectors[query.id][0])

    def vector(self, query: Query) -> NDArray[np.float32]:
        """The fused vector (dim,) of a query, embedded once.

        Raises:
            UnreadableImage: its file cannot be read as an image.
            InvalidInput: it has none.
        """
        if query.id not in self._vectors:
            if query.image is None:
                raise InvalidInput(f"{query.id} has no image file; evaluate it from features")
            try:
                data = query.image.read_bytes()
            except OSError as error:
                raise UnreadableImage(
                    f"{query.image} cannot be read: {error.strerror or error}"
                ) from error
            self._vectors[query.id] = (sha256(data).hexdigest(), self._embed(data))
        return self._vectors[query.id][1]

    def coordinates(self, query: Query) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """Of a sample of the catalogue, the same for every query."""
        return self._lat, self._lon, 0

    def nearest_coordinates(self, queries: Sequence[Query]) -> list[Coordinate] | None:
        """Not known: a catalogue is too large to look through for each query."""
        return None


def distances_km(
    queries: Sequence[Query], found: Sequence[Found], limit: int
) -> NDArray[np.float64]:
    """From each truth to the photos found, (n, limit), infinite where there are fewer."""
    distances = np.full((len(queries), limit), np.inf)
    for row, (query, one) in enumerate(zip(queries, found, strict=True)):
        places = [n.photo.coordinate for n in one.neighbors[:limit]]
        known = [place for place in places if place is not None]
        if known:
            distances[row, : len(known)] = haversine_km(
                query.coordinate.lat,
                query.coordinate.lon,
                [place.lat for place in known],
                [place.lon for place in known],
            )
    return distances
