"""The application put together: routes, guard, and errors as problem documents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from geosearch import __version__
from geosearch.api import jobs, locating, operations, photos, searching, statistics, uploading
from geosearch.api.access import Access
from geosearch.api.examples import describe
from geosearch.api.guard import BODY_TIMEOUT_S, Guard
from geosearch.api.limits import RateLimit
from geosearch.api.page import page_routes
from geosearch.api.problems import DOCUMENTED, add_handlers
from geosearch.api.runner import JobRunner
from geosearch.api.shared import Shared
from geosearch.api.uploads import take_in_job
from geosearch.catalogue.keys import ApiKeys
from geosearch.client import GeoSearch

STATIC = Path(__file__).parent / "static"


def create_app(
    geosearch: GeoSearch,
    *,
    hosts: tuple[str, ...] | None = None,
    asks_keys: bool | None = None,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> FastAPI:
    """The API and the page over one collection; the caller closes the collection afterwards.

    `app.state.shared.stop()` must be called before that where no lifespan runs.

    Args:
        geosearch: what is served.
        hosts: names under which the server may be asked, None for any. A server without a key must
            name its own, or a page elsewhere could reach it under a name that points here.
        asks_keys: whether every request to /v1 needs a key; None if the settings hold one.
        body_timeout_s: a body that takes longer to come in is refused.
    """
    services, settings = geosearch.services, geosearch.services.settings
    # Engines open before the first request: two requests at once must not open them twice.
    _ = services.catalogue, services.audit, services.index, services.gazetteer
    shared = Shared(geosearch)
    shared.jobs = JobRunner(
        services,
        {
            "locate": partial(locating.locate_job, shared),
            "ingest": partial(take_in_job, shared),
        },
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(shared.stop)

    app = FastAPI(
        title="GeoSearch",
        version=__version__,
        summary="Find photos by look, words and place; find the place of a photo.",
        docs_url=None,  # FastAPI's page loads scripts from elsewhere; ours is in page.py
        redoc_url=None,
        lifespan=lifespan,
        responses=DOCUMENTED,
    )
    app.state.shared = shared
    for module in (searching, locating, uploading, photos, jobs, statistics, operations):
        app.include_router(module.router)
    if STATIC.is_dir():
        app.include_router(page_routes(STATIC, settings))
        app.mount("/static", StaticFiles(directory=STATIC), name="static")
    add_handlers(app)
    own = None if settings.api_key is None else settings.api_key.get_secret_value()
    asks = own is not None if asks_keys is None else asks_keys
    describe(app, asks_keys=asks)
    app.add_middleware(
        Guard,
        access=Access(ApiKeys(services.engine), own) if asks else None,
        rate=RateLimit(settings.api_rate_per_minute),
        metrics=shared.metrics,
        hosts=hosts,
        max_body_bytes=settings.max_file_mb * 1_000_000,
        max_in_flight=settings.api_max_in_flight,
        tile_url=settings.tile_url,
        body_timeout_s=body_timeout_s,
    )
    return app
