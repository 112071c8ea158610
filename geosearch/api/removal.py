"""Deleting a photo everywhere: every index, the record, and the file if it was uploaded here."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from uuid import UUID

from geosearch.api.uploads import folder_of
from geosearch.catalogue.removal import remove_photo
from geosearch.records import IndexState
from geosearch.services import Services


def remove(services: Services, photo_id: UUID, sha256: str) -> None:
    """Delete a photo; a file that was taken in where its owner keeps it stays there.

    The record goes last: until then the same request can be made again and finishes.

    Raises:
        StoreError, CatalogueError: an engine refused.
    """
    with services.borrowed_index(is_current=True) as index:
        index.store.delete([photo_id])
        index.store.flush()
        removed_from = {index.identity}
    # One that is being filled is open elsewhere; whoever fills it deletes the photo there.
    filling = {one.encoder for one in services.indexes.all() if one.state is IndexState.FILLING}
    for collection in services.collections.all():
        if collection.identity is None or collection.identity in removed_from | filling:
            continue
        with closing(services.collections.open(collection)) as other:
            other.delete([photo_id])
            other.flush()
        removed_from.add(collection.identity)
    kept: Path = folder_of(services, sha256)
    if kept.is_dir():
        shutil.rmtree(kept)
    remove_photo(services.engine, photo_id, removed_from=removed_from)
