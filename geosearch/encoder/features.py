"""Frozen backbone features with their labels: a folder on disk, verified when it is opened.

The arrays are memory-mapped, so a set may be larger than memory. Computing features is the work of
`feature_cache.py`; nothing here runs a model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.drafts import drafted_folder
from geosearch.errors import ConfigError, InvalidInput
from geosearch.records import Place

FORMAT = 1
"""Raised when a folder of features can no longer be read as before."""

WORDS = ("place", "author", "country", "dataset", "license", "caption")
"""The columns of text, one entry a photo; an empty entry says nothing."""

_CHUNK = 65_536  # rows that are looked through together

_PHOTO = "A street view photo"


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Features of n photos by one frozen backbone, with the labels that training needs.

    Args:
        encoder: identity of the backbone that made them, as text, without heads.
        image_features: (n, image_dim) float16 or float32, finite, not normalised.
        text_features: (n, text_dim) float16 or float32 of the captions; None until computed.
        lat: (n,) float64 degrees.
        lon: (n,) float64 degrees.
        place: views of one place share it; splits never cut through a place.
        author: photographer.
        country: ISO 3166-1 alpha-2 code.
        dataset: name of the data set.
        license: licence of the photo.
        caption: what `text_features` were computed from.

    Raises:
        InvalidInput: no photos, lengths that differ, or a value not finite or off the globe.
    """

    encoder: str
    image_features: NDArray[Any]
    text_features: NDArray[Any] | None
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    place: tuple[str, ...]
    author: tuple[str, ...]
    country: tuple[str, ...]
    dataset: tuple[str, ...]
    license: tuple[str, ...]
    caption: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.image_features)
        if n == 0:
            raise InvalidInput("the features hold no photo; give at least two photos of two places")
        for name in ("image_features", "text_features"):
            features = getattr(self, name)
            if features is not None:
                _check_features(name, features, n)
        for name in ("lat", "lon", *WORDS):
            if len(getattr(self, name)) != n:
                raise InvalidInput(
                    f"{name} has {len(getattr(self, name))} entries for {n} image features; "
                    "every photo needs one"
                )
        for name, values, limit in (("lat", self.lat, 90.0), ("lon", self.lon, 180.0)):
            if values.ndim != 1:
                raise InvalidInput(f"{name} has shape {values.shape}; it must be ({n},)")
            wrong = np.flatnonzero(~(np.abs(values) <= limit))  # a NaN is wrong too
            if len(wrong):
                raise InvalidInput(
                    f"{name} of row {wrong[0]} is {values[wrong[0]]:g}; it must be a number within "
                    f"±{limit:g} degrees"
                )

    def __len__(self) -> int:
        return len(self.image_features)

    @property
    def image_dim(self) -> int:
        """Width of an image feature."""
        return int(self.image_features.shape[1])

    @property
    def lat_lon(self) -> NDArray[np.float32]:
        """Coordinates (n, 2) float32 in degrees, as the location encoder takes them."""
        return np.stack([self.lat, self.lon], axis=1).astype(np.float32)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of everything in here: equal data, equal digits."""
        digest = hashlib.sha256(self.encoder.encode())
        for array in (self.image_features, self.text_features, self.lat, self.lon):
            if array is not None:
                digest.update(f"{array.dtype}{array.shape}".encode())
                for start in range(0, len(array), _CHUNK):
                    digest.update(np.ascontiguousarray(array[start : start + _CHUNK]).data)
        for name in WORDS:
            digest.update(_joined(getattr(self, name)))
        return digest.hexdigest()[:16]

    def select(self, rows: Sequence[int] | NDArray[np.intp]) -> FeatureSet:
        """The photos of these rows, in this order, copied into memory.

        Raises:
            InvalidInput: no row is given.
        """
        index = np.asarray(rows, dtype=np.intp)
        text = None if self.text_features is None else self.text_features[index]
        words = {name: tuple(getattr(self, name)[row] for row in index) for name in WORDS}
        return FeatureSet(
            self.encoder,
            self.image_features[index],
            text,
            self.lat[index],
            self.lon[index],
            **words,
        )

    def save(self, folder: Path) -> None:
        """Write everything into a new folder; it appears when it is whole.

        Raises:
            StorageFull: no room is left.
            ConfigError: the folder cannot be written.
        """
        manifest = {
            "format": FORMAT,
            "encoder": self.encoder,
            "photos": len(self),
            "image_dim": self.image_dim,
            "text_dim": None if self.text_features is None else int(self.text_features.shape[1]),
        }
        with drafted_folder(folder) as draft:
            np.save(draft / "image_features.npy", self.image_features)
            if self.text_features is not None:
                np.save(draft / "text_features.npy", self.text_features)
            np.save(draft / "coordinates.npy", np.stack([self.lat, self.lon], axis=1))
            for name in WORDS:
                (draft / f"{name}.txt").write_bytes(_joined(getattr(self, name)))
            (draft / "features.json").write_text(json.dumps(manifest, indent=2))

    @classmethod
    def open(cls, folder: Path, *, encoder: str | None = None) -> FeatureSet:
        """The set in a folder, memory-mapped and looked through once.

        Args:
            folder: as written by `save`.
            encoder: the identity that the features must have.

        Raises:
            ConfigError: not there, by another encoder, or of a newer version.
            InvalidInput: truncated, of another shape than recorded, or with a NaN.
        """
        manifest = _read_manifest(folder)
        if encoder is not None:
            check_encoder(folder, manifest["encoder"], encoder)
        n, text_dim = manifest["photos"], manifest["text_dim"]
        coordinates = _mapped(folder / "coordinates.npy", (n, 2))
        text = None if text_dim is None else _mapped(folder / "text_features.npy", (n, text_dim))
        image = _mapped(folder / "image_features.npy", (n, manifest["image_dim"]))
        words = {name: _split(folder / f"{name}.txt", n) for name in WORDS}
        lat, lon = np.array(coordinates[:, 0]), np.array(coordinates[:, 1])
        return cls(manifest["encoder"], image, text, lat, lon, **words)


def caption_of(place: Place | None, caption: str | None = None) -> str:
    """A sentence for the text encoder, from the names of the place and the photo's own caption.

    Source: arXiv 2606.08918, "A street view photo taken in CITY, STATE, COUNTRY".
    """
    names = "" if place is None else str(place)
    sentence = f"{_PHOTO} taken in {names}" if names else _PHOTO
    own = "" if caption is None else " ".join(caption.split())
    return f"{sentence}. {own}" if own else sentence


def place_key(lat: float, lon: float) -> str:
    """What photos without a named place share when they are within some 100 m of each other."""
    # + 0.0 makes one zero of -0.0 and 0.0.
    return f"{round(lat, 3) + 0.0:.3f},{round(lon, 3) + 0.0:.3f}"


def check_encoder(source: Path, found: str, wanted: str) -> None:
    """Compare the backbone that made features with the one in use.

    Raises:
        ConfigError: they differ.
    """
    if found != wanted:
        raise ConfigError(
            f"{source} was made by the encoder {found}, and the one in use is {wanted}; set "
            "GEOSEARCH_ENCODER to that encoder, or compute the features again"
        )


def _check_features(name: str, features: NDArray[Any], n: int) -> None:
    if features.ndim != 2 or len(features) != n or features.dtype.kind != "f":
        raise InvalidInput(
            f"{name} is {features.dtype} of shape {features.shape}; it must be floating point of "
            f"shape ({n}, dimension)"
        )
    for start in range(0, n, _CHUNK):
        finite = np.isfinite(features[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            raise InvalidInput(
                f"{name} of row {start + int(np.argmin(finite))} is not finite; compute the "
                "features again, or leave out that photo"
            )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "features.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        if manifest["format"] != FORMAT:
            raise ConfigError(
                f"{folder} has features of format {manifest['format']}, and this version reads "
                f"format {FORMAT}; compute them again"
            )
        for name in ("encoder", "photos", "image_dim", "text_dim"):
            manifest[name]
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder} holds no features; name a folder with features.json"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise InvalidInput(f"{path} is damaged; delete the folder to compute it again") from error
    return manifest


def _mapped(path: Path, shape: tuple[int, int]) -> NDArray[Any]:
    try:
        # Copy-on-write, because torch refuses to share memory that it may not write.
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInput(
            f"{path} is missing or truncated; delete the folder {path.parent} to compute it again"
        ) from error
    if array.shape != shape:
        raise InvalidInput(
            f"{path} has shape {array.shape}, and features.json says {shape}; delete the folder "
            f"{path.parent} to compute it again"
        )
    return array


def _joined(words: Iterable[str]) -> bytes:
    return "\0".join(word.replace("\0", " ") for word in words).encode("utf-8", "replace")


def _split(path: Path, n: int) -> tuple[str, ...]:
    try:
        words = tuple(path.read_bytes().decode().split("\0"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is missing or damaged; compute the features again") from error
    if len(words) != n:
        raise InvalidInput(f"{path} has {len(words)} entries, and features.json says {n}")
    return words
