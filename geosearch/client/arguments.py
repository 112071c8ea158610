"""What callers may pass: places, paths and images in the forms that people have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from geosearch.criteria import PathLike
from geosearch.errors import ConfigError, UnreadableImage
from geosearch.geo import Coordinate
from geosearch.ingest.folders import scan
from geosearch.ingest.manifest import read_manifest
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.sources import (
    BadSource,
    Claims,
    PhotoSource,
    SourceUnreadable,
    is_url,
    split_member,
)

Place: TypeAlias = Coordinate | tuple[float, float]


def photo_sources(
    paths: PathLike | Iterable[PathLike],
    *,
    manifest: PathLike | None = None,
    dataset: str | None = None,
) -> Iterator[PhotoSource | BadSource]:
    """What an ingest takes in: the manifest's rows, then the files that it does not name.

    Raises:
        ConfigError: nothing is given, or a path does not exist.
        InvalidManifest: the manifest as a whole cannot be used.
    """
    folders = as_paths(paths)
    if not folders and manifest is None:
        raise ConfigError("nothing to ingest; name files or folders, or --manifest FILE")
    named: set[str] = set()
    if manifest is not None:
        for source in read_manifest(Path(manifest).expanduser(), dataset=dataset):
            if folders:
                named.add(source.uri)
            yield source
    for source in scan(folders, Claims(dataset=dataset)):
        if source.uri not in named:
            yield source


def coordinate_of(place: Place) -> Coordinate:
    """A place given as a coordinate, or as latitude and longitude."""
    return place if isinstance(place, Coordinate) else Coordinate(*place)


def as_paths(paths: PathLike | Iterable[PathLike]) -> list[Path | str]:
    """One path or many, `~` expanded; URLs stay text."""
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    return [
        path if isinstance(path, str) and is_url(path) else Path(path).expanduser()
        for path in paths
    ]


def image_bytes(image: PathLike | bytes) -> bytes:
    """An image given as a file, as a member of an archive, by URL, or as its bytes.

    Raises:
        UnreadableImage: it cannot be read.
    """
    if isinstance(image, bytes):
        return image
    name = os.fspath(image)
    if is_url(name) or split_member(name)[1] is not None:
        try:
            with PhotoReader() as reader:
                return reader.read(PhotoSource(name, None)).data
        except SourceUnreadable as error:
            raise UnreadableImage(f"{name} cannot be read: {error}") from error
    try:
        return Path(image).expanduser().read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{image} cannot be read: {error.strerror or error}") from error
