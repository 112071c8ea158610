"""The page on a server that asks for a key, and results that come in several pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from geosearch.catalogue.keys import ApiKeys
from geosearch.client import GeoSearch
from tests.api.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000


def _opened(browser: Browser, url: str, problems: list[str]) -> Page:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{url}/#/search")
    return page


def test_a_key_is_asked_for_and_kept_in_the_tab_alone(
    browser: Browser, geosearch: GeoSearch, folder: Path
) -> None:
    geosearch.ingest(folder, dataset="trip")
    _, key = ApiKeys(geosearch.services.engine).create("page", ["read"])
    problems: list[str] = []
    with serving(geosearch, asks_keys=True) as url:
        page = _opened(browser, url, problems)
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key-input", key)
        page.click("#key-dialog button.primary")
        page.wait_for_selector("#search-count:has-text('12')")
        assert page.locator("#key-dialog[open]").count() == 0
        kept = page.evaluate("JSON.stringify([Object.values(localStorage), document.cookie])")
        assert json.loads(kept) == [[], ""]
        assert key not in page.url
        page.close()
    assert problems == []


def test_more_results_are_fetched_until_all_are_shown(
    browser: Browser, geosearch: GeoSearch, tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(130):
        data = make_jpeg(number, gps=(10.0 + 0.1 * number, 20.0))
        (many / f"{number:03}.jpg").write_bytes(data)
    geosearch.ingest(many)
    problems: list[str] = []
    with serving(geosearch, hosts=("127.0.0.1",)) as url:
        page = _opened(browser, url, problems)
        more, cards = page.locator("button.more"), page.locator("#search-grid > :not(.more)")
        more.wait_for()
        assert cards.count() == 120
        more.click()
        page.locator("#search-grid > :not(.more)").nth(129).wait_for()
        assert (cards.count(), more.count()) == (130, 0)
        page.close()
    assert problems == []
