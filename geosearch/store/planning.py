"""Choosing how to search, so that a filter never costs hits: the recall guard.

A walk over the graph that may only step on matching points can end on an island: it then returns
too few hits, or the wrong ones, and says nothing. Here the matches are counted first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, cast

import numpy as np
from numpy.typing import NDArray

from geosearch.areas import Circle
from geosearch.geo import EARTH_RADIUS_KM
from geosearch.store.base import Hit, Match, MatchT, SearchMode, VectorStore
from geosearch.store.filters import And, Filter, Not, Or, Within, matches

# Measured on Edge 0.9.0, which searches on one thread: 50,000 x 768 in 200 clusters, each of them
# in one place, circles round stored points, a graph of m 16 and ef_construct 128, 100 queries a
# row. Times are p50 in ms, recall is recall@10.
#
#   radius    matched  count    exact    walk, ef 1024    ACORN, ef 512 / 768 / 1024
#    3,000 km   2,900    1.5      2.6       -                -
#    5,000 km   7,300    3.0      5.3    2.9  0.980     5.1              0.997
#    7,000 km  13,500    4.8      8.4    3.4  0.972     6.0 / 7.7 / 9.3  0.993 / 0.997 / 0.997
#   10,000 km  24,500    5.4     11.3    4.4  0.981     7.2 / 8.6 /12.7  0.982 / 0.990 / 0.995
#   15,000 km  42,400    6.4     15.0    5.1  0.987     4.5 / 6.2 / 7.8  1.000 / 1.000 / 1.000
#   no filter  50,000    0.0     11.6    2.0  1.000 at ef 512
#
# Left to its own ef the filtered walk had 0.73 to 0.91 in these rows, which all read float32.
# Over 8-bit copies (`layout.OVERSAMPLING`) ACORN within 10,000 km takes 4.2 / 5.5 / 6.4 ms, recall
# 0.987 / 0.993 / 0.995 at ef 512 / 768 / 1024. Of 200 searches there, 108 needed no filtered walk
# (FREE_EF); with ef 1024 for the others recall was 0.9945, counting and all 6.9 ms (p95 14.9 ms).
#
# `count` is the engine's. An embedded store that is asked often counts bare circles in memory
# (`coordinates.py`): within 100 / 1,000 / 3,000 / 10,000 km in 0.02 / 0.03 / 0.04 / 0.08 ms, 10 /
# 14 / 34 / 80 times quicker than the engine (`geosearch bench filter-recall`, one run). While
# counting still took 0.08 ms for any circle, searches within 300 / 1,000 / 3,000 / 10,000 km took
# 0.6 / 1.05 / 2.5 / 7.6 ms so and 0.5 / 1.2 / 4.1 / 13.7 ms where the engine counts, on one index.
# The choices below are the same: every plan counts first. With counting free, neither 8,000 nor
# 20,000 for EXACT_UP_TO nor 0.1 or 0.15 for FREE_SHARE was clearly quicker at any size.

EXACT_UP_TO = 12_000
"""Matches up to which every one is compared: no slower than a walk that finds 0.99 of the hits.

Both grow with the length of the vectors, so it serves longer ones too. Where copies are compared
first (`SearchMode.SCAN`), a search among 10,034 features of `lite` takes 0.6 ms instead of 1.7,
recall@10 0.9995 and 0.9997 (`benchmarks/search_effort.py`).
"""

SCAN_FROM = 5
"""From so many matches for each hit wanted, copies are compared first; fewer take as long anyway.

Measured by hand on Edge 0.9.0, 50,000 x 768, circles: of 500 / 5,000 / 25,000 matches 0.31 / 1.35 /
4.8 ms instead of 0.41 / 2.7 / 8.3 ms, of 50 both 0.13 ms; recall@10 1.000 in all.
"""

FILTERED_EF = 1024
"""Points in sight of a filtered walk: 0.99 of the hits where half of all points match."""

FREE_EF = 384
FREE_SIGHT = 9
"""Points in sight of the walk that tries whether the nearest of all points match anyway, at least,
and for each of those among which there are as many matches as wanted.

Measured by hand on Edge 0.9.0, 200,000 x 768, circles that hold half of all: recall@10 0.971 /
0.988 / 0.996 with 128 / 256 / 384 in sight, in 0.9 / 1.2 / 1.6 ms; a tenth of all: 0.989 / 0.998 /
1.000 with 6 / 9 / 12 for each, in 3.3 / 4.2 / 5.3 ms.
"""

FREE_FROM = 4_000
FREE_SHARE = 0.25
FREE_LIMIT = 50
"""From so many matches, and such a share of all points, that walk comes before comparing, too.

Measured on Edge 0.9.0, 20,000 x 768, half of all within a circle, processor time: 5.7 ms with
comparing, 2.5 to 2.7 ms with the walk, of which counting 1.7; recall 1.000 where places do not
follow looks, 0.9995 where they do. Longer lists need a wider walk, which is no quicker.
"""

UNFILTERED_EF = 512
"""Points in sight of a search without a filter; for queries unlike anything stored, too."""

PHOTO_EF = 96
"""Points in sight of a search by a photo and nothing else, which is like what is stored.

