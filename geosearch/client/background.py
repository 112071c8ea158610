"""How alike unrelated photos of an index are: what a query must beat to be located."""

from __future__ import annotations

import itertools

import numpy as np

from geosearch.localization.background import background_score
from geosearch.store.base import VectorStore

BACKGROUND_SAMPLE = 512
"""Photos of the index that are compared with each other to learn how alike unrelated ones are."""


def background_of(store: VectorStore) -> float | None:
    """How alike unrelated photos of the index are, from a sample of it.

    Ids are hashes of content, so the first of them are a sample by chance.
    """
    sample = list(itertools.islice(store.scroll(batch=BACKGROUND_SAMPLE), BACKGROUND_SAMPLE))
    if len(sample) < 2:
        return None
    stored = store.vectors([hit.id for hit in sample])
    places = [hit.payload.coordinate for hit in sample]
    return background_score(
        np.stack([stored[hit.id] for hit in sample]),
        np.array([place.lat for place in places]),
        np.array([place.lon for place in places]),
    )
