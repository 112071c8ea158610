"""Questions whose answers are known: labelled photos asked of the rest of their gallery.

Each photo is asked twice: of a gallery that has other photos of its place (by others, where
photographers are known), and of one without the whole block around it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geosearch.geo import chord_of, haversine_km, unit_vectors
from geosearch.localization.candidates import Neighbor
from geosearch.localization.metric import PlaceMetric
from geosearch.localization.pool import FUSED, LEARNED, MERGE_KM, VISUAL, Pointer, Pool
from geosearch.localization.ranking import FEATURES, GalleryPrior, cell_of, place_features
from geosearch.records import PhotoFact

Pointers = Callable[[NDArray[np.float32]], Sequence[Pointer]]
Progress = Callable[[int, int], None]
"""Told (questions asked, questions in all)."""


PLACE_DECIMALS = (3, 2, 1)
"""Decimals of a degree that places are told apart by: some 100 m, 1 km, 10 km."""


@dataclass(frozen=True, slots=True)
class TrainingGallery:
    """Labelled photos in memory.

    Args:
        vectors: (n, d) float32, L2-normalised: fused vectors, or one block where all are alike.
        visual: (n, d') float32, L2-normalised visual blocks; None where they say the same.
        photos: what is known of each; every one has a coordinate.
        block: (n,) the cell each lies in; whole cells are held out.
        pointers: the GPS gallery's answers to a vector (d,); None without a location space.
    """

    vectors: NDArray[np.float32]
    visual: NDArray[np.float32] | None
    photos: tuple[PhotoFact, ...]
    block: NDArray[np.int64]
    pointers: Pointers | None = None


@dataclass(frozen=True, slots=True)
class Questions:
    """What was found for each question: features and errors of its places.

    Args:
        features: (p, f) of all places of all questions.
        place: (p, 2) latitude and longitude of each place.
        error_km: (p,) of each place.
        question: (p,) which question each place belongs to, rising.
        row: (q,) the photo asked.
        is_known: (q,) whether other photos of its place could be found.
        fold: (q,).
    """

    features: NDArray[np.float64]
    place: NDArray[np.float64]
    error_km: NDArray[np.float64]
    question: NDArray[np.int64]
    row: NDArray[np.int64]
    is_known: NDArray[np.bool_]
    fold: NDArray[np.int64]


def place_numbers(gallery: TrainingGallery) -> NDArray[np.int64]:
    """A number (n,) for each photo's place: those of one place share theirs.

    A place is a spot of some 100 m where half of the photos or more share theirs with another, else
    a kilometre, else a town of some 10 km.
    """
    degrees = np.array(
        [(p.lat, p.lon) for one in gallery.photos if (p := one.coordinate) is not None]
    )
    for decimals in PLACE_DECIMALS:
        _, index, count = np.unique(
            np.round(degrees, decimals), axis=0, return_inverse=True, return_counts=True
        )
        index = np.asarray(index, dtype=np.int64).ravel()
        if (count[index] > 1).mean() >= 0.5:
            break
    return index


def ask(
    gallery: TrainingGallery,
    rows: NDArray[np.int64],
    metric: PlaceMetric | None,
    *,
    fold: int = 0,
    neighbors: int = 200,
    progress: Progress | None = None,
) -> Questions:
    """Ask photos (q,) of the rest of the gallery, both ways."""
    asker = _Asker(gallery, metric, neighbors)
    features, places, errors, sizes, row, known = [], [], [], [], [], []
    for at, one in enumerate(rows.tolist()):
        for is_known in (True, False):
            pool = asker.pool(one, is_known=is_known)
            if pool is None:
                continue
            features.append(place_features(pool, prior=asker.prior(one, is_known=is_known)))
            truth = gallery.photos[one].coordinate
            assert truth is not None
            where = np.array([(w.coordinate.lat, w.coordinate.lon) for w in pool.places])
            errors.append(haversine_km(truth.lat, truth.lon, where[:, 0], where[:, 1]))
            places.append(where)
            sizes.append(len(where))
            row.append(one)
            known.append(is_known)
        if progress is not None:
            progress(at + 1, len(rows))
    return Questions(
        np.concatenate(features) if features else np.empty((0, len(FEATURES))),
        np.concatenate(places) if places else np.empty((0, 2)),
        np.concatenate(errors) if errors else np.empty(0),
        np.repeat(np.arange(len(sizes)), sizes),
        np.array(row, dtype=np.int64),
        np.array(known, dtype=np.bool_),
        np.full(len(sizes), fold),
    )


def joined(parts: Sequence[Questions]) -> Questions:
    """The questions of several folds as one."""
    first = np.cumsum([0, *(len(part.row) for part in parts)])
    return Questions(
        features=np.concatenate([part.features for part in parts]),
        place=np.concatenate([part.place for part in parts]),
        error_km=np.concatenate([part.error_km for part in parts]),
        question=np.concatenate([p.question + o for p, o in zip(parts, first, strict=False)]),
        row=np.concatenate([part.row for part in parts]),
        is_known=np.concatenate([part.is_known for part in parts]),
        fold=np.concatenate([part.fold for part in parts]),
    )


class _Asker:
    """Finds what a photo would find if it, or its whole block, were not in the gallery."""

    def __init__(self, gallery: TrainingGallery, metric: PlaceMetric | None, limit: int) -> None:
        self._gallery, self._metric, self._limit = gallery, metric, limit
        points = [one.coordinate for one in gallery.photos if one.coordinate is not None]
        self._units = unit_vectors([p.lat for p in points], [p.lon for p in points])
        self._cells = [cell_of(point.lat, point.lon) for point in points]
        counts = Counter(self._cells)
        self._prior = GalleryPrior((row, column, n) for (row, column), n in counts.items())
        self._authors = np.array([one.author or "" for one in gallery.photos])

    def hidden(self, row: int, *, is_known: bool) -> NDArray[np.bool_]:
        """Photos (n,) that a question may not find."""
        if not is_known:
            return np.asarray(self._gallery.block == self._gallery.block[row])
        hidden = np.arange(len(self._cells)) == row
        author = self._authors[row]
        if author:
            chords = ((self._units - self._units[row]) ** 2).sum(axis=1)
            hidden |= (self._authors == author) & (chords <= chord_of(MERGE_KM) ** 2)
        return np.asarray(hidden)

    def prior(self, row: int, *, is_known: bool) -> GalleryPrior:
        """Photos by cell, without the block of a question of the unknown kind.

        Of a known place nothing is taken out, not even the photo asked: where all places have as
        many photos, one fewer would point at the right one.
        """
        if is_known:
            return self._prior
        gone = np.flatnonzero(self.hidden(row, is_known=False))
        return self._prior.without(Counter(self._cells[at] for at in gone.tolist()))

    def pool(self, row: int, *, is_known: bool) -> Pool | None:
        """What is found for a photo; None where nothing is left to find."""
        gallery, hidden = self._gallery, self.hidden(row, is_known=is_known)
        if hidden.all():
            return None
        vector = gallery.vectors[row]
        photos = {FUSED: self._nearest(gallery.vectors @ vector, hidden)}
        if self._metric is not None:
            asked = self._metric.query(vector)
            photos[LEARNED] = self._nearest(gallery.vectors @ asked, hidden)
        if gallery.visual is not None:
            photos[VISUAL] = self._nearest(gallery.visual @ gallery.visual[row], hidden)
        return Pool(photos, self._pointers(row, hidden, is_known=is_known))

    def _nearest(
        self, scores: NDArray[np.float32], hidden: NDArray[np.bool_]
    ) -> Sequence[Neighbor]:
        visible = np.where(hidden, -np.inf, scores)
        count = min(self._limit, int((~hidden).sum()))
        best = np.argpartition(-visible, count - 1)[:count]
        best = best[np.argsort(-visible[best], kind="stable")]
        return [Neighbor(self._gallery.photos[at], float(visible[at])) for at in best.tolist()]

    def _pointers(
        self, row: int, hidden: NDArray[np.bool_], *, is_known: bool
    ) -> Sequence[Pointer]:
        """The GPS gallery's answers, less those that only the hidden photos put into it."""
        gallery = self._gallery
        if gallery.pointers is None:
            return ()
        found = gallery.pointers(gallery.vectors[row])
        gone, left = self._units[hidden], self._units[~hidden]
        kept = []
        for pointer in found:
            unit = unit_vectors(pointer.coordinate.lat, pointer.coordinate.lon)
            reach = chord_of(2.0 * MERGE_KM) ** 2
            was = (((gone - unit) ** 2).sum(axis=1) <= reach).any()
            if not was or (is_known and (((left - unit) ** 2).sum(axis=1) <= reach).any()):
                kept.append(pointer)
        return kept
