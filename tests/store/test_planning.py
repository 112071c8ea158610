from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.areas import BoundingBox, Circle
from geosearch.errors import StoreError
from geosearch.geo import Coordinate
from geosearch.store import edge as edge_module
from geosearch.store import planning
from geosearch.store.base import (
    Effort,
    Hit,
    Match,
    PointPayload,
    SearchMode,
    VectorPoint,
    VectorStore,
)
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import And, Country, Dataset, Filter, Not, Or, Within
from geosearch.store.layout import Quantization, VectorLayout
from geosearch.store.manifest import MANIFEST

N, DIM, CLUSTERS = 6000, 32, 60


@dataclass
class Spy:
    """A store that notes how it was searched."""

    inner: VectorStore
    asked: list[SearchMode] = field(default_factory=list)
    walks_return: int | None = None
    payloads_read: int = 0
    dim: int = DIM

    def count(self, where: Filter | None = None) -> int:
        return self.inner.count(where)

    def query(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Hit]:
        mode = how.get("mode", SearchMode.HNSW)
        self.asked.append(mode)
        hits = self.inner.query(vector, where, limit, **how)
        self.payloads_read += len(hits)
        return hits if mode is SearchMode.EXACT else hits[: self.walks_return]

    def rank(
        self,
        vector: NDArray[np.float32],
        where: Filter | None = None,
        limit: int = 10,
        **how: Unpack[Effort],
    ) -> list[Match]:
        self.asked.append(how.get("mode", SearchMode.HNSW))
        return self.inner.rank(vector, where, limit, **how)


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
    store = EdgeStore(
        tmp_path_factory.mktemp("planning") / "vectors",
        dim=DIM,
        identity="test",
        layout=VectorLayout(scan_up_to=100),  # else all 6,000 would be scanned
    )
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
    assert spy.asked == [SearchMode.HNSW, SearchMode.SCAN, SearchMode.SCAN]


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
    ("matched", "where", "limit", "mode"),
    [
        (0, Country("SE"), 10, SearchMode.EXACT),
        (10 * planning.SCAN_FROM - 1, Country("SE"), 10, SearchMode.EXACT),
        (10 * planning.SCAN_FROM, Country("SE"), 10, SearchMode.SCAN),
        (10 * planning.SCAN_FROM, Country("SE"), 100, SearchMode.EXACT),
        (planning.EXACT_UP_TO, Country("SE"), 10, SearchMode.SCAN),
        (planning.EXACT_UP_TO, None, 10, SearchMode.SCAN),
        (planning.EXACT_UP_TO + 1, Country("SE"), 10, SearchMode.ACORN),
        (planning.EXACT_UP_TO + 1, None, 10, SearchMode.HNSW),
        (planning.EXACT_UP_TO * 5, Country("SE"), planning.EXACT_UP_TO, SearchMode.EXACT),
    ],
)
def test_the_plan_follows_the_number_of_matches(
    matched: int, where: Filter | None, limit: int, mode: SearchMode
) -> None:
    assert planning.choose(matched, where, limit=limit)[0] is mode


def test_a_query_unlike_anything_stored_is_compared_with_the_vectors_of_few_matches() -> None:
    assert planning.choose(1000, None, limit=10, on_copies=False) == (SearchMode.EXACT, None)


LUND = Coordinate(55.7, 13.2)


@pytest.mark.parametrize(
    ("where", "is_scannable"),
    [
        (None, True),
        (Dataset("a"), True),
        (Within(Circle(LUND, 3000.0)), True),
        (Within(Circle(Coordinate(0.0, 180.0), 9000.0)), True),
        (And((Within(Circle(LUND, 3000.0)), Not(Country("SE")))), True),
        (Within(Circle(LUND, 4000.0)), False),  # holds the north pole
        (Within(Circle(Coordinate(-89.0, 0.0), 200.0)), False),
        (Within(BoundingBox(10.0, 50.0, 20.0, 60.0)), False),
        (Or((Country("SE"), Within(BoundingBox(10.0, 50.0, 20.0, 60.0)))), False),
        (Not(Within(Circle(LUND, 4000.0))), False),
    ],
)
def test_only_what_the_engine_does_not_take_for_much_is_scanned(
    where: Filter | None, is_scannable: bool
) -> None:
    assert planning.is_scannable(where) is is_scannable


