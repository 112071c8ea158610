from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.areas import Circle
from geosearch.errors import StoreError
from geosearch.geo import Coordinate
from geosearch.store import planning
from geosearch.store.base import Hit, PointPayload, SearchMode, VectorPoint, VectorStore
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import Country, Dataset, Filter, Not, Within

N, DIM, CLUSTERS = 6000, 32, 60


@dataclass
class Spy:
    """A store that notes how it was searched."""

    inner: VectorStore
    asked: list[SearchMode] = field(default_factory=list)
    walks_return: int | None = None
    dim: int = DIM

    def count(self, where: Filter | None = None) -> int:
        return self.inner.count(where)

    def query(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        *,
        mode: SearchMode = SearchMode.HNSW,
        ef: int | None = None,
        on_copies: bool = True,
    ) -> list[Hit]:
        self.asked.append(mode)
        hits = self.inner.query(vector, where, limit, mode=mode, ef=ef, on_copies=on_copies)
        return hits if mode is SearchMode.EXACT else hits[: self.walks_return]


@dataclass(frozen=True)
class Collection:
    store: EdgeStore
    vectors: NDArray[np.float32]
    payloads: list[PointPayload]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """Clusters that each lie in one place, indexed: the case in which walks lose most."""
    rng = np.random.default_rng(0)
    centers, clusters = rng.normal(size=(CLUSTERS, DIM)), rng.integers(0, CLUSTERS, N)
    vectors = centers[clusters] + 0.3 * rng.normal(size=(N, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    homes = rng.uniform([-60, -180], [60, 180], (CLUSTERS, 2))
    payloads = [
        PointPayload(Coordinate(*homes[cluster]), country=("SE", "NO")[cluster % 2])
        for cluster in clusters
    ]
    store = EdgeStore(tmp_path_factory.mktemp("planning") / "vectors", dim=DIM, identity="test")
    store.upsert([VectorPoint(UUID(int=n), vectors[n], payloads[n]) for n in range(N)])
    store.optimize()
    yield Collection(store, vectors, payloads)
    store.close()


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes 6,000 points enough for walking over the graph."""
    monkeypatch.setattr(planning, "EXACT_UP_TO", 500)


def nearest(collection: Collection, vector: NDArray[np.float32], inside: list[bool]) -> list[int]:
    scores = np.where(inside, collection.vectors @ vector, -np.inf)
    return [int(n) for n in np.argsort(-scores)[: min(10, sum(inside))]]


def norwegian(collection: Collection) -> NDArray[np.float32]:
    """The vector of a photo in Norway."""
    payloads = collection.payloads
    return collection.vectors[next(n for n, p in enumerate(payloads) if p.country == "NO")]


def recall(collection: Collection, where: Filter | None, inside: list[bool]) -> float:
    shares = []
    for vector in collection.vectors[::200]:
        truth = nearest(collection, vector, inside)
        found = planning.search(collection.store, vector, where, 10)
        assert len(found.hits) == len(truth)
        shares.append(len({hit.id.int for hit in found.hits} & set(truth)) / len(truth))
    return float(np.mean(shares))


def test_few_matches_are_compared_one_by_one(collection: Collection) -> None:
    where = Within(Circle(collection.payloads[0].coordinate, 1.0))
    found = planning.search(collection.store, collection.vectors[0], where, 10)
    assert found.plan is SearchMode.EXACT
    assert found.matched == collection.store.count(where)
    assert found.hits[0].id.int == 0


@pytest.mark.usefixtures("walks")
def test_many_matches_are_walked_with_acorn_and_all_points_without_it(
    collection: Collection,
) -> None:
    spy = Spy(collection.store)
    # A Norwegian's neighbours are Norwegian, so none of the nearest of all points is a hit.
    query = norwegian(collection)
    assert planning.search(spy, query, Country("SE")).plan is SearchMode.ACORN  # type: ignore[arg-type]
    assert planning.search(spy, query).plan is SearchMode.HNSW  # type: ignore[arg-type]
    assert spy.asked == [SearchMode.HNSW, SearchMode.ACORN, SearchMode.HNSW]


def test_where_much_matches_a_walk_of_all_points_is_tried_before_comparing(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "FREE_FROM", 1000)
    spy = Spy(collection.store)
    swedish = next(n for n, payload in enumerate(collection.payloads) if payload.country == "SE")
    found = planning.search(spy, collection.vectors[swedish], Country("SE"), 10)  # type: ignore[arg-type]
    assert (found.plan, spy.asked) == (SearchMode.HNSW, [SearchMode.HNSW])
    inside = [payload.country == "SE" for payload in collection.payloads]
    truth = nearest(collection, collection.vectors[swedish], inside)
    assert [hit.id.int for hit in found.hits] == truth
    # None of a Norwegian's neighbours matches, and a long list would need too wide a walk.
    spy.asked.clear()
    planning.search(spy, norwegian(collection), Country("SE"), 10)  # type: ignore[arg-type]
    planning.search(spy, norwegian(collection), Country("SE"), 100)  # type: ignore[arg-type]
    assert spy.asked == [SearchMode.HNSW, SearchMode.EXACT, SearchMode.EXACT]


@pytest.mark.usefixtures("walks")
def test_no_filtered_walk_is_made_where_the_nearest_of_all_points_match(
    collection: Collection,
) -> None:
    swedish = next(n for n, payload in enumerate(collection.payloads) if payload.country == "SE")
    spy = Spy(collection.store)
    found = planning.search(spy, collection.vectors[swedish], Country("SE"), 10)  # type: ignore[arg-type]
    assert spy.asked == [SearchMode.HNSW]
    assert (found.plan, len(found.hits)) == (SearchMode.HNSW, 10)
    inside = [payload.country == "SE" for payload in collection.payloads]
    truth = nearest(collection, collection.vectors[swedish], inside)
    assert [hit.id.int for hit in found.hits] == truth


@pytest.mark.usefixtures("walks")
def test_a_walk_that_returns_too_few_is_followed_by_an_exact_search(collection: Collection) -> None:
    spy = Spy(collection.store, walks_return=3)
    query = norwegian(collection)
    found = planning.search(spy, query, Country("SE"), 10)  # type: ignore[arg-type]
    assert spy.asked == [SearchMode.HNSW, SearchMode.ACORN, SearchMode.EXACT]
    assert found.plan is SearchMode.EXACT
    inside = [payload.country == "SE" for payload in collection.payloads]
    assert [hit.id.int for hit in found.hits] == nearest(collection, query, inside)


@pytest.mark.usefixtures("walks")
@pytest.mark.parametrize("radius_km", [100.0, 1000.0, 3000.0, 6000.0, 10_000.0])
def test_searches_under_a_circle_lose_nothing_that_counts(
    collection: Collection, radius_km: float
) -> None:
    circle = Circle(collection.payloads[7].coordinate, radius_km)
    inside = circle.contains(
        [payload.coordinate.lat for payload in collection.payloads],
        [payload.coordinate.lon for payload in collection.payloads],
    ).tolist()
    assert recall(collection, Within(circle), inside) >= 0.99


@pytest.mark.usefixtures("walks")
def test_searches_without_a_filter_lose_nothing_that_counts(collection: Collection) -> None:
    assert recall(collection, None, [True] * N) >= 0.99


@pytest.mark.usefixtures("walks")
def test_searches_over_what_is_not_indexed_yet_are_right(collection: Collection) -> None:
    # Written after optimize(), so the graph knows nothing of them.
    new = [
        VectorPoint(
            UUID(int=N + n), collection.vectors[n], PointPayload(Coordinate(0, 0), dataset="new")
        )
        for n in range(600)
    ]
    collection.store.upsert(new)
    try:
        found = planning.search(collection.store, new[5].vector, Dataset("new"), 600)
        assert (found.matched, len(found.hits)) == (600, 600)
        assert found.hits[0].id == new[5].id
    finally:
        collection.store.delete([point.id for point in new])


def test_a_filter_that_matches_nothing_gives_no_hits(collection: Collection) -> None:
    found = planning.search(collection.store, collection.vectors[0], Dataset("none"), 10)
    assert (found.hits, found.matched) == ((), 0)


def test_fewer_matches_than_wanted_are_all_returned(collection: Collection) -> None:
    where = Within(Circle(collection.payloads[0].coordinate, 1.0))
    found = planning.search(collection.store, collection.vectors[0], where, 5000)
    assert len(found.hits) == found.matched > 0


def test_every_point_can_be_asked_for(collection: Collection) -> None:
    found = planning.search(collection.store, collection.vectors[0], Not(Country("DK")), 10_000)
    assert len(found.hits) == found.matched == N


def test_an_unusable_vector_is_refused(collection: Collection) -> None:
    with pytest.raises(StoreError, match="query"):
        planning.search(collection.store, np.zeros(DIM, np.float32), None, 10)


@pytest.mark.parametrize(
    ("matched", "is_filtered", "limit", "mode"),
    [
        (0, True, 10, SearchMode.EXACT),
        (planning.EXACT_UP_TO, True, 10, SearchMode.EXACT),
        (planning.EXACT_UP_TO, False, 10, SearchMode.EXACT),
        (planning.EXACT_UP_TO + 1, True, 10, SearchMode.ACORN),
        (planning.EXACT_UP_TO + 1, False, 10, SearchMode.HNSW),
        (planning.EXACT_UP_TO * 5, True, planning.EXACT_UP_TO, SearchMode.EXACT),
    ],
)
def test_the_plan_follows_the_number_of_matches(
    matched: int, is_filtered: bool, limit: int, mode: SearchMode
) -> None:
    assert planning.choose(matched, is_filtered=is_filtered, limit=limit)[0] is mode


@pytest.mark.parametrize("is_filtered", [True, False])
def test_a_walk_keeps_more_in_sight_than_it_returns(is_filtered: bool) -> None:
    for limit in (1, 100, 1000, 3000):
        mode, ef = planning.choose(10**7, is_filtered=is_filtered, limit=limit)
        assert mode is not SearchMode.EXACT
        assert ef is not None
        assert ef >= 2 * limit


@pytest.mark.usefixtures("walks")
def test_a_walk_to_examples_keeps_as_many_in_sight_as_it_is_told_and_never_too_few(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    query = collection.store.query

    def watched(*arguments: Any, ef: int | None = None, **options: Any) -> list[Hit]:
        asked.append(ef)
        return query(*arguments, ef=ef, **options)

    monkeypatch.setattr(collection.store, "query", watched)
    found = [
        planning.search(collection.store, collection.vectors[0], None, limit, free_ef=32)
        for limit in (5, 50)
    ]
    assert asked == [32, 100]
    assert [len(one.hits) for one in found] == [5, 50]


def test_a_query_unlike_anything_stored_is_compared_with_the_vectors_and_not_with_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that are never negative, and the negative of one: copies hold no such value."""
    monkeypatch.setattr(planning, "EXACT_UP_TO", 100)
    rng = np.random.default_rng(0)
    dim = 1024  # the engine makes copies of 10 MB and more
    vectors = np.abs(rng.normal(size=(3000, dim))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = EdgeStore(tmp_path / "vectors", dim=dim, identity="test")
    store.upsert(
        [VectorPoint(UUID(int=n), v, PointPayload(Coordinate(0, 0))) for n, v in enumerate(vectors)]
    )
    store.optimize()
    shares = {True: 0.0, False: 0.0}
    for query in -vectors[:20]:
        truth = set(np.argsort(-(vectors @ query))[:10].tolist())
        for on_copies in shares:
            found = planning.search(store, query, None, 10, on_copies=on_copies).hits
            shares[on_copies] += len({hit.id.int for hit in found} & truth) / 200
    store.close()
    assert shares[False] > 0.8
    assert shares[True] < 0.5
