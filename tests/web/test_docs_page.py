"""The documentation in a real browser, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_documentation_is_drawn_from_files_of_the_server_alone(
    browser: Browser, server: str
) -> None:
    problems: list[str] = []
    outside: list[str] = []
    page = browser.new_page()
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    ours = (server, "blob:", "data:")
    page.on("request", lambda r: None if r.url.startswith(ours) else outside.append(r.url))
    page.goto(f"{server}docs")
    page.wait_for_selector("#docs[data-state=drawn]", timeout=60_000)
    assert page.locator(".opblock").count() >= 15
    page.locator("#operations-search-search_v1_search_post .opblock-summary-control").click()
    page.wait_for_selector(".opblock-body", timeout=60_000)
    assert "lund-0.jpg" in page.locator(".opblock-body").first.inner_text()
    page.close()
    assert outside == []
    assert problems == []
