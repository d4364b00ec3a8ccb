"""Draws the files of the six fields with Chromium and keeps the colors: `python -m tests.worker.decode.color.draw`."""

from __future__ import annotations

import base64
import json
import sys
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

from tests.producer.page.conftest import CHROMIUM
from tests.worker.decode.color.files import files
from tests.worker.decode.color.patches import COLUMNS, FIELD, ROWS, SHOWN, fields_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPTIONS = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
_PER_ROW = 20
_WIDTH, _HEIGHT = COLUMNS * FIELD, ROWS * FIELD
_IMG = '<img src="data:image/png;base64,{}" style="position:absolute;left:{}px;top:{}px">'
_DECODED = """async () => Promise.all([...document.images].map(async (image) => {
    await image.decode().catch(() => {});
    return image.naturalWidth;
}))"""


def main() -> int:
    """Return the exit code: 1 if Chromium draws a file not at all."""
    named = files()
    places = [(index % _PER_ROW * _WIDTH, index // _PER_ROW * _HEIGHT) for index in range(len(named))]
    page = "".join(
        _IMG.format(base64.b64encode(named[name]).decode(), *at) for name, at in zip(named, places, strict=True)
    )
    size = ViewportSize(width=_PER_ROW * _WIDTH, height=places[-1][1] + _HEIGHT)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS) as browser,
    ):
        tab = browser.new_page(viewport=size)
        tab.set_content('<body style="margin:0;background:white">' + page)
        widths = tab.evaluate(_DECODED)
        drawing = np.asarray(Image.open(BytesIO(tab.screenshot())).convert("RGB"))
    shown = {
        name: _hexadecimal(drawing[y : y + _HEIGHT, x : x + _WIDTH]) for name, (x, y) in zip(named, places, strict=True)
    }
    SHOWN.write_text(json.dumps(shown, indent=0) + "\n")
    undrawn = [name for name, width in zip(named, widths, strict=True) if not width]
    sys.stdout.write(f"{len(named)} files; Chromium does not draw {undrawn}\n")
    return 1 if undrawn else 0


def _hexadecimal(pixels: NDArray[np.uint8]) -> str:
    return " ".join(bytes(color).hex() for color in fields_of(pixels).round().astype(np.uint8))


if __name__ == "__main__":
    sys.exit(main())
