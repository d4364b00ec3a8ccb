"""Searching by a picture that is chosen, dropped or pasted."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.producer.page.test_search import titles
from tests.support.pictures import EMOJI, PHOTOS, encoded, photo

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.producer.page.conftest import Site

_APPLE = EMOJI / "red-apple.png"

# Events with files, which Playwright cannot make.
_GIVE_FILE = """([kind, content]) => {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const given = new DataTransfer();
    given.items.add(new File([bytes], "picture.png", {type: "image/png"}));
    const name = {drop: "dataTransfer", paste: "clipboardData"}[kind];
    const Kind = {drop: DragEvent, paste: ClipboardEvent}[kind];
    document.body.dispatchEvent(new Kind(kind, {[name]: given, bubbles: true, cancelable: true}));
}"""


def test_a_chosen_picture_finds_itself_and_stays_in_the_history(home: Page) -> None:
    home.locator("#picture").set_input_files(_APPLE)
    expect(titles(home).first).to_have_text("red apple")
    expect(home.get_by_text("your picture")).to_be_visible()
    home.get_by_role("button", name="More like this: green apple", exact=True).click()
    expect(titles(home).first).not_to_have_text("red apple")
    home.go_back()
    expect(home.get_by_text("your picture")).to_be_visible()
    expect(titles(home).first).to_have_text("red apple")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_can_be_dropped_and_pasted(home: Page, kind: str) -> None:
    home.evaluate(_GIVE_FILE, [kind, base64.b64encode(_APPLE.read_bytes()).decode()])
    expect(titles(home).first).to_have_text("red apple")


def test_a_picture_of_another_page_is_found_by_its_url(home: Page, site: Site) -> None:
    home.goto(f"{site.url}/?image={site.samples}/emoji/red-apple.png")
    expect(titles(home).first).to_have_text("red apple")
    expect(home.get_by_text("the linked picture")).to_be_visible()


def test_a_large_photo_is_made_smaller_before_it_is_sent(home: Page) -> None:
    large = encoded(photo().resize((3000, 2250)), "JPEG", quality=97)
    assert len(large) > 1_000_000
    with home.expect_request("**/v1/search") as sent:
        home.locator("#picture").set_input_files({"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": large})
    assert len(sent.value.post_data or "") < 1_000_000
    expect(titles(home).first).to_have_text("raccoon")


def test_a_file_that_is_no_picture_is_refused_with_a_reason(home: Page) -> None:
    home.locator("#picture").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"text"})
    expect(home.get_by_role("alert")).to_have_text("a.txt is not a picture.")


def test_a_broken_picture_is_refused_in_the_words_of_the_worker(home: Page) -> None:
    broken = (PHOTOS / "astronaut.jpg").read_bytes()[:300]
    home.locator("#picture").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": broken})
    expect(home.get_by_role("alert")).to_contain_text("image")
    expect(titles(home)).to_have_count(0)
