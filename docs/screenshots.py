"""Take the pictures of the page that README shows: ``python docs/screenshots.py``.

Draws postcards, serves them with the encoder `lite`, and drives Debian's chromium by Playwright
(`pip install -e '.[dev]'`, `apt-get install chromium`). Writes docs/images/page-*.png.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from geosearch import GeoSearch
from geosearch.api import create_app
from geosearch.postcards import write_postcards

IMAGES = Path(__file__).parent / "images"
PATIENCE_MS = 60_000


@contextmanager
def served(geosearch: GeoSearch) -> Iterator[str]:
    """The address of the page over a collection."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(geosearch, hosts=("127.0.0.1",), asks_keys=False)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def locate(page: Page, photo: Path) -> None:
    """Drop a photo and wait for its place on the map."""
    page.set_input_files("#locate-drop input", photo)
    expect(page.locator(".answer h2")).to_be_visible()
    expect(page.locator("#map .pin")).to_be_visible()


def take(page: Page, name: str) -> None:
    """Wait until every picture in sight is drawn, then write docs/images/NAME."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        """() => [...document.querySelectorAll(".frame")].every((frame) => {
          const { top, bottom } = frame.getBoundingClientRect();
          const image = frame.querySelector("img");
          return bottom < 0 || top > innerHeight || (image?.complete && image.naturalWidth > 0);
        })"""
    )
    page.screenshot(path=IMAGES / name)


def main() -> None:
    """Take every picture anew."""
    chromium = shutil.which("chromium") or sys.exit("no chromium here: apt-get install chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with tempfile.TemporaryDirectory(prefix="geosearch-pictures-") as scratch:
        cards = write_postcards(Path(scratch) / "postcards")
        # Located rightly, with a radius at 50 % (1,149 km) that can be seen on the map: others
        # have a kilometre, which hides behind the pin, or half of the world.
        photo = next(one.path for one in cards.held_out if one.city == "Seoul")
        with (
            GeoSearch(home=Path(scratch) / "home", encoder="lite") as geosearch,
            sync_playwright() as runner,
        ):
            geosearch.ingest(cards.directory / "labelled", dataset="postcards")
            browser = runner.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            with served(geosearch) as address:

                def opened(way: str, *, dark: bool, width: int, height: int) -> Page:
                    page = browser.new_context(
                        viewport={"width": width, "height": height},
                        color_scheme="dark" if dark else "light",
                        reduced_motion="reduce",
                    ).new_page()
                    page.set_default_timeout(PATIENCE_MS)
                    page.goto(address + way)
                    page.wait_for_selector("#map[data-world=drawn]")
                    return page

                page = opened("#/locate", dark=False, width=1360, height=860)
                locate(page, photo)
                take(page, "page-locate.png")

                way = "#/search?near=46,8&km=1500"
                page = opened(way, dark=True, width=1360, height=860)
                expect(page.locator("#search-count")).to_contain_text("photos")
                take(page, "page-search-dark.png")

                page = opened("#/locate", dark=False, width=390, height=844)
                locate(page, photo)
                take(page, "page-phone.png")
            browser.close()


if __name__ == "__main__":
    main()
