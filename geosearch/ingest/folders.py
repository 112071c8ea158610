"""What folders, files and tar archives hold: a source for each photo, a reason for what is bad."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

from geosearch.errors import ConfigError
from geosearch.ingest.archives import scan_archive, scan_open_archive
from geosearch.ingest.sources import (
    ARCHIVE_SUFFIX,
    SUFFIXES,
    BadSource,
    Claims,
    PhotoSource,
    SourceUnreadable,
    plain,
    uri_of,
)

S3_TIMEOUT_S = 30.0


def scan(
    paths: Iterable[Path | str], claims: Claims = Claims()
) -> Iterator[PhotoSource | BadSource]:  # frozen
    """Every photo under these files, archives, folders and URLs, hidden entries left out.

    Entries of a folder come by name. Symbolic links are followed; a folder that was seen already,
    as in a loop, is not entered again. A URL is a photo, an archive on S3, or all that S3 holds
    under a prefix, which ends in `/`.

    Raises:
        ConfigError: one of `paths` does not exist.
    """
    paths = list(paths)
    for path in paths:
        if isinstance(path, Path) and not path.exists():
            raise ConfigError(
                f"{os.fsencode(path).decode(errors='replace')}: no such file or folder"
            )
    entered: set[tuple[int, int]] = set()
    for path in paths:
        if isinstance(path, str):
            yield from _scan_url(path, claims)
        elif path.is_dir():
            yield from _scan_folder(path, claims, entered)
        else:
            yield from _file(path, claims)


def _scan_folder(
    folder: Path, claims: Claims, entered: set[tuple[int, int]]
) -> Iterator[PhotoSource | BadSource]:
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in entered:
            return
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield BadSource(uri_of(folder), f"the folder cannot be read: {plain(error)}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            if path.suffix.lower() in SUFFIXES:
                yield BadSource(uri_of(path), f"cannot be read: {plain(error)}")
            continue
        if is_folder:
            yield from _scan_folder(path, claims, entered)
        elif path.suffix.lower() in SUFFIXES or is_archive(path):
            yield from _file(path, claims)


def _scan_url(uri: str, claims: Claims) -> Iterator[PhotoSource | BadSource]:
    is_whole_archive = uri.lower().endswith(ARCHIVE_SUFFIX)
    if not uri.startswith("s3://") or not (is_whole_archive or uri.endswith("/")):
        if is_whole_archive:
            yield BadSource(uri, "archives are read from files and from S3; download it first")
        else:
            yield PhotoSource(uri, None, claims)
        return
    from geosearch.ingest.objects import ObjectReader

    with closing(ObjectReader(timeout_s=S3_TIMEOUT_S)) as objects:
        try:
            for name in objects.names(uri) if uri.endswith("/") else [uri]:
                suffix = PurePosixPath(name).suffix.lower()
                if suffix == ARCHIVE_SUFFIX:
                    with objects.open(name) as file:
                        yield from scan_open_archive(file, name, claims)
                elif suffix in SUFFIXES:
                    yield PhotoSource(name, None, claims)
        except SourceUnreadable as error:
            yield BadSource(uri, str(error))


def is_archive(path: Path) -> bool:
    """Whether a file is taken for an archive of photos."""
    return path.suffix.lower() == ARCHIVE_SUFFIX


def _file(path: Path, claims: Claims) -> Iterator[PhotoSource | BadSource]:
    if is_archive(path):
        yield from scan_archive(path, claims)
    else:
        yield PhotoSource(uri_of(path), path, claims)
