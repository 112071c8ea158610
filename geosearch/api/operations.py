"""/healthz, /readyz, /metrics and /v1/encoders: whether the server lives, works, and with what."""

from __future__ import annotations

import logging

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from geosearch.api.answers import Document
from geosearch.api.problems import problem
from geosearch.api.shared import SharedState
from geosearch.client.encoders import index_summaries
from geosearch.errors import GeosearchError

logger = logging.getLogger(__name__)

router = APIRouter(tags=["operations"])


@router.get("/healthz", response_class=PlainTextResponse)
def healthz() -> Response:
    """Whether the process answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", response_class=PlainTextResponse)
def readyz(shared: SharedState) -> Response:
    """Whether catalogue and index answer; 503 while they do not."""
    try:
        shared.geosearch.services.catalogue.last_run()
        with shared.geosearch.services.borrowed_index() as index:
            index.store.existing([])
    except GeosearchError as error:
        logger.error("not ready: %s", error)
        return problem(503, "catalogue or index do not answer", {"Retry-After": "5"})
    return PlainTextResponse("ready\n")


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(shared: SharedState) -> Response:
    """Counts for Prometheus; needs a key where the API does."""
    text = shared.metrics.exposition(shared.geosearch.services.catalogue.counts())
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/v1/encoders")
def encoders(shared: SharedState) -> Document:
    """The encoder in use, and what each index is for and how many photos it holds."""
    services = shared.geosearch.services
    index = services.index
    return {
        "active": index.identity,
        "searches_places": index.embedder.has_location_space,
        "encoders": [
            {"identity": one.encoder, "state": one.state, "photos": one.photos}
            for one in index_summaries(services)
        ],
    }
