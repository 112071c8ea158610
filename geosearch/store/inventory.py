"""Which collections of vectors there are, whoever uses them, and what crashes left beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from geosearch.store.manifest import MANIFEST

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


def _described(name: str, manifest: Path) -> StoredCollection:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        return StoredCollection(name, str(found["identity"]), int(found["dim"]))
    except (OSError, ValueError, KeyError, TypeError):
        return StoredCollection(name, None)
