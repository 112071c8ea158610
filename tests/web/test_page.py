"""The page in a real browser: every flow that people go through, on a real server.

Each test ends with no error in the console and no request that left this machine.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from geosearch.client import GeoSearch
from tests.api.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def shows(page: Page, words: str) -> None:
    """Wait until the head of the results says so."""
    expect(page.locator("#search-count")).to_contain_text(words)


def draw(page: Page, tool: str, *points: tuple[float, float]) -> None:
    """Use a tool, clicking at parts of the map's width and height."""
    page.click(f"[data-tool={tool}]")
    expect(page.locator("#map-hint")).to_be_visible()
    box = page.locator("#map").bounding_box()
    assert box is not None
    for x, y in points:
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    expect(page.locator("#map-hint")).to_be_hidden()


def label_sources(geosearch: GeoSearch) -> set[str | None]:
    rows = geosearch.services.catalogue.export_rows()
    return {row["label_source"] for row in rows if "nameless" in row["path"]}


def test_a_dropped_photo_is_located_with_steps_evidence_and_a_pin(
    open_page: Open, folder: Path
) -> None:
    page = open_page("#/locate")
    page.set_input_files("#locate-drop input", folder / "suva-0.jpg")
    expect(page.locator(".answer h2")).to_contain_text("Fiji")
    expect(page.locator(".answer dl")).to_contain_text("at 90 %")
    expect(page.locator(".answer dl")).to_contain_text("no, take these distances as a guess")
    expect(page.locator(".steps li").first).to_be_hidden()  # the answer comes first now
    page.click("summary:has-text('steps')")
    expect(page.locator(".steps li").first).to_contain_text("encoded")
    expect(page.locator(".steps li").last).to_contain_text("calibrated")
    expect(page.locator("#locate-result .card").first).to_contain_text("from the answer")
    expect(page.locator("#map .pin")).to_be_visible()
    page.locator("#locate-result .card").first.click()
    expect(page.locator("#photo-dialog .pair img")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("#photo-dialog")).to_be_hidden()
    with page.expect_download() as download:
        page.click(".answer button:has-text('GeoJSON')")
    roles = {
        feature["properties"]["role"]
        for feature in json.loads(download.value.path().read_text())["features"]
    }
    assert {"answer", "radius", "evidence"} <= roles
    again = open_page(page.url.split("/", 3)[3])
    expect(again.locator(".answer h2")).to_contain_text("Fiji")
    page.click(".answer a:has-text('Photos near here')")
    shows(page, "newest first")
    expect(page.locator("#area-words")).to_contain_text("Within 25 km of")
    assert "near=-18" in page.url


def test_a_photo_that_cannot_be_read_gives_a_reason_and_not_a_place(
    open_page: Open, tmp_path: Path
) -> None:
    fake = tmp_path / "fake.jpg"
    fake.write_bytes(b"GIF89a")
    page = open_page()
    page.set_input_files("#locate-drop input", fake)
    expect(page.locator("#locate-result .notice")).to_contain_text("GIF")
    assert page.locator("#map .pin").count() == 0


def test_each_circle_around_an_answer_is_named_on_the_map_and_shown_whole_when_picked(
    open_page: Open, folder: Path
) -> None:
    page = open_page("#/locate")
    expect(page.locator("#map-key")).to_be_hidden()
    page.set_input_files("#locate-drop input", folder / "suva-0.jpg")
    circles = page.locator("#map-key button")
    expect(circles).to_have_text([re.compile("at 50 %"), re.compile("at 90 %")])
    before = page.locator("#map .country-name").all_inner_texts()
    circles.first.press("Enter")
    page.wait_for_function(
        "names => names.join() !== [...document.querySelectorAll('#map .country-name')]"
        ".map((node) => node.innerText).join()",
        arg=before,
    )
    page.click("nav a:has-text('Search')")
    expect(page.locator("#map-key")).to_be_hidden()


