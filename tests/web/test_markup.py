"""Words of photos that look like markup: shown as they are, and none of them runs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from geosearch.client import GeoSearch

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]

NAME = "<img src=x data-evil onerror=window.hasRun=1>.jpg"
WORDS = {
    "caption": "</b><img src=x data-evil onerror=window.hasRun=1>",
    "author": "<svg data-evil onload=window.hasRun=1>",
    "license": "<a data-evil href='javascript:window.hasRun=1'>CC</a>",
    "dataset": "</option></select><iframe data-evil srcdoc='<script>top.hasRun=1</script>'>",
}


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def _nothing_became_markup(page: Page) -> None:
    """Also what the content policy stops counts: our own code must not have made it."""
    assert page.locator("[data-evil]").count() == 0
    assert page.locator("a[href^='javascript:' i]").count() == 0
    assert page.evaluate("window.hasRun") is None


def _shows_all_words(page: Page, *others: str) -> None:
    facts = page.locator("#photo-dialog dl.facts")
    for words in (*WORDS.values(), *others):
        expect(facts).to_contain_text(words)


def _take_in(geosearch: GeoSearch, folder: Path, photos: list[bytes]) -> None:
    """Photos near Paris whose every word is markup, and one without a place."""
    folder.mkdir()
    (folder / NAME).write_bytes(photos[0])
    (folder / "second.jpg").write_bytes(photos[1])
    (folder / f"lost {NAME}").write_bytes(photos[2])
    with (folder / "photos.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["path", "lat", "lon", *WORDS])
        table.writeheader()
        for name in (NAME, "second.jpg"):
            table.writerow({"path": name, "lat": 48.85, "lon": 2.29} | WORDS)
    geosearch.ingest(manifest=folder / "photos.csv")
    geosearch.ingest(folder)


def test_words_of_photos_are_text_in_every_view(
    open_page: Open, geosearch: GeoSearch, tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    photos = [make_jpeg(60), make_jpeg(60, size=(66, 48)), make_jpeg(61)]
    _take_in(geosearch, tmp_path / "evil", photos)

    page = open_page("#/search?near=48.85,2.29&km=50")
    cards = page.locator("#search-grid .card")
    expect(cards).to_have_count(2)
    cards.first.hover()
    assert cards.first.locator("img").get_attribute("alt") == WORDS["caption"]
    for number in range(2):
        cards.nth(number).click()
        _shows_all_words(page)
        _nothing_became_markup(page)
        page.keyboard.press("Escape")
    page.select_option("[name=dataset]", WORDS["dataset"])
    expect(page.locator("#search-count")).to_contain_text("2 of 2 photos")
    _nothing_became_markup(page)

    asked = tmp_path / NAME
    asked.write_bytes(make_jpeg(60, size=(68, 48)))
    page.click("a[href^='#/locate']")
    page.set_input_files("#locate-drop input", asked)
    evidence = page.locator("#locate-result .card")
    expect(evidence.first).to_contain_text("from the answer")
    evidence.first.click()
    _shows_all_words(page)
    _nothing_became_markup(page)
    page.keyboard.press("Escape")

    page.click("a[href^='#/place']")
    lost = page.locator("#place-grid .card", has_text=f"lost {NAME}")
    expect(lost).to_have_count(1)
    lost.click()
    expect(page.locator("#place-current")).to_contain_text(f"lost {NAME}")
    _nothing_became_markup(page)


def test_words_of_an_address_and_names_of_uploads_are_text(open_page: Open, tmp_path: Path) -> None:
    words = WORDS["caption"]
    page = open_page(f"#/search?text={quote(words)}&dataset={quote(words)}")
    expect(page.locator("#search-count, #search-grid .empty").first).to_be_visible()
    assert page.input_value("#search-text") == words
    _nothing_became_markup(page)

    broken = tmp_path / NAME
    broken.write_bytes(b"\xff\xd8\xff broken")
    page.click("a[href^='#/add']")
    page.set_input_files("#add-files", broken)
    expect(page.locator("#add-result table")).to_contain_text("onerror")
    _nothing_became_markup(page)
