"""Map tiles: asked of the host that a setting names, of nobody else, and never without it."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from geosearch.client import GeoSearch
from tests.api.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Visit = Callable[..., "Page"]


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


@dataclass
class TileServer:
    """A loopback server that draws the same tile for every address, and what it was asked."""

    url: str
    asked: list[str] = field(default_factory=list)
    header_names: set[str] = field(default_factory=set)


@pytest.fixture
def tile_servers() -> Iterator[Callable[[], TileServer]]:
    """Starts tile servers."""
    picture = io.BytesIO()
    Image.new("RGB", (256, 256), (120, 160, 200)).save(picture, "PNG")
    running = []

    def start() -> TileServer:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                tiles.asked.append(self.path)
                tiles.header_names.update(name.lower() for name in self.headers)
                self.send_response(200)
                self.send_header("content-type", "image/png")
                self.send_header("content-length", str(len(picture.getvalue())))
                self.end_headers()
                self.wfile.write(picture.getvalue())

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        running.append((http, thread))
        tiles = TileServer(f"http://127.0.0.1:{http.server_port}")
        return tiles

    yield start
    for http, thread in running:
        http.shutdown()
        http.server_close()
        thread.join()


def show_tiles(geosearch: GeoSearch, tiles: TileServer) -> None:
    """Set what an operator would."""
    services = geosearch.services
    services.settings = services.settings.model_copy(
        update={
            "tile_url": f"{tiles.url}/tiles/{{z}}/{{x}}/{{y}}.png",
            "tile_attribution": "© the mappers",
        }
    )


def _policy_of_pictures(page: Page) -> str:
    """The part of the content policy that says where pictures may come from."""
    response = page.request.get(page.url.split("#")[0])
    policy: str = response.headers["content-security-policy"]
    return next(part.strip() for part in policy.split(";") if part.strip().startswith("img-src"))


def test_tiles_are_asked_of_the_host_of_the_setting_and_of_no_other(
    visit: Visit, geosearch: GeoSearch, tile_servers: Callable[[], TileServer]
) -> None:
    ours = tile_servers()
    show_tiles(geosearch, ours)
    with serving(geosearch, hosts=("127.0.0.1",), asks_keys=False) as url:
        page = visit(f"{url}/#/locate", also=f"{ours.url}/tiles/")
        expect(page.locator("#map .leaflet-tile-loaded").first).to_be_visible()
        expect(page.locator("#map .leaflet-control-attribution")).to_contain_text("© the mappers")
        expect(page.locator("#map .country-name")).to_have_count(0)
        assert _policy_of_pictures(page) == f"img-src 'self' blob: data: {ours.url}"
        page.context.close()
    assert ours.asked
    assert all(re.fullmatch(r"/tiles/\d+/\d+/\d+\.png", path) for path in ours.asked)
    # The host learns which part of the world is looked at, not by whom nor on which page.
    assert not {"referer", "cookie", "authorization"} & ours.header_names


def test_a_picture_of_another_host_than_that_of_the_tiles_is_not_asked(
    browser: Browser, geosearch: GeoSearch, tile_servers: Callable[[], TileServer]
) -> None:
    ours, other = tile_servers(), tile_servers()  # to the policy each port is a host of its own
    show_tiles(geosearch, ours)
    with serving(geosearch, hosts=("127.0.0.1",), asks_keys=False) as url:
        page = browser.new_page()
        page.goto(f"{url}/#/locate")
        shown = page.evaluate(
            """addresses => Promise.all(addresses.map((address) => new Promise((resolve) => {
              const image = new Image();
              image.onload = () => resolve(true);
              image.onerror = () => resolve(false);
              image.src = address;
            })))""",
            [f"{ours.url}/one.png", f"{other.url}/one.png"],
        )
        page.close()
    assert shown == [True, False]
    assert other.asked == []


def test_without_the_setting_no_tile_is_asked(visit: Visit, geosearch: GeoSearch) -> None:
    with serving(geosearch, hosts=("127.0.0.1",), asks_keys=False) as url:
        page = visit(f"{url}/#/locate")
        expect(page.locator("#map .country-name").first).to_be_attached()
        page.wait_for_load_state("networkidle")
        assert page.locator("#map .leaflet-tile").count() == 0
        assert _policy_of_pictures(page) == "img-src 'self' blob: data:"
        page.context.close()
