"""From a manifest, the catalogue or an NPZ to cached features: what `geosearch train` trains on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geosearch.encoder.feature_cache import (
    ImageEncoder,
    LabelledPhoto,
    compute_features,
    with_text,
)
from geosearch.encoder.features import FeatureSet, caption_of
from geosearch.encoder.identity import EncoderIdentity
from geosearch.encoder.npz import read_npz
from geosearch.encoder.registry import backbone_identity
from geosearch.errors import ConfigError, InvalidInput, UnreadableImage
from geosearch.geo import Coordinate
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.reader import PhotoReader, ReadLimits
from geosearch.ingest.sources import BadSource, Claims, PhotoSource, SourceUnreadable, path_of
from geosearch.records import Place

logger = logging.getLogger(__name__)

Lookup = Callable[[Sequence[Coordinate]], Sequence[Place | None]]
Progress = Callable[[str, int, int], None]


class Encoder(ImageEncoder, Protocol):
    """What of an `Embedder` makes features of both kinds."""

    identity: EncoderIdentity

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts to backbone features (n, text_dim) float32."""


@dataclass(slots=True)
class TrainingData:
    """Finds or computes the features of labelled photos, below `folder`.

    Args:
        encoder: the frozen backbone.
        lookup: names of the places at coordinates, for the captions.
        folder: where features are kept, by content and by encoder.
        batch_size: photos encoded together.
        threads: that read and decode photos.
        limits: files larger than these are left out, and URLs that take longer.
        progress: told what is computed, how much is done and how much there is.
        left_out: (uri, reason) of photos that cannot be trained on; filled by the methods.
    """

    encoder: Encoder
    lookup: Lookup
    folder: Path
    batch_size: int = 32
    threads: int = 2
    limits: ReadLimits = ReadLimits()
    progress: Progress | None = None
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def from_npz(self, path: Path, *, dataset: str | None = None) -> FeatureSet:
        """The features of an NPZ, with captions from the names of the places.

        Raises:
            ConfigError: no such file, another encoder, or no photo of the data set.
            InvalidInput: a value or a column cannot be used.
        """
        if not path.is_file():
            raise ConfigError(f"{path}: no such file of features")
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        key = hashlib.sha256(f"{content}|{self._identity}|{dataset}".encode()).hexdigest()[:16]
        kept = self._opened(self.folder / f"npz-{key}")
        if kept is not None:
            return kept
        features = read_npz(path, encoder=self._identity, dataset=dataset)
        if features.text_features is None:
            coordinates = [
                Coordinate(*pair) for pair in zip(features.lat, features.lon, strict=True)
            ]
            captions = map(caption_of, self.lookup(coordinates), features.caption)
            features = self._with_text(replace(features, caption=tuple(captions)))
        features.save(self.folder / f"npz-{key}")
        return FeatureSet.open(self.folder / f"npz-{key}", encoder=self._identity)

    def from_manifest(self, path: Path, *, dataset: str | None = None) -> FeatureSet:
        """The photos of a table of labels; rows without a coordinate are left out.

        Args:
            path: CSV or Parquet, as for ingest.
            dataset: only rows of this data set.

        Raises:
            ConfigError: no photo of it can be used.
            InvalidManifest: the manifest as a whole cannot be used.
        """
        sources: list[tuple[PhotoSource, str | None]] = []
        for source in read_manifest(path):
            if isinstance(source, BadSource):
                self.left_out.append((source.uri, source.reason))
            elif dataset is None or source.claims.dataset == dataset:
                sources.append((source, None))
        return self._of_photos(sources)

    def from_catalogue(self, rows: Iterable[Mapping[str, Any]]) -> FeatureSet:
        """The photos of rows of the catalogue's export, by their paths.

        Raises:
            ConfigError: no photo of them can be used.
        """
        sources: list[tuple[PhotoSource, str | None]] = []
        for row in rows:
            coordinate = None if row["lat"] is None else Coordinate(row["lat"], row["lon"])
            claims = Claims(
                coordinate=coordinate,
                author=row["author"],
                license=row["license"],
                caption=row["caption"],
                dataset=row["dataset"],
            )
            sources.append((PhotoSource(row["path"], path_of(row["path"]), claims), row["sha256"]))
        return self._of_photos(sources)

    @property
    def _identity(self) -> str:
        return backbone_identity(self.encoder.identity)

    def _of_photos(self, sources: Iterable[tuple[PhotoSource, str | None]]) -> FeatureSet:
        labelled = []
        for source, sha256 in sources:
            if source.claims.coordinate is None:
                self.left_out.append(
                    (source.uri, "it has no coordinate; ingest takes it from EXIF")
                )
            else:
                labelled.append((source, sha256, source.claims.coordinate))
        if not labelled:
            why = (
                f"; {len(self.left_out)} have no coordinate or cannot be used"
                if self.left_out
                else ""
            )
            raise ConfigError(
                f"there is no labelled photo to train on{why}; `geosearch status` shows what the "
                "catalogue holds, a manifest needs the columns path, lat and lon"
            )
        places = self.lookup([coordinate for *_, coordinate in labelled])
        with PhotoReader(self.limits) as reader:
            photos = [
                LabelledPhoto(
                    uri=source.uri,
                    read=_reading(reader, source),
                    coordinate=coordinate,
                    caption=caption_of(place, source.claims.caption),
                    author=source.claims.author or "",
                    country="" if place is None else place.country,
                    dataset=source.claims.dataset or "",
                    license=source.claims.license or "",
                    sha256=sha256,
                )
                for (source, sha256, coordinate), place in zip(labelled, places, strict=True)
            ]
            features, left_out = compute_features(
                photos,
                self.encoder,
                identity=self._identity,
                cache=self.folder,
                batch_size=self.batch_size,
                threads=self.threads,
                progress=self._telling("photos"),
            )
        self.left_out.extend(left_out)
        features = self._with_text(features)
        folder = self.folder / f"photos-{features.fingerprint()}"
        kept = self._opened(folder)
        if kept is not None:
            return kept
        features.save(folder)
        return FeatureSet.open(folder, encoder=self._identity)

    def _with_text(self, features: FeatureSet) -> FeatureSet:
        return with_text(
            features,
            self.encoder.text_features,
            cache=self.folder,
            progress=self._telling("captions"),
        )

    def _opened(self, folder: Path) -> FeatureSet | None:
        """What was kept; a damaged folder is moved aside and made again."""
        if not folder.is_dir():
            return None
        try:
            return FeatureSet.open(folder, encoder=self._identity)
        except (InvalidInput, ConfigError) as error:
            logger.warning("%s; computing it again", error)
            aside = folder.with_name(f"{folder.name}.damaged")
            if not aside.exists():
                folder.rename(aside)
                return None
            raise

    def _telling(self, what: str) -> Callable[[int, int], None] | None:
        tell = self.progress
        return None if tell is None else lambda done, total: tell(what, done, total)


def _reading(reader: PhotoReader, source: PhotoSource) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return reader.read(source).data
        except SourceUnreadable as error:
            raise UnreadableImage(str(error)) from error

    return read
