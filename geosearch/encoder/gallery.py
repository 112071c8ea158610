"""The GPS gallery: location features of many coordinates, embedded once and kept on disk.

A query's location block is compared with them, so that a place can be proposed where no photo was
taken. Nothing here knows of photos; which coordinates are worth embedding is the caller's choice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.drafts import drafted_folder
from geosearch.encoder.fusion import block_of, normalize
from geosearch.encoder.identity import EncoderIdentity
from geosearch.errors import InvalidInput, MissingDependency
from geosearch.geo import Coordinate

logger = logging.getLogger(__name__)

FORMAT = 1
BATCH = 4096
COARSE_DIM = 128
"""Leading principal components that are compared first. Measured on GeoCLIP's 100,000 places: with
128 of 512 and a shortlist of 2,000 the 50 nearest are found to 0.998, in 5 ms instead of 80."""

SHORTLIST = 2000
CELL_DEG = 0.01
"""Coordinates of a catalogue are thinned to one a cell of some 1 km: candidates merge within it."""

_FILES = ("coordinates.npy", "features.npy", "coarse.npy", "basis.npy")

Progress = Callable[[int, int], None]


class LocationEncoder(Protocol):
    """What of an `Embedder` places coordinates in the fused space."""

    identity: EncoderIdentity

    def encode_locations(self, coordinates: Sequence[Coordinate]) -> NDArray[np.float32]:
        """Coordinates to fused queries (n, dim) float32; only the location block is filled."""


@dataclass(frozen=True, slots=True)
class GalleryHit:
    """A coordinate of the gallery and its cosine with a location block."""

    coordinate: Coordinate
    score: float


class GpsGallery:
    """Location features of one set of coordinates, mapped from disk; `open_gallery` makes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.coordinates, self._features, self._coarse, self._basis = (
            np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in _FILES
        )

    def __len__(self) -> int:
        return len(self.coordinates)

    def nearest(self, location_block: NDArray[np.float32], limit: int) -> list[GalleryHit]:
        """The coordinates whose features are nearest to a location block, best first.

        Args:
            location_block: (block_dim,) of a query or a photo, of any length above 0.
            limit: the most hits.

        Raises:
            InvalidInput: the block is zero, not finite, or narrower than the location space.
        """
        width = self._features.shape[1]
        block = np.asarray(location_block, dtype=np.float32)
        length = float(np.linalg.norm(block))
        if block.ndim != 1 or len(block) < width or not 0.0 < length < np.inf:
            raise InvalidInput(
                f"a location block of shape {block.shape} and length {length:g}; this gallery "
                f"takes (block_dim,) with block_dim of {width} or more, finite and not zero"
            )
        unit = block[:width] / length
        coarse = _products(self._coarse, _products(self._basis.T, unit))  # (n,)
        few = _largest(coarse, max(SHORTLIST, 4 * limit))
        scores = _products(self._features[few].astype(np.float32), unit)
        best = _largest(scores, limit)
        best = best[np.lexsort((few[best], -scores[best]))]
        return [
            GalleryHit(Coordinate(*self.coordinates[few[row]].tolist()), float(scores[row]))
            for row in best
        ]


