"""The small file that says whose vectors a directory holds, and care for that directory.

Nothing here knows the engine that keeps the vectors; that is `edge/`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path

from geosearch.errors import IdentityMismatch, StorageFull, StoreError

MANIFEST = "collection.json"
_ABANDONED_AFTER_S = 3600.0


def write_manifest(directory: Path, *, dim: int, identity: str, scans_up_to: int) -> None:
    """Write down what the vectors are and how many are surely scanned, to survive a power cut."""
    manifest = json.dumps(
        {"format": 1, "identity": identity, "dim": dim, "scans_up_to": scans_up_to}, indent=2
    )
    with (directory / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(manifest)
        file.flush()
        os.fsync(file.fileno())


def check_manifest(directory: Path, *, dim: int, identity: str) -> int:
    """Refuse a directory whose vectors are of another encoder or length.

    Returns:
        How many matches the engine scans rather than walk; 0 for a directory that does not say.

    Raises:
        IdentityMismatch: they are.
        StoreError: the manifest is damaged or cannot be read.
    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found_dim, found_identity = int(manifest["dim"]), str(manifest["identity"])
        scans_up_to = int(manifest.get("scans_up_to", 0))
    except OSError as error:
        raise os_error("read", path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged ({error!r}); move {directory} away and run geosearch reindex"
        ) from error
    if (found_identity, found_dim) != (identity, dim):
        raise IdentityMismatch(
            f"{directory} holds vectors of '{found_identity}' ({found_dim} numbers each), not of "
            f"'{identity}' ({dim}); choose that encoder, or run geosearch reindex for this one"
        )
    return scans_up_to


def remove_abandoned(directory: Path) -> None:
    """Clear away what processes that died while creating left behind."""
    for path in directory.parent.glob(f".{directory.name}.new-*"):
        # Younger ones may be in the making; it takes less than a second.
        if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
            shutil.rmtree(path, ignore_errors=True)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def os_error(action: str, path: Path, error: OSError) -> StorageFull | StoreError:
    """An error of the file system as one of ours."""
    if error.errno == errno.ENOSPC:
        return StorageFull(f"cannot {action} {path}: the disk is full; free some")
    return StoreError(f"cannot {action} {path}: {error.strerror}")
