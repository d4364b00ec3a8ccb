"""Adding images, and what the page says where there is nothing yet, no worker, or no key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.producer.page.conftest import KEY
from tests.producer.page.test_search import search, titles

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.producer.page.conftest import Site


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_urls_are_watched_until_they_are_done_or_have_failed(home: Page, site: Site) -> None:
    good, bad = f"{site.samples}/emoji/cactus.png?again", f"{site.samples}/missing.png"
    home.get_by_role("button", name="Add images").click()
    home.get_by_label("Image URLs, one a line").fill(f"{good}\n{bad}\n\n{good}")
    home.get_by_role("button", name="Embed").click()
    added = home.get_by_role("list", name="Added images").get_by_role("listitem")
    expect(added).to_have_count(2)
    expect(added.filter(has_text=bad)).to_contain_text(re.compile("failed.*404"))
    expect(added.filter(has_text=good)).to_contain_text("done")
    home.get_by_role("button", name=f"More like this: {good}").click()
    expect(home.get_by_role("dialog")).to_be_hidden()
    expect(titles(home).first).to_have_text(re.compile("cactus"))


def test_a_wrong_url_is_refused_and_stays_in_the_box(home: Page) -> None:
    home.get_by_role("button", name="Add images").click()
    box = home.get_by_label("Image URLs, one a line")
    box.fill("photo.jpg")
    home.get_by_role("button", name="Embed").click()
    expect(home.get_by_role("dialog").get_by_role("alert")).to_contain_text("http")
    expect(box).to_have_value("photo.jpg")


def test_the_foot_shows_the_images_the_queue_and_the_workers(home: Page) -> None:
    expect(home.get_by_role("contentinfo")).to_have_text(
        re.compile(r"\d+ images can be found · (\d+ failed · )?queue empty · 1 worker · emoji-clip/")
    )


def test_the_key_is_asked_for_until_it_is_right_and_kept_for_the_tab(page: Page, site: Site) -> None:
    page.goto(site.bare_url)
    enter(page, "a-wrong-key-of-somebody")
    expect(page.get_by_text("The server did not accept this key")).to_be_visible()
    enter(page, KEY)
    expect(page.get_by_role("contentinfo")).to_contain_text("no worker is running")
    page.reload()
    expect(page.get_by_role("contentinfo")).to_contain_text("no worker is running")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_without_a_worker_and_images_the_page_says_what_to_do(page: Page, site: Site) -> None:
    page.goto(site.bare_url)
    enter(page, KEY)
    expect(page.get_by_role("heading", name="No worker is running")).to_be_visible()
    search(page, "red apple")
    expect(page.get_by_role("alert")).to_contain_text("No worker is running, so nothing can become a vector.")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


@pytest.mark.parametrize(("status", "sentence"), [(429, "Too many searches are waiting"), (504, "No worker answered")])
def test_an_overload_is_explained_and_can_be_tried_again(home: Page, status: int, sentence: str) -> None:
    body = {"error": {"message": "as the API says it", "type": "server_error", "param": None, "code": "timeout"}}
    home.route("**/v1/search", lambda route: route.fulfill(status=status, json=body))
    search(home, "red apple")
    expect(home.get_by_role("alert")).to_contain_text(sentence)
    home.unroute("**/v1/search")
    home.get_by_role("button", name="Try again").click()
    expect(titles(home).first).to_have_text("red apple")
    expect(home.get_by_role("alert")).to_be_hidden()


def test_a_key_that_is_not_given_is_explained(page: Page, site: Site) -> None:
    page.goto(f"{site.bare_url}/?q=apple")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("did not accept the API key")