def _products(rows: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Dot products of rows (n, d) with a vector (d,): (n,), on the calling thread.

    BLAS wakes the other threads for this, which spin for 20 ms afterwards: (100,000, 128) takes
    1.5 ms and 23 ms of processor time on two cores, here 1.8 ms and 2 to 3.6 ms.
    """
    products: NDArray[np.float32] = np.einsum("ij,j->i", rows, vector)
    return products


def open_gallery(
    root: Path,
    encoder: LocationEncoder,
    coordinates: NDArray[np.float64],
    *,
    progress: Progress | None = None,
) -> GpsGallery:
    """The gallery of these coordinates under this encoder; only features never made are made.

    Features of an earlier gallery of the same encoder are taken over, so that new photos cost only
    their own places. It is written beside and renamed: an interrupted run leaves the earlier one.

    Args:
        root: folder of all galleries, as `HOME/galleries`; each encoder identity has its own below.
        encoder: makes the features.
        coordinates: (n, 2) of (lat, lon) degrees; doubles count once.
        progress: told (coordinates embedded, coordinates to embed).

    Raises:
        InvalidInput: there is no coordinate.
        ConfigError: the encoder has no location space, or the folder cannot be written.
        StorageFull: no room is left.
    """
    wanted = np.unique(np.asarray(coordinates, dtype=np.float64).reshape(-1, 2), axis=0)
    if not len(wanted):
        raise InvalidInput("a GPS gallery needs one coordinate or more")
    identity = str(encoder.identity)
    home = root / encoder.identity.short
    key = hashlib.sha256(np.ascontiguousarray(wanted).tobytes()).hexdigest()[:16]
    folder = home / key
    if _is_whole(folder, identity):
        return GpsGallery(folder)
    if folder.exists():
        logger.warning("%s is damaged or of another encoder; embedding it again", folder)
        shutil.rmtree(folder)
    earlier = [path for path in sorted(home.glob("*")) if path.is_dir()]
    features = _features(wanted, encoder, earlier, identity, progress)
    with drafted_folder(folder) as draft:
        _write(draft, wanted, features, identity)
    for path in earlier:
        # Mapped pages of a process that still reads an earlier one stay valid.
        shutil.rmtree(path, ignore_errors=True)
    return GpsGallery(folder)


def reference_coordinates() -> NDArray[np.float64]:
    """GeoCLIP's gallery of 100,000 coordinates (n, 2), or none where its wheel is not installed.

    Source: `coordinates_100K.csv` of the wheel geoclip 1.3 (MIT), a sample of MP-16.
    """
    from geosearch.encoder import geoclip

    try:
        return geoclip.gallery().numpy().astype(np.float64)
    except MissingDependency:
        return np.empty((0, 2))


def cell_centers(cells: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """Coordinates (n, 2) of the centres of cells of `CELL_DEG`, given as (row, column)."""
    numbers = np.asarray(cells, dtype=np.float64).reshape(-1, 2)
    centers: NDArray[np.float64] = np.round((numbers + 0.5) * CELL_DEG, 6)
    return np.clip(centers, (-90.0, -180.0), (90.0, 180.0))


def _features(
    wanted: NDArray[np.float64],
    encoder: LocationEncoder,
    earlier: Sequence[Path],
    identity: str,
    progress: Progress | None,
) -> NDArray[np.float16]:
    """Features (n, width) of the coordinates, those of earlier galleries taken from there."""
    known: dict[bytes, NDArray[np.float16]] = {}
    for path in earlier:
        if _is_whole(path, identity):
            old = GpsGallery(path)
            known |= {
                row.tobytes(): features
                for row, features in zip(np.asarray(old.coordinates), old._features, strict=True)
            }
    missing = [row for row, place in enumerate(wanted) if place.tobytes() not in known]
    made: list[NDArray[np.float16]] = []
    for start in range(0, len(missing), BATCH):
        rows = missing[start : start + BATCH]
        fused = encoder.encode_locations([Coordinate(*wanted[row].tolist()) for row in rows])
        made.append(normalize(block_of(fused, "location_aligned")).astype(np.float16))
        if progress is not None:
            progress(start + len(rows), len(missing))
    fresh = np.concatenate(made) if made else np.empty((0, 0), np.float16)
    # Blocks are padded with zeros up to the widest of the three; the padding is not kept.
    used = np.flatnonzero(fresh.any(axis=0))
    width = max(
        [len(row) for row in list(known.values())[:1]] + [int(used[-1]) + 1 if len(used) else 0]
    )
    table = np.zeros((len(wanted), width), np.float16)
    for at, row in enumerate(missing):
        table[row, : fresh.shape[1]] = fresh[at, :width]
    for row, place in enumerate(wanted):
        features = known.get(place.tobytes())
        if features is not None:
            table[row, : len(features)] = features
    return table


def _write(
    draft: Path, coordinates: NDArray[np.float64], features: NDArray[np.float16], identity: str
) -> None:
    sample = features[:: max(1, len(features) // 20_000)].astype(np.float32)
    _, vectors = np.linalg.eigh(sample.T @ sample)
    basis = np.ascontiguousarray(vectors[:, ::-1][:, :COARSE_DIM], dtype=np.float32)
    coarse = np.empty((len(features), basis.shape[1]), np.float32)
    for start in range(0, len(features), BATCH):
        coarse[start : start + BATCH] = features[start : start + BATCH].astype(np.float32) @ basis
    arrays: tuple[NDArray[Any], ...] = (coordinates, features, coarse, basis)
    for name, array in zip(_FILES, arrays, strict=True):
        np.save(draft / name, array)
    manifest = {
        "format": FORMAT,
        "encoder": identity,
        "coordinates": len(coordinates),
        "sha256": {name: _digest(draft / name) for name in _FILES},
    }
    (draft / "gallery.json").write_text(json.dumps(manifest, indent=1))


def _is_whole(folder: Path, identity: str) -> bool:
    """Whether a gallery is there, is this encoder's, and its files are what was written."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "gallery.json").read_text())
        return (
            manifest["format"] == FORMAT
            and manifest["encoder"] == identity
            and all(_digest(folder / name) == manifest["sha256"][name] for name in _FILES)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _largest(values: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
    """Rows of the largest values, in no order."""
    if limit >= len(values):
        return np.arange(len(values))
    return np.argpartition(-values, limit - 1)[:limit]
