"""Saves pictures of the search page as docs/search-*.png: `python -m tests.support.draw_page` runs the demo."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from producer.cli.model import SMALL_MODEL
from tests.producer.page.conftest import CHROMIUM
from tests.support.commands import COMMAND, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

DOCS = Path(__file__).parents[2] / "docs"
_COLORS = 256
_SEARCH = "fruit"
_PICTURES: dict[str, tuple[int, int, Literal["light", "dark"]]] = {
    "search-wide.png": (1280, 700, "light"),
    "search-phone.png": (390, 700, "dark"),
}


def main() -> int:
    """Return the exit code: 0 if the pictures were saved."""
    with _demo_page() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in _PICTURES:
            save(_screenshot(browser, url, name), DOCS / name)
        browser.close()
    return 0


@contextmanager
def _demo_page() -> Iterator[str]:
    """Run `clipqueue demo --open` and yield the address of its page."""
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    demo = start([*COMMAND, "demo", "--open"], {**environment, **SMALL_MODEL, "PYTHONUNBUFFERED": "1"})
    assert demo.stdout is not None
    try:
        yield next(found[0] for line in demo.stdout if (found := re.findall(r"Search page: (\S+)", line)))
    finally:
        demo.terminate()
        demo.communicate(timeout=120)


def _screenshot(browser: Browser, url: str, name: str) -> bytes:
    width, height, scheme = _PICTURES[name]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(url)
    page.get_by_label("Describe the image").fill(_SEARCH)
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.get_by_role("contentinfo")).to_contain_text("worker")
    page.get_by_label("Describe the image").blur()
    page.wait_for_load_state("networkidle")
    return page.screenshot()


def save(screenshot: bytes, path: Path) -> None:
    """Save a PNG with few colours, which is a fraction of the size and looks the same."""
    Image.open(io.BytesIO(screenshot)).convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    sys.exit(main())
