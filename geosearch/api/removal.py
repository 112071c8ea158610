"""Deleting a photo everywhere: every index, the record, and the file if it was uploaded here."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from uuid import UUID

from geosearch.api.uploads import folder_of
from geosearch.catalogue.removal import remove_photo
from geosearch.services import Services


def remove(services: Services, photo_id: UUID, sha256: str) -> None:
    """Delete a photo; a file that was taken in where its owner keeps it stays there.

    The record goes last: until then the same request can be made again and finishes.

    Raises:
        StoreError, CatalogueError: an engine refused.
    """
    services.store.delete([photo_id])
    services.store.flush()
    current = str(services.embedder.identity)
    for collection in services.collections():
        if collection.identity in (None, current):
            continue
        with closing(services.open_collection(collection)) as other:
            other.delete([photo_id])
            other.flush()
    kept: Path = folder_of(services, sha256)
    if kept.is_dir():
        shutil.rmtree(kept)
    remove_photo(services.engine, photo_id)
