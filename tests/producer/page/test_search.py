"""Searching in the page: by text, by likeness, with options, and back again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.producer.page.conftest import HOSTILE_ID

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

    from tests.producer.page.conftest import Site


def titles(page: Page) -> Locator:
    return page.locator("#tiles .name")


def search(page: Page, text: str) -> None:
    page.get_by_label("Describe the image").fill(text)
    expect(page).to_have_title(f"{text} · clipqueue")
    expect(page.locator("#results")).to_have_attribute("aria-busy", "false")


def test_results_appear_while_one_types_and_the_best_is_first(home: Page) -> None:
    home.get_by_label("Describe the image").press_sequentially("red apple")
    expect(titles(home).first).to_have_text("red apple")
    expect(home.locator("#count")).to_have_text(re.compile(r"^24 images so far"))
    expect(home.locator(".score").first).to_have_text(re.compile(r"^Score 0\.\d\d$"))
    image = home.locator(".tile img").first
    expect(image).to_have_attribute("alt", "red apple")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64


def test_an_older_answer_never_replaces_a_newer_one(home: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "red apple" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    home.route("**/v1/search", hold)
    with home.expect_request("**/v1/search"):
        home.get_by_label("Describe the image").fill("red apple")
    search(home, "a dog")
    expect(titles(home).first).to_have_text("dog face")
    held[0].continue_()
    expect(titles(home).first).to_have_text("dog face")
    expect(home.get_by_role("alert")).to_be_hidden()


def test_more_like_this_and_not_like_this(home: Page) -> None:
    search(home, "red apple")
    home.get_by_role("button", name="More like this: red apple", exact=True).click()
    expect(home.get_by_role("list", name="Parts of this search")).to_have_text(re.compile("Like red apple"))
    expect(titles(home).first).to_have_text("green apple")
    expect(home.get_by_label("Describe the image")).to_have_value("")

    home.get_by_role("button", name="Not like this: green apple", exact=True).click()
    expect(titles(home).first).not_to_have_text("green apple")
    home.get_by_role("button", name="Remove: Not like green apple").click()
    expect(titles(home).first).to_have_text("green apple")
    home.get_by_role("button", name="Remove: Like red apple").click()
    expect(titles(home)).to_have_count(0)


def test_the_address_holds_the_search_and_the_back_button_returns_to_it(home: Page, site: Site) -> None:
    search(home, "red apple")
    home.get_by_role("button", name="More like this: red apple", exact=True).click()
    expect(home).to_have_url(f"{site.url}/?like=red-apple.png")
    home.go_back()
    expect(home.get_by_label("Describe the image")).to_have_value("red apple")
    expect(titles(home).first).to_have_text("red apple")
    home.goto(f"{site.url}/?like=red-apple.png&not=green-apple.png&f.kind=is:emoji&copies=1")
    expect(home.get_by_role("list", name="Parts of this search").get_by_role("listitem")).to_have_count(2)
    expect(titles(home).first).to_be_visible()
    expect(home.get_by_label("kind", exact=True)).to_have_value("emoji")
    expect(home.get_by_label("Fold near copies into one")).not_to_be_checked()


def test_load_more_adds_the_next_page_and_ends(home: Page) -> None:
    search(home, "snow")
    more = home.get_by_role("button", name="Load more")
    expect(titles(home)).to_have_count(24)
    more.click()
    expect(titles(home)).to_have_count(48)
    focused = home.evaluate("document.activeElement.closest('li') === document.querySelectorAll('#tiles li')[24]")
    assert focused, "the focus is on the first new image"
    while more.is_visible():
        more.click()
        expect(home.locator("#results")).to_have_attribute("aria-busy", "false")
    shown = titles(home).all_inner_texts()
    assert "red apple" in shown[72:], "the last pages hold what fits badly"
    links = home.locator("#tiles a").evaluate_all("links => links.map(link => link.href)")
    assert len(links) == len(set(links)) >= len(shown) - 1, "no image is on two pages"


def test_near_copies_are_folded_and_can_be_unfolded(home: Page) -> None:
    search(home, "rainbow")
    expect(home.locator("#count")).to_have_text("24 images so far, 1 near copy folded")
    expect(home.locator(".tile").first).to_contain_text("+1 near copy")
    home.get_by_text("Refine").click()
    home.get_by_label("Fold near copies into one").uncheck()
    expect(home.locator("#count")).to_have_text("24 images so far")


def test_a_score_that_no_image_reaches_leaves_none(home: Page) -> None:
    search(home, "red apple")
    home.get_by_text("Refine").click()
    home.get_by_label("Score at least").fill("0.99")
    expect(home.get_by_role("heading", name="Nothing found")).to_be_visible()
    expect(home.get_by_text("No image fits all the conditions")).to_be_visible()
    expect(titles(home)).to_have_count(0)


def test_filters_by_the_declared_fields(home: Page) -> None:
    search(home, "red apple")
    home.get_by_text("Refine").click()
    home.get_by_label("kind", exact=True).fill("photos")
    expect(titles(home).first).not_to_have_text("red apple")
    home.get_by_label("kind", exact=True).fill("")
    home.get_by_label("How to compare size").select_option("at least")
    home.get_by_label("size", exact=True).fill("100000000")
    expect(home.get_by_role("heading", name="Nothing found")).to_be_visible()


def test_dates_are_compared_as_dates(home: Page, site: Site) -> None:
    home.goto(f"{site.url}/?q=fruit&f.exif.taken_at=min:2026-06-30")
    expect(titles(home)).to_have_text(["red apple"])
    home.get_by_label("How to compare exif.taken_at").select_option("is")
    expect(home.get_by_role("heading", name="Nothing found")).to_be_visible()
    home.get_by_label("exif.taken_at", exact=True).fill("2026-07-01")
    expect(titles(home)).to_have_text(["red apple"])


def test_an_image_that_the_browser_cannot_show_has_a_placeholder(home: Page, site: Site) -> None:
    """Workers decode TIFF, and Chromium does not."""
    home.goto(f"{site.url}/?q=cell&f.title=is:cell")
    expect(home.get_by_role("img", name="cell (cannot be shown)")).to_be_visible()


def test_words_after_not_are_subtracted(home: Page) -> None:
    search(home, "animal face")
    expect(titles(home).nth(1)).to_have_text("dog face")
    home.get_by_text("Refine").click()
    home.get_by_label("Not", exact=True).fill("dog face")
    expect(titles(home).nth(1)).to_have_text("mouse face")
    expect(home.get_by_text("Refine (1)")).to_be_visible()


def test_strings_of_documents_become_neither_html_nor_links(home: Page) -> None:
    search(home, "rainbow")
    home.get_by_text("Refine").click()
    home.get_by_label("Fold near copies into one").uncheck()
    tile = home.get_by_role("listitem").filter(has_text=HOSTILE_ID)
    expect(tile).to_be_visible()
    expect(tile.get_by_role("link")).to_have_count(0)
    expect(home.locator("img[src='x']")).to_have_count(0)
    assert home.evaluate("document.querySelectorAll('[href^=\"javascript:\"]').length") == 0