Recall@10 at 64, 96, 128, 256 and 512 is 0.995, 0.998, 0.9986, 0.9996 and 0.9998 for real photos
(11,034 features of `lite`, 1,000 of them asked of the others, three seeds). The very nearest is
lost to 1 to 5 of 1,000 at 64, and at 96 as at 128 to 0, 1 and 2 (`benchmarks/search_effort.py`).
"""


@dataclass(frozen=True, slots=True)
class PlannedHits(Generic[MatchT]):
    """Hits best first, how many points the filter matches, and how they were found.

    `plan` is `HNSW` also where the nearest of all points matched and no filtered walk was made, and
    `EXACT` also where every match was compared by its copy first. Where the graph is not built yet
    the engine compares with every match, whatever `plan` says; that is slower and no less right.
    """

    hits: tuple[MatchT, ...]
    matched: int
    plan: SearchMode


def search(
    store: VectorStore,
    vector: NDArray[np.float32],
    where: Filter | None = None,
    limit: int = 10,
    *,
    on_copies: bool = True,
    free_ef: int | None = None,
) -> PlannedHits[Hit]:
    """The nearest matching points, never fewer than `min(limit, matched)`.

    Args:
        store: where to search.
        vector: (dim,) float32, finite, not zero.
        where: what a point must match; None asks for nothing.
        limit: how many hits are wanted.
        on_copies: whether scans and walks may compare 8-bit copies: not for a query that is no
            feature, as the negative of one, whose values the copies do not have. Measured on 11,034
            features of `lite` (none below 0), ef 800: of the 200 nearest to queries of a learned
            metric copies found 0.65, the vectors themselves 0.97; of those nearest to negatives
            0.04 and 0.98.
        free_ef: how many points a walk without a filter keeps in sight, for who needs no more; it
            keeps twice the limit at least.

    Raises:
        StoreError: the vector is unusable or the engine refuses.
    """
    return _planned(store, store.query, vector, where, limit, on_copies, free_ef)


def rank(
    store: VectorStore,
    vector: NDArray[np.float32],
    where: Filter | None = None,
    limit: int = 10,
    *,
    free_ef: int | None = None,
) -> PlannedHits[Match]:
    """As `search`, for who knows the payloads or needs none."""
    return _planned(store, store.rank, vector, where, limit, True, free_ef)


def _planned(
    store: VectorStore,
    ask: Callable[..., list[MatchT]],
    vector: NDArray[np.float32],
    where: Filter | None,
    limit: int,
    on_copies: bool,
    free_ef: int | None,
) -> PlannedHits[MatchT]:
    matched = store.count(where)
    wanted = min(limit, matched)
    mode, ef = choose(matched, where, limit=limit, on_copies=on_copies)
    if mode is SearchMode.HNSW and free_ef is not None:
        ef = max(free_ef, 2 * limit)
    if mode is SearchMode.ACORN or (where is not None and _is_common(store, matched, limit)):
        hits = _matching_neighbors(store, vector, where, limit, matched, on_copies)
        if len(hits) == wanted:
            # They are the store's whole hits, and whoever asked for less takes those as well.
            return PlannedHits(tuple(cast("list[MatchT]", hits)), matched, SearchMode.HNSW)
    found = ask(vector, where, limit, mode=mode, ef=ef, on_copies=on_copies)
    if len(found) < wanted and mode is not SearchMode.EXACT:
        mode = SearchMode.EXACT
        found = ask(vector, where, limit, mode=mode)
    plan = SearchMode.EXACT if mode is SearchMode.SCAN else mode
    return PlannedHits(tuple(found), matched, plan)


def _is_common(store: VectorStore, matched: int, limit: int) -> bool:
    """Whether so much matches that a walk without the filter is worth a try before comparing."""
    if limit > FREE_LIMIT or matched < FREE_FROM:
        return False
    return matched >= FREE_SHARE * store.count()


def _matching_neighbors(
    store: VectorStore,
    vector: NDArray[np.float32],
    where: Filter | None,
    limit: int,
    matched: int,
    on_copies: bool,
) -> list[Hit]:
    """Those of the nearest of all points that match; as many as wanted, or not all of the best.

    A walk without a filter loses nothing and costs a tenth of one with it, and where much matches,
    enough of what it finds does.
    """
    expected = math.ceil(limit * store.count() / matched)
    nearest = store.query(
        vector, None, 3 * expected, ef=max(FREE_EF, FREE_SIGHT * expected), on_copies=on_copies
    )
    inside = matches(where, [hit.payload for hit in nearest])
    return [hit for hit, is_inside in zip(nearest, inside, strict=True) if is_inside][:limit]


def choose(
    matched: int, where: Filter | None, *, limit: int, on_copies: bool = True
) -> tuple[SearchMode, int | None]:
    """How to search, and how many points a walk keeps in sight (None: it is no walk).

    A scan has that number, too: for the engine that walks after all.

    Of the 200 nearest features of `lite` to one of them, a walk over copies finds 0.999 with 400
    in sight; a query that is no feature needs 800 for 0.97.
    """
    if matched <= max(EXACT_UP_TO, 10 * limit):
        if on_copies and SCAN_FROM * limit <= matched <= EXACT_UP_TO and is_scannable(where):
            return SearchMode.SCAN, max(FILTERED_EF, 4 * limit)
        return SearchMode.EXACT, None
    if where is not None:
        return SearchMode.ACORN, max(FILTERED_EF, 4 * limit)
    return SearchMode.HNSW, max(UNFILTERED_EF, (2 if on_copies else 4) * limit)


def is_scannable(where: Filter | None) -> bool:
    """Whether the engine will scan what a filter matches rather than walk, where that is little.

    It guesses by cells that cover an area. Those of a circle that reaches a pole are all there are
    (tried by hand: of 53 such circles that held a tenth of 50,000 points, it walked in 52; in none
    of 147 others), and those of polygons and boxes, which are not tested point by point as circles
    are, may hold far more than the area.
    """
    match where:
        case Within(Circle(center, radius_km)):
            return abs(center.lat) + math.degrees(radius_km / EARTH_RADIUS_KM) < 90.0
        case Within():
            return False
        case And(parts) | Or(parts):
            return all(is_scannable(part) for part in parts)
        case Not(part):
            return is_scannable(part)
        case _:
            return True