def test_the_engine_scans_what_few_points_match_however_many_there_are(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_module, "SCAN_UP_TO", N // 2)
    # Without copies nothing but a walk can lose a hit.
    layout = VectorLayout(Quantization.NONE, scan_up_to=N // 2)
    store = EdgeStore(tmp_path / "vectors", dim=DIM, identity="test", layout=layout)
    rng = np.random.default_rng(1)
    payloads = [
        PointPayload(Coordinate(lat, lon))
        for lat, lon in rng.uniform([-60, -180], [60, 180], (N, 2)).tolist()
    ]
    store.upsert([VectorPoint(UUID(int=n), collection.vectors[n], payloads[n]) for n in range(N)])
    store.optimize()
    for n in range(0, N, 100):
        where = Within(Circle(payloads[n].coordinate, 3300.0))
        if not planning.is_scannable(where):
            continue
        assert 200 < store.count(where) < N // 4
        query = collection.vectors[(7 * n) % N]
        truth = store.rank(query, where, mode=SearchMode.EXACT)
        assert store.rank(query, where, mode=SearchMode.SCAN, ef=10) == truth
    store.close()


def test_ranking_plans_as_searching_does_and_reads_no_payload(collection: Collection) -> None:
    spy = Spy(collection.store)
    for where in (None, Within(Circle(collection.payloads[0].coordinate, 1.0))):
        hits = planning.search(collection.store, collection.vectors[0], where)
        ranked = planning.rank(spy, collection.vectors[0], where)  # type: ignore[arg-type]
        assert (ranked.matched, ranked.plan) == (hits.matched, hits.plan)
        assert ranked.hits == tuple(Match(hit.id, hit.score) for hit in hits.hits)
    assert spy.payloads_read == 0


@pytest.mark.parametrize("where", [Country("SE"), None])
def test_a_walk_keeps_more_in_sight_than_it_returns(where: Filter | None) -> None:
    for limit in (1, 100, 1000, 3000):
        mode, ef = planning.choose(10**7, where, limit=limit)
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


N_POSITIVE = 3000


@pytest.fixture
def positive(tmp_path: Path) -> EdgeStore:
    """Features that are never negative: their copies hold no negative value."""
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.normal(size=(N_POSITIVE, 1024))).astype(np.float32)  # copies from 10 MB on
    store = EdgeStore(tmp_path / "vectors", dim=1024, identity="test")
    store.upsert(
        [VectorPoint(UUID(int=n), v, PointPayload(Coordinate(0, 0))) for n, v in enumerate(vectors)]
    )
    store.optimize()
    return store


def negative_recall(store: EdgeStore, *, on_copies: bool) -> float:
    """Recall@10 of negatives, which copies compare wrongly."""
    ids = [UUID(int=n) for n in range(N_POSITIVE)]
    stored = store.vectors(ids)
    vectors = np.stack([stored[one] for one in ids])
    found = 0
    for query in -vectors[:20]:
        truth = set(np.argsort(-(vectors @ query))[:10].tolist())
        hits = planning.search(store, query, None, 10, on_copies=on_copies).hits
        found += len({hit.id.int for hit in hits} & truth)
    return found / 200


def test_a_query_unlike_anything_stored_is_compared_with_the_vectors_and_not_with_copies(
    positive: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for up_to in (planning.EXACT_UP_TO, 100):  # scanned, and walked where there are many more
        monkeypatch.setattr(planning, "EXACT_UP_TO", up_to)
        assert negative_recall(positive, on_copies=False) > 0.8
        assert negative_recall(positive, on_copies=True) < 0.5
    positive.close()


def test_a_directory_that_does_not_say_that_it_scans_is_compared_exactly(
    positive: EdgeStore,
) -> None:
    positive.close()
    path = positive.directory / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["scans_up_to"]
    path.write_text(json.dumps(manifest))
    store = EdgeStore(positive.directory, dim=1024, identity="test")
    assert negative_recall(store, on_copies=True) == 1.0
    store.close()
