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
    """A collection by name, and the encoder identity that it says it belongs to, None if none."""

    name: str
    identity: str | None


def local_collections(root: Path) -> list[StoredCollection]:
    """The collections below a home's directory of Qdrant Edge, by name."""
    if not root.is_dir():
        return []
    return [
        StoredCollection(path.name, _identity(path / MANIFEST))
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    ]


def abandoned_directories(root: Path) -> list[Path]:
    """What processes that died while they made a collection left behind."""
    return sorted(root.glob(".*.new-*")) if root.is_dir() else []


def _identity(manifest: Path) -> str | None:
    try:
        return str(json.loads(manifest.read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
