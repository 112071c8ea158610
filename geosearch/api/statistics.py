"""GET /v1/stats."""

from __future__ import annotations

from fastapi import APIRouter

from geosearch.api.answers import Document
from geosearch.api.shared import SharedState
from geosearch.catalogue.facets import facets

router = APIRouter(tags=["collection"])


@router.get("/v1/stats")
def stats(shared: SharedState) -> Document:
    """Photos by state, country and data set, when they were taken, and the encoder in use."""
    services = shared.geosearch.services
    index = services.index
    found = facets(services.engine)
    return {
        "photos": services.catalogue.counts(),
        "countries": found.countries,
        "datasets": found.datasets,
        "captured_at": {"first": found.first, "last": found.last},
        "encoder": index.identity,
        "searches_places": index.embedder.has_location_space,
    }
