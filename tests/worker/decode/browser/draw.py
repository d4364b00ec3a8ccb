"""Draws the picture files again with Chromium: `python -m tests.worker.decode.browser.draw [NAME...]`.

First writes the files of the list that are not there, by their commands. Without names, it draws those without a
drawing; `--all` draws all. Where Chromium draws nothing, it says so.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.producer.page.conftest import CHROMIUM
from tests.worker.decode.browser.listed import FOLDER, Listed, read_list

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The page's colors are sRGB, and an animation stays at its first frame (Blink's ImageAnimationPolicy, 2 is "none").
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb", "--blink-settings=imageAnimationPolicy=2"]
_SIDE = 320  # of the field for one picture on the page
_COLUMNS = 6
_PAGE = '<body style="margin:0;background:white">'
# Chromium looks at the content, whatever type the address states.
_IMG = '<img src="data:image/png;base64,{}" style="position:absolute;left:{}px;top:{}px">'
_SIZES = """async () => Promise.all([...document.images].map(async (image) => {
    await image.decode().catch(() => {});
    return [image.naturalWidth, image.naturalHeight];
}))"""
# What the commands may use besides installed programs. The libraries for JavaScript are found by NODE_PATH.
_FUNCTIONS = r"""set -euo pipefail
chunk() { "$python" -m tests.worker.decode.browser.chunk "$@"; }
canvas() { "$python" -m tests.worker.decode.browser.canvas "$@"; }
sharp() { node -e "require('sharp')('$1')$2.toFile(process.env.out)"; }
js() { node -e "const fs = require('fs'), p = require('pngjs').PNG.sync.read(fs.readFileSync('$1'));
    fs.writeFileSync(process.env.out, Buffer.from($2))"; }
"""


def main() -> int:
    """Return the exit code: 1 if a file was not written or drawn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()
    listed = [one for one in read_list() if not arguments.names or one.name in arguments.names]
    unwritten = [one for one in listed if not one.path.exists() and not _run(one.command, out=one.path)]
    again = arguments.all or arguments.names
    drawable = [one for one in listed if not one.code and one not in unwritten]
    undrawn = _draw([one for one in drawable if again or not one.shown.exists()])
    for one in unwritten:
        sys.stdout.write(f"{one.name} was not written: {one.command}\n")
    for one in undrawn:
        sys.stdout.write(f"Chromium does not draw {one.name} ({one.kind})\n")
    return 1 if unwritten or undrawn else 0


def _run(command: str, **paths: Path) -> bool:
    """Run a line of bash in a temporary folder that holds the source pictures. Return whether it wrote a file."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(FOLDER / "source", folder, dirs_exist_ok=True)
        names = {name: str(path) for name, path in paths.items()}
        environment = {**os.environ, **names, "python": sys.executable, "PYTHONPATH": str(FOLDER.parents[3])}
        line = ["/bin/bash", "-c", _FUNCTIONS + command]
        done = subprocess.run(line, check=False, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode:
        paths["out"].unlink(missing_ok=True)
    return paths["out"].exists()


def _draw(listed: list[Listed]) -> list[Listed]:
    """Draw the files with one Chromium, and return those that it does not draw."""
    if not listed:
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        page = browser.new_page(viewport={"width": _SIDE * _COLUMNS, "height": _SIDE * (len(listed) // _COLUMNS + 1)})
        drawings = _drawings(page, [_drawable(one) for one in listed])
        browser.close()
    for one, drawing in zip(listed, drawings, strict=True):
        if drawing:
            drawing.save(one.shown, optimize=True)
    return [one for one, drawing in zip(listed, drawings, strict=True) if not drawing]


def _drawable(one: Listed) -> bytes:
    if not one.via:
        return one.path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted.png"
        _run(one.via, **{"in": one.path, "out": converted})
        return converted.read_bytes()


def _drawings(page: Page, contents: list[bytes]) -> list[Image.Image | None]:
    """Show all pictures on one page, each in its own size, and cut them out of one screenshot."""
    places = [(index % _COLUMNS * _SIDE, index // _COLUMNS * _SIDE) for index in range(len(contents))]
    images = [
        _IMG.format(base64.b64encode(content).decode(), *place) for content, place in zip(contents, places, strict=True)
    ]
    page.set_content(_PAGE + "".join(images))
    sizes = page.evaluate(_SIZES)
    with Image.open(BytesIO(page.screenshot())) as screenshot:
        shown = screenshot.convert("RGB")
    return [
        shown.crop((left, top, left + width, top + height)) if width else None
        for (left, top), (width, height) in zip(places, sizes, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
