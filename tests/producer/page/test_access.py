"""The page by keyboard, for screen readers, on a phone and in the dark: axe-core finds no violation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.producer.page.test_search import search, titles

if TYPE_CHECKING:
    from typing import Literal

    from playwright.sync_api import Page

    from tests.producer.page.conftest import Site

_PHONE, _WIDE = (390, 844), (1440, 900)
_SMALL_TARGETS = """() => [...document.querySelectorAll("button, a.frame, input, select, summary, label.icon")]
    .filter((one) => !one.classList.contains("hidden") && one.checkVisibility() && one.type !== "checkbox")
    .filter((one) => one.getBoundingClientRect().height < 44)
    .map((one) => one.outerHTML)"""


def violations(page: Page) -> list[str]:
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in Axe().run(page).response["violations"]]


@pytest.mark.parametrize(("size", "scheme"), [(_PHONE, "dark"), (_WIDE, "light")], ids=["phone-dark", "wide-light"])
def test_axe_finds_no_violation(home: Page, size: tuple[int, int], scheme: Literal["light", "dark"]) -> None:
    home.set_viewport_size({"width": size[0], "height": size[1]})
    home.emulate_media(color_scheme=scheme)
    expect(home.get_by_role("heading", name="Search by what a picture shows")).to_be_visible()
    assert violations(home) == []
    search(home, "red apple")
    home.get_by_role("button", name="Not like this").first.click()
    home.get_by_text("Refine").click()
    expect(titles(home).first).to_be_visible()
    expect(home.locator("#results")).to_have_attribute("aria-busy", "false")
    assert violations(home) == []
    home.get_by_role("button", name="Add images").click()
    assert violations(home) == []


def test_targets_on_a_phone_are_large_and_nothing_is_wider_than_the_screen(home: Page) -> None:
    home.set_viewport_size({"width": 320, "height": 640})
    search(home, "red apple")
    home.get_by_text("Refine").click()
    assert home.evaluate(_SMALL_TARGETS) == []
    assert home.evaluate("document.documentElement.scrollWidth") == 320


def test_everything_works_by_keyboard(home: Page, site: Site) -> None:
    home.keyboard.press("Tab")
    expect(home.get_by_role("link", name="Skip to the results")).to_be_focused()
    home.keyboard.press("Control+k")
    expect(home.get_by_label("Describe the image")).to_be_focused()
    home.keyboard.type("red apple")
    home.keyboard.press("Enter")
    expect(titles(home).first).to_have_text("red apple")
    links = home.locator("#tiles").get_by_role("link")
    links.first.focus()
    home.keyboard.press("ArrowRight")
    expect(links.nth(1)).to_be_focused()
    home.keyboard.press("ArrowLeft")
    home.keyboard.press("Tab")
    home.keyboard.press("Enter")
    expect(home).to_have_url(f"{site.url}/?like=red-apple.png")


def test_a_dialog_closes_by_escape_and_returns_the_focus(home: Page) -> None:
    button = home.get_by_role("button", name="Add images")
    button.press("Enter")
    expect(home.get_by_label("Image URLs, one a line")).to_be_focused()
    home.keyboard.press("Escape")
    expect(home.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()


def test_the_page_is_served_with_a_strict_policy_and_loads_nothing_from_elsewhere(home: Page, site: Site) -> None:
    asked: list[str] = []
    home.on("request", lambda request: asked.append(request.url))
    response = home.goto(site.url)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    expect(home.get_by_role("contentinfo")).to_contain_text("worker")
    assert [url for url in asked if not url.startswith(site.url)] == []
