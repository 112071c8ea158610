"""GET /v1/stats and /v1/status: what the collection holds, and how taking photos in goes."""

from __future__ import annotations

from fastapi import APIRouter

from geosearch import __version__
from geosearch.api.answers import Document, public_words
from geosearch.api.shared import SharedState
from geosearch.catalogue.facets import facets
from geosearch.exports.text import json_value
from geosearch.ingest.sources import file_name

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
        "version": __version__,
    }


@router.get("/v1/status")
def status(shared: SharedState) -> Document:
    """Photos by state and by encoder, the pace, the last run, the last errors."""
    found = shared.geosearch.status()
    run = found["last_run"]
    told: Document = found | {
        # What a run was asked for names folders of the server.
        "last_run": None if run is None else {k: v for k, v in run.items() if k != "inputs"},
        "errors": [
            {"path": file_name(error["path"]), "reason": public_words(error["reason"])}
            for error in found["errors"]
        ],
    }
    return {name: json_value(value) for name, value in told.items()}