def test_where_there_is_no_place_the_reason_comes_first_and_the_map_shows_the_world(
    open_page: Open, folder: Path
) -> None:
    step = {"name": "density", "summary": "words", "seconds": 0.1, "lat": 43.0, "lon": 12.5}
    answer = {
        "id": "x", "image": "a.jpg", "lat": None, "lon": None, "reason": "the photos are scattered",
        "steps": [step], "evidence": [], "alternatives": [], "seconds": 0.1, "lmm": "not-asked",
    }  # fmt: skip
    events = f"event: step\ndata: {json.dumps(step)}\n\n" * 2
    events += f"event: prediction\ndata: {json.dumps(answer)}\n\n"
    page = open_page("#/locate")
    page.route("**/v1/locate", lambda r: r.fulfill(content_type="text/event-stream", body=events))
    page.set_input_files("#locate-drop input", folder / "suva-0.jpg")
    expect(page.locator("#locate-result .notice")).to_contain_text("The photos are scattered")
    expect(page.locator(".steps li").first).to_be_hidden()
    # Where a step led the map it was named; seen with the whole world it is too small for that.
    expect(page.locator("#map .country-name", has_text="Italy")).to_have_count(0)


def test_a_coordinate_is_copied_or_selected_where_the_clipboard_is_not_lent(
    open_page: Open, folder: Path
) -> None:
    page = open_page("#/locate")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.set_input_files("#locate-drop input", folder / "suva-0.jpg")
    page.click("button:has-text('Copy coordinate')")
    copy = page.locator(".answer .actions button").first
    expect(copy).to_have_text("Copied")
    coordinate = page.locator(".answer code").inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == coordinate
    # As on a page that another machine serves without TLS.
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    copy.click()
    expect(copy).to_have_text("Selected, now copy it")
    assert page.evaluate("getSelection().toString()") == coordinate


def test_areas_are_drawn_and_their_address_gives_the_same_photos_again(open_page: Open) -> None:
    page = open_page("#/search")
    shows(page, "12 of 12 photos")
    draw(page, "box", (0.35, 0.1), (0.7, 0.9))
    shows(page, "6 of 6 photos")
    assert "bbox=" in page.url
    again = open_page(page.url.split("/", 3)[3])
    shows(again, "6 of 6 photos")
    expect(again.locator("#area-words")).to_contain_text("In the box")
    page.click("#area-clear")
    shows(page, "12 of 12 photos")
    draw(page, "polygon", (0.35, 0.1), (0.7, 0.1), (0.7, 0.9), (0.35, 0.9), (0.35, 0.1))
    shows(page, "6 of 6 photos")
    assert "polygon=" in page.url
    page.click("#area-clear")
    shows(page, "12 of 12 photos")
    page.click("summary:has-text('Type a circle')")
    page.fill("#area-center", "-18.14, 178.44")
    page.fill("#area-radius", "50")
    page.click("#area-set")
    shows(page, "3 of 3 photos")
    page.go_back()
    shows(page, "12 of 12 photos")


