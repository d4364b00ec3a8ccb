"""Saves a picture of Flower as docs/flower.png: `python -m tests.support.draw_flower` runs three workers and 500 jobs.

The jobs have every state that Flower shows: 343 have succeeded, 98 have failed, 49 are retried, and 10 are running.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

from playwright.sync_api import sync_playwright

from producer.client.client import EmbeddingClient
from producer.local.stack import Stack
from tests.producer.page.conftest import CHROMIUM
from tests.support.draw_page import DOCS, save
from tests.support.fake_encoder import BLOCKED_BY
from tests.support.flower import PASSWORD, USER, Flower, start_flower
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer, ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command

_STATES = {"SUCCESS": 343, "FAILURE": 98, "RETRY": 49, "STARTED": 10}
_SIZE = (1600, 1000)
# Retries that are not due, and a model that takes its time.
_SLOW = {
    "CLIPQUEUE_CONCURRENCY": "8",
    "CLIPQUEUE_RETRY_BASE_S": "3000",
    "CLIPQUEUE_RETRY_CAP_S": "3000",
    "CLIPQUEUE_FETCH_TOTAL_S": "5",
    "CLIPQUEUE_ENCODE_S": "39",
}


def main() -> int:
    """Return the exit code: 0 if the pictures were saved."""
    with tempfile.TemporaryDirectory() as name, closing(ImageServer()) as images, Stack(Path(name)) as stack:
        stack.start_servers()
        flower, blocked = start_flower(stack, Path(name) / "state"), Path(name) / "blocked"
        for number in range(3):
            env = {**stack.environment(), **FAKE_MODEL, **_SLOW, BLOCKED_BY: str(blocked)}
            stack.start(f"worker-{number}", worker_command(""), env=env)
        wait_for(lambda: sum(flower.is_online().values()) == 3, "the workers")
        with EmbeddingClient(stack.redis_url) as client:
            _enqueue(client, flower, images, blocked)
        _draw(flower)
        blocked.unlink()
    return 0


def _enqueue(client: EmbeddingClient, flower: Flower, images: ImageServer, blocked: Path) -> None:
    photo, gone = images.add("/lake.jpg", small_jpeg()), images.add("/gone.jpg", Answer(b"", 404))
    busy, page = images.add("/busy.jpg", Answer(b"", 503)), images.add("/page.html", Answer(b"<html>", 200))
    urls = [photo, photo, gone, photo, busy, photo, photo, page, photo, photo]
    client.enqueue_many([(f"photo-{number:03}", urls[number % 10]) for number in range(490)])
    wait_for(
        lambda: _count(flower)["SUCCESS"] == _STATES["SUCCESS"] and sum(_count(flower).values()) == 490, "490 jobs"
    )
    blocked.touch()
    client.enqueue_many([(f"photo-{number:03}", photo) for number in range(490, 500)])
    wait_for(lambda: _count(flower) == _STATES, "500 jobs")


def _count(flower: Flower) -> Counter[str]:
    return Counter(flower.states().values())


def _draw(flower: Flower) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            http_credentials={"username": USER, "password": PASSWORD},
            viewport={"width": _SIZE[0], "height": _SIZE[1]},
        )
        page = context.new_page()
        page.goto(f"{flower.url}/tasks")
        page.get_by_role("combobox").select_option("30")
        page.locator("tbody tr").nth(20).wait_for()
        save(page.screenshot(), DOCS / "flower.png")
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
