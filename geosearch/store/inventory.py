"""Which collections of vectors there are, whoever uses them, and what crashes left beside them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from geosearch.store.manifest import MANIFEST, os_error

PREFIX = "geosearch-"
"""Every collection of ours begins so."""


@dataclass(frozen=True, slots=True)
class StoredCollection:
    """A collection by name; the encoder identity and vector length that it says, None if none."""

    name: str
    identity: str | None
    dim: int | None = None


def local_collections(root: Path) -> list[StoredCollection]:
    """The collections below a home's directory of Qdrant Edge, by name."""
    if not root.is_dir():
        return []
    return [
        _described(path.name, path / MANIFEST)
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def abandoned_directories(root: Path) -> list[Path]:
    """What processes that died while they made a collection left behind."""
    return sorted(root.glob(".*.new-*")) if root.is_dir() else []


def drop_local_collection(root: Path, name: str) -> None:
    """Delete a collection; interrupted, what is left counts as abandoned.

    Raises:
        StoreError: it cannot be deleted.
    """
    path, doomed = root / name, root / f".{name}.new-dropped"
    try:
        shutil.rmtree(doomed, ignore_errors=True)
        if path.is_dir():
            path.rename(doomed)
            shutil.rmtree(doomed)
    except OSError as error:
        raise os_error("delete", path, error) from error


def _described(name: str, manifest: Path) -> StoredCollection:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        return StoredCollection(name, str(found["identity"]), int(found["dim"]))
    except (OSError, ValueError, KeyError, TypeError):
        return StoredCollection(name, None)
