"""What a configured model said of a photo, on the page: its reasons, its refusals, its failures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.lmm_server import REFUSED, Act, LmmServer, fault, good
from support.places import CITIES

from geosearch.client import GeoSearch
from tests.api.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visit = Callable[..., "Page"]
# LiteLLM makes several HTTP clients when several threads call a server first, and keeps one.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*<socket:pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning"
)
MARKUP = "<img src=x data-evil onerror=window.hasRun=1><script>window.hasRun=1</script>"
QUICK = "router_settings:\n  num_retries: 0\n"


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


@contextmanager
def located(
    visit: Visit, geosearch: GeoSearch, photo: Path, act: Act, config: Path
) -> Iterator[Page]:
    """The page after it was asked about a photo, with a model that does the same each time."""
    services = geosearch.services
    with LmmServer(lambda seen: act) as model:
        path = model.write_config(config, "openai", more=QUICK)
        services.settings = services.settings.model_copy(update={"lmm_config": path})
        with serving(geosearch, hosts=("127.0.0.1",), asks_keys=False) as url:
            page = visit(f"{url}/#/locate")
            page.set_input_files("#locate-drop input", photo)
            expect(page.locator("#locate-result")).to_have_attribute("aria-busy", "false")
            yield page
            page.context.close()
    assert model.complaints == []


@pytest.fixture
def filled(geosearch: GeoSearch, folder: Path) -> GeoSearch:
    geosearch.ingest(folder)
    return geosearch


def test_what_a_model_said_is_shown_question_by_question_with_its_name(
    visit: Visit, filled: GeoSearch, folder: Path, tmp_path: Path
) -> None:
    act = good(*CITIES["suva"], "Suva, Fiji")
    with located(visit, filled, folder / "suva-0.jpg", act, tmp_path / "lmm.yaml") as page:
        said = page.locator("#locate-result .said")
        expect(page.locator("#locate-result h3", has_text="What the model said")).to_be_visible()
        expect(said).to_have_count(3)
        expect(said.first).to_contain_text("zero-shot")
        expect(said.first).to_contain_text("eye says -18.1")
        expect(said.first).to_contain_text("(Suva, Fiji): signs")
        expect(said.nth(1)).to_contain_text(re.compile(r"with \d+ photos found"))
        expect(page.locator("#locate-result .notice")).to_have_count(0)
        expect(page.locator(".answer dl")).to_contain_text("$0.00")
        expect(page.locator(".answer h2")).to_contain_text("Fiji")


def test_words_of_a_model_that_look_like_markup_are_text(
    visit: Visit, filled: GeoSearch, folder: Path, tmp_path: Path
) -> None:
    lat, lon = CITIES["suva"]
    document = {"can_locate": True, "latitude": lat, "longitude": lon}
    act = Act(json.dumps({**document, "reasoning": MARKUP, "place": f"<b data-evil>{MARKUP}"}))
    with located(visit, filled, folder / "suva-0.jpg", act, tmp_path / "lmm.yaml") as page:
        expect(page.locator("#locate-result .said").first).to_contain_text(MARKUP)
        page.click("summary:has-text('steps')")
        expect(page.locator(".steps")).to_contain_text(MARKUP)
        assert page.locator("[data-evil]").count() == 0
        assert page.evaluate("window.hasRun") is None


@pytest.mark.parametrize(
    ("act", "title", "words"),
    [
        (REFUSED, "The model named no place", "can't help with finding out where"),
        (Act("la la"), "The model named no place", "cannot be used"),
        (fault(500), "The model did not answer", "not available (500)"),
        (fault(401, "bad key"), "The model did not answer", "check api_key"),
    ],
    ids=["refused", "garbage", "down", "wrong-key"],
)
def test_a_model_that_is_no_help_is_said_beside_the_answer_of_the_photos(
    act: Act,
    title: str,
    words: str,
    visit: Visit,
    filled: GeoSearch,
    folder: Path,
    tmp_path: Path,
) -> None:
    with located(visit, filled, folder / "suva-0.jpg", act, tmp_path / "lmm.yaml") as page:
        notice = page.locator("#locate-result .notice.warn")
        expect(notice).to_have_count(1)
        expect(notice.locator("b")).to_have_text(title)
        expect(notice).to_contain_text("the photos decide alone")
        expect(page.locator("#locate-result .said").first).to_contain_text(words)
        expect(page.locator(".answer h2")).to_contain_text("Fiji")


def test_a_refusal_is_said_where_the_photos_give_no_place_either(
    visit: Visit, geosearch: GeoSearch, folder: Path, tmp_path: Path
) -> None:
    photo = folder / "suva-0.jpg"  # of a collection that holds nothing
    with located(visit, geosearch, photo, REFUSED, tmp_path / "lmm.yaml") as page:
        notices = page.locator("#locate-result .notice b")
        expect(notices).to_have_text(["No place for this photo", "The model named no place"])
        assert page.locator("#map .pin").count() == 0


def test_without_a_model_nothing_is_said_of_one(
    visit: Visit, filled: GeoSearch, folder: Path
) -> None:
    with serving(filled, hosts=("127.0.0.1",), asks_keys=False) as url:
        page = visit(f"{url}/#/locate")
        page.set_input_files("#locate-drop input", folder / "suva-0.jpg")
        expect(page.locator(".answer h2")).to_contain_text("Fiji")
        assert page.locator("#locate-result .said, #locate-result .notice").count() == 0
        page.context.close()
