"""Saves a picture as Chromium's canvas does: `python -m tests.worker.decode.browser.canvas SOURCE TYPE SPACE QUALITY`.

TYPE is a media type, SPACE a color space of the canvas such as `display-p3`. Writes to stdout.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.producer.page.conftest import CHROMIUM

_SAVE = """async ([source, type, colorSpace, quality]) => {
    const image = new Image();
    image.src = "data:image/png;base64," + source;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), {width: image.width, height: image.height});
    canvas.getContext("2d", {colorSpace}).drawImage(image, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, quality));
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return btoa(String.fromCharCode(...bytes));
}"""


def main() -> None:
    """Draw the source on a canvas, and write what the canvas saves."""
    source, media_type, space, quality = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        picture = base64.b64encode(Path(source).read_bytes()).decode()
        saved = browser.new_page().evaluate(_SAVE, [picture, media_type, space, float(quality)])
        browser.close()
    sys.stdout.buffer.write(base64.b64decode(saved))


if __name__ == "__main__":
    main()