def test_a_circle_is_drawn_with_keys_alone(open_page: Open) -> None:
    page = open_page("#/search?near=55.7,13.19&km=500")
    shows(page, "3 of 3 photos")
    page.focus("[data-tool=circle]")
    page.keyboard.press("Enter")
    expect(page.locator("#map")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#map-hint")).to_be_hidden()
    page.wait_for_function("!location.hash.includes('km=500')")
    assert "near=" in page.url
    shows(page, "3 of 3 photos")


def test_words_a_photo_and_a_place_mix_by_weight(open_page: Open, folder: Path) -> None:
    page = open_page("#/search")
    page.fill("#search-text", "a street")
    page.click("button:has-text('Search')")
    shows(page, "best first")
    assert "text=a+street" in page.url
    page.set_input_files("#search-drop input", folder / "lund-0.jpg")
    sliders = page.locator("#search-weights input")
    expect(sliders).to_have_count(2)
    sliders.nth(1).fill("0")
    expect(page.locator("#search-grid .card").first).to_contain_text("1.000")
    assert "weights=text:0" in page.url or "weights=text%3A0" in page.url
    page.click("#search-at")
    expect(page.locator("#map-hint")).to_be_visible()
    page.keyboard.press("Enter")
    expect(sliders).to_have_count(3)
    page.click("[aria-label='Remove the photo']")
    expect(sliders).to_have_count(2)


def test_country_data_set_and_time_narrow_what_is_shown(open_page: Open) -> None:
    page = open_page("#/search")
    shows(page, "12 of 12 photos")
    page.select_option("[name=country]", "KE")
    shows(page, "3 of 3 photos")
    page.locator("[aria-label='Taken from']").focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    shows(page, "2 of 2 photos")
    assert "since=2021-0" in page.url
    page.select_option("[name=dataset]", "trip")
    page.reload()
    shows(page, "2 of 2 photos")
    expect(page.locator("[name=country]")).to_have_value("KE")


def test_a_cluster_opens_its_photos_and_a_photo_leads_to_more(open_page: Open) -> None:
    page = open_page("#/search?country=KE")
    shows(page, "3 of 3 photos")
    cluster = page.locator("#map .mark.cluster")
    expect(cluster).to_have_text("×3")
    cluster.click()
    expect(page.locator("#search-cluster")).to_contain_text("of one cluster")
    expect(page.locator("#search-grid .card")).to_have_count(3)
    page.click("[aria-label='Show all photos again']")
    expect(page.locator("#search-grid .card")).to_have_count(3)
    page.locator("#search-grid .card").first.click()
    page.click("#photo-dialog a:has-text('Only near here')")
    shows(page, "3 of 3 photos")
    page.locator("#search-grid .card").first.click()
    page.locator("#photo-dialog a", has_text="More like this").first.click()
    shows(page, "12 of 12 photos")
    shows(page, "best first")
    expect(page.locator("#search-grid .card").first).to_contain_text("1.000")
    assert "like=" in page.url


def test_only_near_here_narrows_the_search_to_where_a_result_was_taken(open_page: Open) -> None:
    page = open_page("#/search?text=a+street&since=2021-01-01&bbox=-179,-80,179,80")
    shows(page, "8 of 8 photos")
    page.locator("#search-grid .card", has_text="Fiji").first.click()
    page.click("#photo-dialog a:has-text('Only near here')")
    expect(page.locator("#photo-dialog")).to_be_hidden()
    shows(page, "2 of 2 photos")
    shows(page, "best first")  # the words are still asked for
    expect(page.locator("#search-grid .card", has_text="Fiji")).to_have_count(2)
    expect(page.locator("#area-words")).to_have_text(
        re.compile(r"Within 25 km of -18\.1\d+, 178\.\d+")
    )
    assert "since=2021-01-01" in page.url
    assert "bbox" not in page.url
    page.go_back()
    shows(page, "8 of 8 photos")


def test_only_near_here_leads_from_the_evidence_of_an_answer_to_photos_around_it(
    open_page: Open, folder: Path
) -> None:
    page = open_page("#/locate")
    page.set_input_files("#locate-drop input", folder / "suva-0.jpg")
    page.locator("#locate-result .card", has_text="Fiji").first.click()
    page.click("#photo-dialog a:has-text('Only near here')")
    shows(page, "3 of 3 photos")
    expect(page.locator("#search-grid .card", has_text="Fiji")).to_have_count(3)


def test_results_leave_as_csv_geojson_and_kml(open_page: Open) -> None:
    page = open_page("#/search?country=SE")
    shows(page, "3 of 3 photos")
    texts = {}
    for form in ("csv", "geojson", "kml"):
        with page.expect_download() as download:
            page.click(f"[data-export={form}]")
        assert download.value.suggested_filename.endswith(form)
        texts[form] = download.value.path().read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert [row["country"] for row in rows] == ["SE"] * 3
    points = [f["geometry"]["coordinates"] for f in json.loads(texts["geojson"])["features"]]
    assert all(abs(lon - 13.193) < 0.01 and abs(lat - 55.705) < 0.01 for lon, lat in points)
    root = ET.fromstring(texts["kml"])
    assert len(list(root.iter("{http://www.opengis.net/kml/2.2}Placemark"))) == 3


def test_no_hit_and_no_answer_are_said(open_page: Open) -> None:
    page = open_page("#/search?near=-60,-120&km=10")
    expect(page.locator("#search-grid")).to_contain_text("No photo matches")
    expect(page.locator("#search-count")).to_have_text("No photos")
    page.route("**/v1/search*", lambda route: route.abort())
    page.click("button:has-text('Search')")
    expect(page.locator("#search-grid .notice")).to_contain_text("server does not answer")
    page.unroute("**/v1/search*")
    page.click("#search-grid button:has-text('Try again')")
    expect(page.locator("#search-grid")).to_contain_text("No photo matches")
    open_page.problems[:] = [text for text in open_page.problems if "ERR_FAILED" not in text]  # type: ignore[attr-defined]


def test_a_collection_that_holds_nothing_leads_to_adding_photos(
    visit: Open, geosearch: GeoSearch
) -> None:
    with serving(geosearch, hosts=("127.0.0.1",), asks_keys=False) as url:
        page = visit(f"{url}/#/search")
        expect(page.locator("#search-grid")).to_contain_text("Nothing to search yet")
        page.click("#search-grid a:has-text('Add photos')")
        expect(page.locator("#add-title")).to_be_visible()
        page.context.close()


def test_photos_are_added_and_what_became_of_each_is_said(
    open_page: Open, folder: Path, tmp_path: Path, make_jpeg: Callable[..., bytes]
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / "paris.jpg").write_bytes(make_jpeg(50, gps=(48.858, 2.294)))
    (new / "copy.jpg").write_bytes((folder / "lund-0.jpg").read_bytes())
    (new / "lost.jpg").write_bytes(make_jpeg(51))
    (new / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (new / "notes.txt").write_text("no photo")
    page = open_page("#/add")
    page.fill("#add-dataset", "web")
    page.set_input_files("#add-folder", new)
    result = page.locator("#add-result")
    expect(result).to_contain_text("Done: 4 photos, 1 other file left out")
    # The copy is known, and belongs to another data set from now on, as with `geosearch ingest`.
    for words in ("1added", "1updated", "1without a place", "1failed"):
        expect(result.locator(".counts")).to_contain_text(words)
    expect(result.locator("table").first).to_contain_text("broken.jpg")
    result.locator("a:has-text('See them')").click()
    shows(page, "13 of 13 photos")
    expect(page.locator("[name=dataset]")).to_contain_text("web")


def test_a_photo_is_placed_by_hand_and_another_where_it_was_located(
    open_page: Open, geosearch: GeoSearch
) -> None:
    page = open_page("#/place")
    cards = page.locator("#place-grid .card")
    expect(cards).to_have_count(2)
    cards.first.click()
    page.click("button:has-text('Click on the map')")
    expect(page.locator("#map-hint")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#place-current")).to_contain_text("Chosen:")
    page.fill("[aria-label='Coordinate: latitude, longitude']", "48.85, 2.29")
    page.keyboard.press("Enter")
    expect(page.locator("#place-current")).to_contain_text("Chosen: 48.85000, 2.29000")
    page.click("button:has-text('Place it here')")
    expect(page.locator("#place-current")).to_contain_text("(manual)")
    assert label_sources(geosearch) == {None, "manual"}
    expect(cards).to_have_count(1)
    cards.first.click()
    page.click("button:has-text('Ask where it is')")
    page.click("button:has-text('Accept this place')")
    expect(page.locator("#place-current")).to_contain_text("(predicted)")
    expect(page.locator("#place-grid")).to_contain_text("Nothing to place")
    assert label_sources(geosearch) == {"predicted", "manual"}


def test_it_works_on_a_phone_in_the_dark_and_by_keyboard(open_page: Open) -> None:
    page = open_page("#/search", dark=True, width=390, height=844)
    shows(page, "12 of 12 photos")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_focused()
    page.click("#theme-button")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_everything_that_can_be_pressed_has_a_name(open_page: Open) -> None:
    page = open_page("#/search")
    shows(page, "12 of 12 photos")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input, select")]
          .filter((node) => node.offsetParent !== null)
          .filter((node) => !(node.textContent.trim() || node.getAttribute("aria-label")
            || node.title || node.labels?.length))
          .map((node) => node.outerHTML)"""
    )
    assert nameless == []
    levels = page.evaluate(
        "[...document.querySelectorAll('h1')].filter((h) => h.offsetParent).length"
    )
    assert levels == 1
