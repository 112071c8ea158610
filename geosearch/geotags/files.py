"""Copies with a position, and originals changed only with a backup beside them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from geosearch.errors import ConfigError, UnreadableImage
from geosearch.geotags.writing import Position, write_position

BACKUP_SUFFIX = ".original"


@dataclass(frozen=True, slots=True)
class WrittenPhoto:
    """A photo that was written, from where to where; `backup` only for one changed in place."""

    source: Path
    target: Path
    position: Position
    backup: Path | None = None


def write_copy(source: Path, target: Path, position: Position) -> WrittenPhoto:
    """Write a copy with a position; times and rights of the file are kept.

    Raises:
        ConfigError: there is a file at `target` already.
        UnreadableImage: the photo cannot be read or cannot take a position.
        InvalidCoordinate: exactly (0, 0).
    """
    if target.exists():
        raise ConfigError(f"{target} is there already; nothing is overwritten, name another folder")
    data = write_position(_read(source), position)
    target.parent.mkdir(parents=True, exist_ok=True)
    _replace(target, data, like=source)
    return WrittenPhoto(source, target, position)


def write_in_place(path: Path, position: Position) -> WrittenPhoto:
    """Change a photo itself, after a copy of it was laid beside it as NAME.original.

    A backup that is there already is kept: it is the original, whatever was written since.

    Raises:
        UnreadableImage: the photo cannot be read or cannot take a position.
        InvalidCoordinate: exactly (0, 0).
    """
    original = _read(path)
    data = write_position(original, position)
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    if not backup.exists():
        _replace(backup, original, like=path)
    _replace(path, data, like=path)
    return WrittenPhoto(path, path, position, backup)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{path} cannot be read: {error.strerror or error}") from error


def _replace(target: Path, data: bytes, *, like: Path) -> None:
    """Write aside, sync and rename, so that a crash leaves the old file or the new one."""
    draft = target.with_name(target.name + ".part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        shutil.copystat(like, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
