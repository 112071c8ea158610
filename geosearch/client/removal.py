"""Deleting a photo everywhere: indexes, answers, the record, the file if it was uploaded here."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from geosearch.catalogue.drafts import PhotoDraft
from geosearch.catalogue.removal import forget_model_answers, redact_answers, remove_photo
from geosearch.errors import UnreadableImage
from geosearch.ingest.reader import PhotoReader
from geosearch.ingest.sources import PhotoSource, SourceUnreadable, path_of
from geosearch.lmm.pictures import prepare_picture
from geosearch.records import IndexState
from geosearch.services import Services

UPLOADS = "uploads"
"""Where in the home photos are kept that came over the network."""


def folder_of(services: Services, sha256: str) -> Path:
    """Where an uploaded photo lies, in a folder of its own."""
    return services.settings.home / UPLOADS / sha256[:2] / sha256


def remove(services: Services, photo: PhotoDraft) -> None:
    """Delete a photo; a file that was taken in where its owner keeps it stays there.

    The record goes last: until then the same request can be made again and finishes.

    Raises:
        StoreError, CatalogueError: an engine refused.
    """
    photo_id = photo.id
    _forget_model_answers(services, photo)
    redact_answers(services.engine, photo_id)
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
    kept: Path = folder_of(services, photo.sha256)
    if kept.is_dir():
        shutil.rmtree(kept)
    remove_photo(services.engine, photo_id, removed_from=removed_from)


def _forget_model_answers(services: Services, photo: PhotoDraft) -> None:
    """Delete what models said of the photo; they know it by the small picture they were sent."""
    settings = services.settings
    try:
        with PhotoReader(services.read_limits) as reader:
            content = reader.read(PhotoSource(photo.uri, path_of(photo.uri)))
        picture = prepare_picture(
            content.data, edge=settings.lmm_image_edge, max_pixels=settings.max_pixels
        )
    except (SourceUnreadable, UnreadableImage):
        return  # no model was ever sent a picture that cannot be made
    forget_model_answers(services.engine, picture.digest)
