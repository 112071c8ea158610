"""Training the re-ranker on the labelled photos of a collection, and keeping it in its home."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geosearch.client.locating import POINTERS
from geosearch.encoder.fusion import block_of, normalize
from geosearch.errors import ConfigError
from geosearch.evaluation.features import load_features
from geosearch.geo import Coordinate
from geosearch.localization.pool import Pointer, visual_query
from geosearch.localization.questions import Progress, TrainingGallery
from geosearch.localization.reranker import Reranker, reranker_path, save_reranker
from geosearch.localization.reranker_training import train_reranker
from geosearch.records import PhotoFact, photo_id
from geosearch.retrieval import sketch
from geosearch.services import Services
from geosearch.splits import blocks
from geosearch.store.filters import Dataset

MAX_PHOTOS = 12_000
"""Photos that are trained on: their vectors are in memory at once. Whole blocks are taken."""

BLOCK_DEG = 1.0


def train_reranker_of(
    services: Services,
    *,
    features: Path | None = None,
    dataset: str | None = None,
    questions: int = 3000,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Reranker, Path]:
    """A re-ranker for the encoder in use, written to where `locate` looks for it.

    Args:
        services: whose index, encoder and home.
        features: an NPZ to learn from instead of the index; of the backbone alone.
        dataset: only photos of this data set.
        questions: the most photos asked.
        seed: of blocks, folds and questions.
        progress: told (questions asked, questions in all).

    Raises:
        ConfigError: too few photos, or features for an encoder with trained heads.
        InvalidInput: the NPZ cannot be used.
    """
    identity = services.embedder.identity
    gallery = (
        from_index(services, dataset=dataset, seed=seed)
        if features is None
        else _from_features(services, features, dataset)
    )
    reranker = train_reranker(
        gallery, encoder=str(identity), questions=questions, seed=seed, progress=progress
    )
    path = reranker_path(services.settings.home, identity)
    save_reranker(reranker, path)
    services.index.forget_reranker()  # the next locate reads the new one
    return reranker, path


def from_index(
    services: Services, *, dataset: str | None = None, seed: int = 0, limit: int = MAX_PHOTOS
) -> TrainingGallery:
    """The labelled photos of the index, with their vectors; of more than `limit` whole blocks.

    Raises:
        ConfigError: the index holds no photo.
    """
    where = None if dataset is None else Dataset(dataset)
    hits = list(services.store.scroll(where))
    if not hits:
        raise ConfigError(
            "the index of this encoder holds no labelled photo to learn from; run: geosearch ingest"
        )
    places = [hit.payload.coordinate for hit in hits]
    block = blocks([p.lat for p in places], [p.lon for p in places], BLOCK_DEG)
    kept = _whole_blocks(block, limit, seed)
    chosen = [hits[row] for row in kept.tolist()]
    stored: dict[UUID, NDArray[np.float32]] = {}
    remaining = iter(chosen)
    while some := list(itertools.islice(remaining, 500)):
        stored |= services.store.vectors([hit.id for hit in some])
    fused = np.stack([stored[hit.id] for hit in chosen])
    gallery = services.index.gps_gallery

    def pointers(vector: NDArray[np.float32]) -> Sequence[Pointer]:
        if gallery is None:
            return ()
        found = gallery.nearest(block_of(vector, "location_aligned"), POINTERS)
        return [Pointer(hit.coordinate, hit.score) for hit in found]

    is_one = all(visual_query(vector) is None for vector in fused[:50])
    visual = normalize(block_of(fused, "visual"))
    return TrainingGallery(
        vectors=visual if is_one else fused,
        visual=None if is_one else visual,
        photos=tuple(sketch(hit) for hit in chosen),
        block=block[kept],
        pointers=None if gallery is None or is_one else pointers,
    )


def _whole_blocks(block: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """Rows of as many whole blocks, drawn by chance, as make no more than `limit` photos."""
    if len(block) <= limit:
        return np.arange(len(block))
    names, index, count = np.unique(block, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    taken = order[np.cumsum(count[order]) <= limit]
    return np.flatnonzero(np.isin(np.asarray(index).ravel(), taken))[:limit]


def _from_features(services: Services, path: Path, dataset: str | None) -> TrainingGallery:
    from geosearch.encoder.checkpoints import backbone_identity

    if services.embedder.identity.heads != "none":
        raise ConfigError(
            f"{path} holds features of a backbone, and the encoder in use has heads: its vectors "
            "are others; train on the index instead (leave out --features)"
        )
    features = load_features(
        path, dataset=dataset, encoder=backbone_identity(services.embedder.identity)
    )
    if 3 * features.image_features.shape[1] != services.embedder.dim:
        raise ConfigError(
            f"{path} has features of {features.image_features.shape[1]} numbers, the encoder in "
            f"use gives {services.embedder.dim // 3}; set GEOSEARCH_ENCODER to the one that made "
            "them"
        )
    authors = features.author if features.author is not None else [""] * len(features)
    photos = tuple(
        PhotoFact(
            id=photo_id(f"{path.name}:{row}"),
            path=f"{path.name}:{row}",
            coordinate=Coordinate(float(lat), float(lon)),
            place="",
            author=str(author) or None,
            **dict.fromkeys(("country", "captured_at", "dataset", "license", "caption")),
        )
        for row, (lat, lon, author) in enumerate(
            zip(features.lat, features.lon, authors, strict=True)
        )
    )
    return TrainingGallery(
        features.image_features, None, photos, blocks(features.lat, features.lon, BLOCK_DEG)
    )
