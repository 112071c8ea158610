"""A server on a free port over the small encoder, and clients that talk to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from geosearch.client import GeoSearch

if TYPE_CHECKING:
    from fastapi import FastAPI

Serve = Callable[..., "httpx.Client"]


@contextmanager
def serving(
    geosearch: GeoSearch, *, app: FastAPI | None = None, **options: object
) -> Iterator[str]:
    """The address of a server over a collection."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra api is not installed")
    from geosearch.api import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    app = app or create_app(geosearch, **options)  # type: ignore[arg-type]
    runner = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        runner.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def filled(geosearch: GeoSearch, folder: Path) -> GeoSearch:
    geosearch.ingest(folder, dataset="trip")
    return geosearch


@pytest.fixture
def api(filled: GeoSearch) -> Iterator[httpx.Client]:
    """A client of a server without keys that holds twelve photos of four cities."""
    with (
        serving(filled, hosts=("127.0.0.1",)) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        yield client
