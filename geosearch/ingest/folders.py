"""What folders, files and tar archives hold: a source for each photo, a reason for what is bad."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from geosearch.errors import ConfigError
from geosearch.ingest.archives import scan_archive
from geosearch.ingest.sources import (
    ARCHIVE_SUFFIX,
    SUFFIXES,
    BadSource,
    Claims,
    PhotoSource,
    plain,
    uri_of,
)


def scan(
    paths: Iterable[Path], claims: Claims = Claims()
) -> Iterator[PhotoSource | BadSource]:  # frozen
    """Every photo under these files, archives and folders, by name, hidden entries left out.

    Symbolic links are followed; a folder that was seen already, as in a loop, is not entered again.

    Raises:
        ConfigError: one of `paths` does not exist.
    """
    paths = list(paths)
    for path in paths:
        if not path.exists():
            raise ConfigError(
                f"{os.fsencode(path).decode(errors='replace')}: no such file or folder"
            )
    entered: set[tuple[int, int]] = set()
    for path in paths:
        if path.is_dir():
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


def is_archive(path: Path) -> bool:
    """Whether a file is taken for an archive of photos."""
    return path.suffix.lower() == ARCHIVE_SUFFIX


def _file(path: Path, claims: Claims) -> Iterator[PhotoSource | BadSource]:
    if is_archive(path):
        yield from scan_archive(path, claims)
    else:
        yield PhotoSource(uri_of(path), path, claims)
