"""A browser, a server with twelve photos, and a page that tells of every error and request."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geosearch.client import GeoSearch
from geosearch.encoder.fakes import ColorGridEmbedder
from geosearch.encoder.fusion import fuse

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-quic",
]  # fmt: skip
PATIENCE_MS = 60_000


class WordyEmbedder(ColorGridEmbedder):
    """Knows words and places as colours, so that every kind of query can be asked.

    It claims no location space: a gallery of coordinates would propose places by chance.
    """

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        return np.stack([self._of(len(text)) for text in texts])

    def encode_locations(self, places: list[Any]) -> NDArray[np.float32]:
        return np.stack([self._of(round(abs(place.lat))) for place in places])

    def _of(self, seed: int) -> NDArray[np.float32]:
        feature = np.random.default_rng(seed).normal(size=(1, self.dim // 3)).astype(np.float32)
        return fuse(visual=feature, text_aligned=feature, location_aligned=feature)[0]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; pip install '.[dev]'"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine; apt-get install chromium")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def server(geosearch: GeoSearch, folder: Path, make_jpeg: Callable[..., bytes]) -> Iterator[str]:
    """The address of a server with twelve photos of four cities and two without a place."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    api = pytest.importorskip("geosearch.api", reason="the extra serve is not installed")
    geosearch.services._load_embedder = lambda settings: WordyEmbedder()  # type: ignore[return-value]
    geosearch.ingest(folder, dataset="trip")
    nameless = folder.parent / "nameless"
    nameless.mkdir()
    for number in range(2):
        (nameless / f"nameless-{number}.jpg").write_bytes(make_jpeg(number, size=(70, 48)))
    geosearch.ingest(nameless, dataset="nameless")
    listener = socket.create_server(("127.0.0.1", 0))
    app = api.create_app(geosearch, hosts=("127.0.0.1",))
    runner = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    runner.should_exit = True
    thread.join()
    listener.close()


Visit = Callable[..., "Page"]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open an address; at the end no error was in a console, no request left its server.

    `also` is the beginning of addresses that may be asked besides.
    """
    contexts = []
    problems: list[str] = []
    outside: list[str] = []

    def visit(
        url: str,
        *,
        also: str | None = None,
        dark: bool = False,
        width: int = 1280,
        height: int = 800,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        origin = "/".join(url.split("/")[:3]) + "/"
        ours = (origin, "blob:", "data:", *([also] if also else []))
        page.on("request", lambda r: None if r.url.startswith(ours) else outside.append(r.url))
        page.goto(url)
        page.wait_for_selector("#map[data-world=drawn]")
        return page

    visit.problems = problems  # type: ignore[attr-defined]
    yield visit
    for context in contexts:
        context.close()
    assert outside == [], "requests left this machine"
    assert problems == [], "errors in the console"


@pytest.fixture
def open_page(server: str, visit: Visit) -> Callable[..., Page]:
    """Open the page of the server, which outlives it, at an address of its own."""

    def open_page(address: str = "", **options: Any) -> Page:
        return visit(server + address, **options)

    open_page.problems = visit.problems  # type: ignore[attr-defined]
    return open_page


@pytest.fixture(autouse=True, scope="session")
def _patience() -> None:
    if "playwright" in os.environ.get("PYTEST_PLUGINS", ""):
        return
    try:
        from playwright.sync_api import expect
    except ImportError:
        return
    expect.set_options(timeout=PATIENCE_MS)
