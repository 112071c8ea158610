from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.areas import Circle
from geosearch.encoder.fusion import fuse
from geosearch.errors import StoreError
from geosearch.geo import Coordinate
from geosearch.services import Services
from geosearch.settings import Settings
from geosearch.store import planning
from geosearch.store.base import Match, PointPayload, SearchMode, VectorPoint, VectorStore
from geosearch.store.edge import EdgeStore
from geosearch.store.filters import Within
from geosearch.store.folding import FoldedStore, folds

WIDTH = 8
N = 200

Row = NDArray[np.float32]


def drawn(rng: np.random.Generator, n: int) -> Row:
    return rng.normal(size=(n, WIDTH)).astype(np.float32)


def points() -> list[VectorPoint]:
    """Photos of an encoder without heads: three alike blocks, places all round."""
    rng = np.random.default_rng(0)
    block = drawn(rng, N)
    vectors = fuse(visual=block, text_aligned=block, location_aligned=block)
    return [
        VectorPoint(UUID(int=at), vector, PointPayload(Coordinate(at % 80, at % 170)))
        for at, vector in enumerate(vectors)
    ]


def queries() -> dict[str, Row]:
    rng = np.random.default_rng(1)
    a, b, c = (drawn(rng, 1) for _ in range(3))
    return {
        "a photo": fuse(visual=a, text_aligned=a, location_aligned=a)[0],
        "words": fuse(visual=a, text_aligned=a)[0],
        "one block": fuse(text_aligned=a)[0],
        "a mix of any length": 7.0 * fuse(visual=a, text_aligned=b, location_aligned=c)[0],
        "the negative of a photo": -fuse(visual=b, text_aligned=b, location_aligned=b)[0],
    }


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[VectorStore]:
    with closing(EdgeStore(tmp_path / "whole", dim=3 * WIDTH, identity="test")) as store:
        store.upsert(points())
        yield store


@pytest.fixture
def folded(tmp_path: Path) -> Iterator[VectorStore]:
    with closing(FoldedStore(EdgeStore(tmp_path / "folded", dim=WIDTH, identity="test"))) as store:
        store.upsert(points())
        yield store


@pytest.mark.parametrize("name", queries())
def test_a_folded_store_answers_as_one_that_keeps_every_block(
    whole: VectorStore, folded: VectorStore, name: str
) -> None:
    query = queries()[name]
    for where in (None, Within(Circle(Coordinate(40, 90), 5000))):
        expected = whole.query(query, where, 20, mode=SearchMode.EXACT)
        found = folded.query(query, where, 20, mode=SearchMode.EXACT)
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        np.testing.assert_allclose(
            [hit.score for hit in found], [hit.score for hit in expected], atol=1e-6
        )
        assert folded.rank(query, where, 20, mode=SearchMode.EXACT) == [
            Match(hit.id, hit.score) for hit in found
        ]
        planned = planning.search(folded, query, where, 20)
        assert [hit.id for hit in planned.hits] == [hit.id for hit in expected]
        assert planned.matched == whole.count(where)


def test_vectors_come_back_in_full_length(whole: VectorStore, folded: VectorStore) -> None:
    ids = [UUID(int=3), UUID(int=150)]
    expected, found = whole.vectors(ids), folded.vectors(ids)
    assert found.keys() == expected.keys()
    for one in ids:
        assert found[one].shape == (3 * WIDTH,)
        np.testing.assert_allclose(found[one], expected[one], atol=1e-6)


def test_it_holds_a_third_of_the_numbers(folded: VectorStore, tmp_path: Path) -> None:
    assert folded.dim == 3 * WIDTH
    manifest = json.loads((tmp_path / "folded" / "collection.json").read_text())
    assert manifest["dim"] == WIDTH


def test_a_vector_whose_blocks_differ_is_refused(folded: VectorStore) -> None:
    a, b = drawn(np.random.default_rng(2), 2)[:, None]
    other = fuse(visual=a, text_aligned=a, location_aligned=b)[0]
    with pytest.raises(StoreError, match="those of this vector differ"):
        folded.upsert([VectorPoint(UUID(int=N), other, PointPayload(Coordinate(1, 2)))])
    assert folded.count() == N


def test_a_query_that_is_like_no_photo_is_refused(folded: VectorStore) -> None:
    a = drawn(np.random.default_rng(3), 1)[0]
    with pytest.raises(StoreError, match="cancel each other out"):
        folded.query(np.concatenate([a, -a, np.zeros_like(a)]))


@pytest.mark.parametrize(
    ("stored_dim", "may_fold", "is_folded"),
    [
        (None, True, True),
        (None, False, False),
        (8, True, True),
        (24, True, False),
        (8, False, False),
    ],
)
def test_a_collection_stays_as_it_was_made(
    stored_dim: int | None, may_fold: bool, is_folded: bool
) -> None:
    assert folds(stored_dim, 24, may_fold=may_fold) is is_folded


def test_what_an_index_was_made_with_is_found_again(tmp_path: Path) -> None:
    for name, made_folded in (("geosearch-old", False), ("geosearch-new", True)):
        with Services(Settings(home=tmp_path / "home")) as services:
            with closing(
                services.collections.open_for(name, 3 * WIDTH, "test", may_fold=made_folded)
            ) as store:
                assert isinstance(store, FoldedStore) is made_folded
                store.upsert(points())
        with Services(Settings(home=tmp_path / "home")) as services:
            with closing(
                services.collections.open_for(name, 3 * WIDTH, "test", may_fold=True)
            ) as store:
                assert isinstance(store, FoldedStore) is made_folded
                [nearest, *_] = store.query(points()[7].vector)
                assert (nearest.id, store.count()) == (UUID(int=7), N)
