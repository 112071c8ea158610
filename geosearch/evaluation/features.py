"""Data sets that are features already, as evaluation asks them: normalised, with queries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder import features as encoded
from geosearch.encoder.npz import read_npz
from geosearch.errors import InvalidInput
from geosearch.evaluation.datasets import Dataset, Query
from geosearch.geo import Coordinate


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Labelled photos as features.

    Args:
        name: of the data set.
        image_features: (n, embed_dim) float32, L2-normalised.
        lat: (n,) degrees.
        lon: (n,) degrees.
        place: (n,) names; views of one place share theirs.
        author: (n,) names of photographers, None where the file has none.
        encoder: identity of what made the features, empty where nobody says.
    """

    name: str
    image_features: NDArray[np.float32]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    place: NDArray[np.str_]
    author: NDArray[np.str_] | None = None
    encoder: str = ""

    @classmethod
    def of(cls, features: encoded.FeatureSet, *, name: str) -> FeatureSet:
        """The same photos, with their features normalised.

        Raises:
            InvalidInput: all features of a photo are 0.
        """
        image = np.asarray(features.image_features, dtype=np.float32)
        lengths = np.linalg.norm(image, axis=1, keepdims=True)  # (n, 1)
        if not lengths.all():
            raise InvalidInput(
                f"{name}: the features of row {int((lengths == 0.0).argmax())} are all 0, so they "
                "point nowhere; leave out that photo"
            )
        return cls(
            name,
            np.asarray(image / lengths, dtype=np.float32),
            features.lat,
            features.lon,
            np.array(features.place),
            np.array(features.author) if any(features.author) else None,
            features.encoder,
        )

    def __len__(self) -> int:
        return len(self.lat)

    def queries(self, *, fused: bool = False, rows: NDArray[np.int64] | None = None) -> Dataset:
        """Each photo as a query, or with `fused` all views of a place as one.

        Args:
            fused: one query a place.
            rows: only these, such as `Split.test`; all unless told.
        """
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows)
        views: list[tuple[int, ...]] = [(int(row),) for row in chosen]
        if fused:
            by_place: dict[str, list[int]] = {}
            for row in chosen:
                by_place.setdefault(str(self.place[row]), []).append(int(row))
            views = [tuple(members) for members in by_place.values()]
        notes = ("the views of a place were fused into one query",) if fused else ()
        return Dataset(self.name, tuple(self._query(one, fused) for one in views), notes=notes)

    def _query(self, rows: tuple[int, ...], fused: bool) -> Query:
        row = rows[0]
        author = None if self.author is None else str(self.author[row]) or None
        return Query(
            id=str(self.place[row]) if fused else f"{self.name}:{row}",
            coordinate=Coordinate(float(self.lat[row]), float(self.lon[row])),
            rows=rows,
            author=author,
            place=str(self.place[row]),
        )


def load_features(
    path: Path, *, dataset: str | None = None, encoder: str | None = None
) -> FeatureSet:
    """The photos of an NPZ as `read_npz` takes them.

    Args:
        path: the file.
        dataset: only rows of this data set; None for all.
        encoder: the identity that made them, if it must be that one.

    Raises:
        ConfigError: no such file or data set, or another encoder.
        InvalidInput: not such a file, or a row is not usable (it is named).
    """
    found = read_npz(path, encoder=encoder, dataset=dataset)
    return FeatureSet.of(found, name=dataset or path.stem)
