"""Computing frozen features once: rows kept by content and encoder, missing ones made in batches.

A cache is a folder of shards, each written whole; an interrupted run loses at most one shard's
worth of work, and two processes may fill one cache at the same time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.drafts import drafted_file
from geosearch.encoder.features import FeatureSet, place_key
from geosearch.errors import ConfigError, InvalidInput, UnreadableImage
from geosearch.geo import Coordinate

logger = logging.getLogger(__name__)

SHARD = 2048
"""Rows computed between two writes: minutes of work on two cores, seconds on a GPU."""

Progress = Callable[[int, int], None]
TextFeatures = Callable[[Sequence[str]], NDArray[np.float32]]


class ImageEncoder(Protocol):
    """What of an `Embedder` makes image features."""

    def prepare(self, data: bytes) -> NDArray[np.uint8]:
        """Bytes of an image file to (size, size, 3) uint8; raises UnreadableImage."""

    def image_features(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Prepared pictures (n of (size, size, 3)) to features (n, image_dim) float32."""


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """One photo to compute features of.

    Args:
        uri: its name in messages.
        read: gives its bytes, or raises OSError or UnreadableImage.
        coordinate: where it was taken.
        caption: the sentence for the text encoder, as from `caption_of`.
        sha256: of its bytes, if known: then a photo whose features are cached is not read at all.
    """

    uri: str
    read: Callable[[], bytes]
    coordinate: Coordinate
    caption: str
    author: str = ""
    country: str = ""
    dataset: str = ""
    license: str = ""
    sha256: str | None = None


class FeatureCache:
    """Features by key under one encoder, in shards of `numpy.save`.

    Args:
        folder: where caches live.
        encoder: identity of the backbone; another one has another folder.
        kind: `image` or `text`.

    Raises:
        InvalidInput: rows of different width are in the folder.
    """

    def __init__(self, folder: Path, *, encoder: str, kind: str) -> None:
        short = hashlib.sha256(encoder.encode()).hexdigest()[:12]
        self._folder = folder / f"{kind}-{short}"
        self._shards: list[NDArray[Any]] = []
        self._rows: dict[str, tuple[int, int]] = {}
        for path in sorted(self._folder.glob("*.npy")):
            try:
                self._take_in(np.load(path, mmap_mode="r", allow_pickle=False))
            except (OSError, ValueError, EOFError, IndexError):
                # Not ours, or damaged by the disk: what it held is computed again.
                logger.warning("%s cannot be read and is left out", path)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def add(self, keys: Sequence[str], features: NDArray[Any]) -> None:
        """Keep features (n, d) under keys (sha256 in hexadecimal), in one new shard.

        Raises:
            InvalidInput: a value is not finite as float16.
            StorageFull: no room is left.
        """
        with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused
            halves = np.asarray(features).astype(np.float16)  # (n, d)
        finite = np.isfinite(halves).all(axis=1)
        if not finite.all():
            raise InvalidInput(
                f"the encoder gave a feature that is not a finite number for the content "
                f"{keys[int(np.argmin(finite))]}; leave it out, or use another encoder"
            )
        shard = np.empty(len(keys), [("key", "S64"), ("features", np.float16, halves.shape[1:])])
        shard["key"], shard["features"] = [key.encode() for key in keys], halves
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:24]
        with drafted_file(self._folder / f"{name}.npy") as draft, draft.open("wb") as file:
            np.save(file, shard)
        self._take_in(shard)

    def rows(self, keys: Sequence[str]) -> NDArray[np.float16]:
        """The features (n, d) of keys that are all here."""
        width = self._shards[0]["features"].shape[1]
        found = np.empty((len(keys), width), np.float16)
        where = np.array([self._rows[key] for key in keys])  # (n, 2)
        for number, shard in enumerate(self._shards):
            here = np.flatnonzero(where[:, 0] == number)
            if len(here):
                found[here] = shard["features"][where[here, 1]]
        return found

    def _take_in(self, shard: NDArray[Any]) -> None:
        number, keys = len(self._shards), shard["key"]
        if number and shard["features"].shape[1] != self._shards[0]["features"].shape[1]:
            raise InvalidInput(
                f"{self._folder} holds features of different widths; delete it to compute "
                "them again"
            )
        self._shards.append(shard)
        self._rows.update((key.decode(), (number, row)) for row, key in enumerate(keys.tolist()))


