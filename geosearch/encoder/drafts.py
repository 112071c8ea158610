"""Files and folders that are written aside and renamed: whole or not there at all."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geosearch.errors import ConfigError, StorageFull


@contextmanager
def drafted_folder(target: Path) -> Iterator[Path]:
    """A folder to fill; it takes the name of `target` when the block ends without an error.

    A `target` that is there already, made by someone quicker, is kept and the draft thrown away:
    the names used here stand for the content.

    Raises:
        StorageFull: no room is left.
        ConfigError: the folder cannot be written.
    """
    draft = _draft(target)
    with _translated(target):
        try:
            draft.mkdir(parents=True)
            yield draft
            for path in sorted(draft.rglob("*")):
                if path.is_file():
                    _sync(path)
            try:
                draft.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
            _sync_folder(target.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def drafted_file(target: Path) -> Iterator[Path]:
    """A path to write to; it replaces `target` when the block ends without an error.

    Raises:
        StorageFull: no room is left.
        ConfigError: the file cannot be written.
    """
    draft = _draft(target)
    with _translated(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield draft
            _sync(draft)
            draft.replace(target)
            _sync_folder(target.parent)
        finally:
            draft.unlink(missing_ok=True)


def _draft(target: Path) -> Path:
    # Beside the target, because a rename is atomic only within one file system.
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.draft")


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _translated(target: Path) -> Iterator[None]:
    try:
        yield
    except (ConfigError, StorageFull):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"no room is left to write {target}; free some and give the same command again"
            ) from error
        raise ConfigError(
            f"{target} cannot be written ({error.strerror or error}); name a folder that you may "
            "write"
        ) from error
