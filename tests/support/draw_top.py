"""Saves a picture of `clipqueue top` as docs/top.png: `python -m tests.support.draw_top` runs workers under load."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from producer.cli.model import SMALL_MODEL
from producer.client.client import EmbeddingClient
from producer.local.demo import SAMPLES
from producer.local.environment import demo_environment
from producer.local.sample_server import serve_folder
from producer.local.stack import Stack
from producer.top.opening import open_top
from tests.producer.page.conftest import CHROMIUM
from tests.support.draw_page import save

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.top.app import Top

OUTPUT = Path(__file__).parents[2] / "docs" / "top.png"
_COLUMNS, _ROWS = 90, 20
_WORKERS = 2
_IMAGES = 20_000  # more than the workers embed meanwhile
_EVERY_S = 2
_BARS = 8
_PATIENCE_S = 300


def main() -> int:
    """Return the exit code: 0 if the picture was saved."""
    with _loaded_stack() as stack, open_top(stack.redis_url, stack.mongodb_uri, "images", _EVERY_S) as top:
        svg = asyncio.run(asyncio.wait_for(_screen_under_load(top), _PATIENCE_S))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1110, "height": 760})
        page.set_content(f'<body style="margin: 0; background: white">{svg}</body>')
        save(page.locator("svg").screenshot(), OUTPUT)
        browser.close()
    return 0


@contextmanager
def _loaded_stack() -> Iterator[Stack]:
    """Yield servers with two workers that have much to do, some of which fails."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), shell=demo_environment(os.environ, SMALL_MODEL)) as stack,
        serve_folder(SAMPLES) as url,
        EmbeddingClient(stack.redis_url) as client,
    ):
        stack.start_servers()
        for number in range(_WORKERS):
            stack.start_worker(name=f"worker-{number + 1}")
        client.enqueue_many(_jobs(url))
        yield stack


def _jobs(url: str) -> Iterator[tuple[str, str]]:
    paths = [path.relative_to(SAMPLES).as_posix() for path in sorted(SAMPLES.glob("*/[!.]*"))]
    for number in range(_IMAGES):
        if number % 50 == 0:
            yield f"photo-{number}", f"{url}/photos/deleted-{number}.jpg"
        elif number % 200 == 1:
            yield f"photo-{number}", f"{url}/README.md?{number}"
        elif number % 400 == 2:
            yield f"photo-{number}", f"http://127.0.0.1:1/{number}.jpg"  # refuses connections
        else:
            yield f"photo-{number}", f"{url}/{paths[number % len(paths)]}?{number}"


async def _screen_under_load(top: Top) -> str:
    async with top.run_test(size=(_COLUMNS, _ROWS)) as pilot:
        await _until(pilot, lambda: top.state.snapshot and len(top.state.snapshot.bars) > _BARS and top.state.failures)
        return top.export_screenshot(title="clipqueue top")


async def _until(pilot: Any, condition: Any) -> None:
    while not condition():
        await pilot.pause(0.2)


if __name__ == "__main__":
    sys.exit(main())