def compute_features(
    photos: Sequence[LabelledPhoto],
    encoder: ImageEncoder,
    *,
    identity: str,
    cache: Path,
    batch_size: int = 32,
    threads: int = 2,
    progress: Progress | None = None,
) -> tuple[FeatureSet, list[tuple[str, str]]]:
    """Image features of photos; those already in the cache are not computed again.

    A photo with the same bytes as an earlier one is left out, like one that cannot be read.

    Args:
        photos: in the order of the rows.
        encoder: reads and encodes pictures.
        identity: of the backbone, as text, without heads.
        cache: folder of the caches.
        batch_size: pictures encoded together.
        threads: that read and decode.
        progress: told (photos looked at, photos in all).

    Returns:
        The features without text, and (uri, reason) of every photo left out.

    Raises:
        ConfigError: no photo is left.
        InvalidInput: a feature is not finite.
        StorageFull: no room is left; the same call later goes on where this one stopped.
    """
    images = FeatureCache(cache, encoder=identity, kind="image")
    keys: dict[str, LabelledPhoto] = {}
    left_out: list[tuple[str, str]] = []
    waiting: dict[str, NDArray[np.uint8]] = {}
    made_keys: list[str] = []
    made: list[NDArray[np.float32]] = []

    def encode() -> None:
        if waiting:
            made.append(encoder.image_features(list(waiting.values())))
            made_keys.extend(waiting)
            waiting.clear()

    def keep() -> None:
        encode()
        if made:
            images.add(made_keys, np.concatenate(made))
            made_keys.clear()
            made.clear()

    def look(photo: LabelledPhoto) -> tuple[str, NDArray[np.uint8] | None]:
        if photo.sha256 is not None and photo.sha256 in images:
            return photo.sha256, None
        data = photo.read()
        key = hashlib.sha256(data).hexdigest()
        return key, None if key in images else encoder.prepare(data)

    for done, (photo, outcome) in enumerate(_in_threads(look, photos, threads), start=1):
        if isinstance(outcome, Exception):
            left_out.append((photo.uri, str(outcome)))
        elif outcome[0] in keys:
            left_out.append((photo.uri, f"the same bytes as {keys[outcome[0]].uri}"))
        else:
            key, pixels = outcome
            keys[key] = photo
            if pixels is not None:
                waiting[key] = pixels
        if len(waiting) >= batch_size:
            encode()
        if len(made_keys) >= SHARD:
            keep()
        if progress is not None:
            progress(done, len(photos))
    keep()
    if not keys:
        reason = f"; the first: {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise ConfigError(f"none of {len(photos)} photos can be used{reason}")
    return _labelled(identity, images.rows(list(keys)), list(keys.values())), left_out


def with_text(
    features: FeatureSet,
    text_features: TextFeatures,
    *,
    cache: Path,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> FeatureSet:
    """The same photos with features of their captions; each distinct caption is encoded once.

    Args:
        features: with a `caption` for every photo.
        text_features: texts to (n, text_dim) float32, of the backbone that made `features`.
        cache: folder of the caches.
        batch_size: captions encoded together.
        progress: told (captions done, captions to do).
    """
    texts = FeatureCache(cache, encoder=features.encoder, kind="text")
    keys = [hashlib.sha256(caption.encode()).hexdigest() for caption in features.caption]
    missing = {
        key: caption
        for key, caption in zip(keys, features.caption, strict=True)
        if key not in texts
    }
    names = list(missing)
    for shard in range(0, len(names), SHARD):
        part = names[shard : shard + SHARD]
        made = []
        for start in range(0, len(part), batch_size):
            batch = part[start : start + batch_size]
            made.append(text_features([missing[key] for key in batch]))
            if progress is not None:
                progress(shard + start + len(batch), len(names))
        texts.add(part, np.concatenate(made))
    return replace(features, text_features=texts.rows(keys))


def _labelled(
    identity: str, image_features: NDArray[Any], photos: Sequence[LabelledPhoto]
) -> FeatureSet:
    lat, lon = (
        np.array([getattr(photo.coordinate, axis) for photo in photos]) for axis in ("lat", "lon")
    )
    return FeatureSet(
        encoder=identity,
        image_features=image_features,
        text_features=None,
        lat=lat,
        lon=lon,
        place=tuple(place_key(photo.coordinate.lat, photo.coordinate.lon) for photo in photos),
        author=tuple(photo.author for photo in photos),
        country=tuple(photo.country for photo in photos),
        dataset=tuple(photo.dataset for photo in photos),
        license=tuple(photo.license for photo in photos),
        caption=tuple(photo.caption for photo in photos),
    )


Looked = tuple[str, NDArray[np.uint8] | None]


def _in_threads(
    look: Callable[[LabelledPhoto], Looked], photos: Sequence[LabelledPhoto], threads: int
) -> Iterator[tuple[LabelledPhoto, Looked | Exception]]:
    """What `look` says of each photo, in order; only a few decoded pictures wait at a time."""
    window = 64
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, len(photos), window):
            part = photos[start : start + window]
            futures = [pool.submit(look, photo) for photo in part]
            for photo, future in zip(part, futures, strict=True):
                try:
                    yield photo, future.result()
                except (OSError, UnreadableImage) as error:
                    yield photo, error
