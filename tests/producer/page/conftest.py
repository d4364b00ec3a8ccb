"""A real API with the small model, the sample images, and a tab of headless Chromium for each test.

Without Chromium the tests are skipped, with the reason in pytest's summary.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from producer.client.client import EmbeddingClient
from producer.local.sample_server import serve_folder
from producer.local.stack import Stack
from tests.conftest import WORKER_ENV
from tests.support.pictures import SAMPLES
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from pymongo.collection import Collection

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEY = "a-key-for-the-tests"
HOSTILE_ID = "<img src=x onerror=alert(1)>"
_WAIT_MS = 15_000
_FIELDS = ("title", "kind", "size", "exif.taken_at")


@dataclass(frozen=True)
class Site:
    """The running services.

    Attributes:
        url: The API with a worker and images.
        bare_url: An API that wants KEY, on a queue without a worker and an empty collection.
        samples: Where the sample images are served.
        images: The collection behind `url`.
    """

    url: str
    bare_url: str
    samples: str
    images: Collection[dict[str, Any]]


# Playwright keeps an event loop in this thread, so it must not outlive the tests of this folder.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("the search page is not tested: there is no Chromium (apt-get install chromium)")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, nor in most containers.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("page")) as site:
        yield site


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Start the services with their files in `folder`, and stop them afterwards."""
    with (
        Stack(folder) as stack,
        serve_folder(SAMPLES) as samples,
        pymongo.MongoClient[dict[str, Any]](f"{stack.mongodb_uri}") as mongo,
    ):
        stack.start_servers()
        stack.start_worker(WORKER_ENV)
        images = mongo["clipqueue"]["images"]
        _embed_samples(stack, samples, images)
        _add_hostile_document(images)
        url = stack.start_api({"CLIPQUEUE_FILTER_FIELDS": ",".join(_FIELDS)})
        bare = {"REDIS_URL": stack.redis_url.removesuffix("0") + "6", "CLIPQUEUE_COLLECTION": "none"}
        yield Site(url, stack.start_api({**bare, "CLIPQUEUE_API_KEYS": KEY}), samples, images)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab. An error of the page's code, or a refusal by its Content-Security-Policy, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(_WAIT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def home(page: Page, site: Site) -> Page:
    """The tab with the page of the API that has images."""
    page.goto(site.url)
    return page


def _embed_samples(stack: Stack, samples: str, images: Collection[dict[str, Any]]) -> None:
    paths = sorted(SAMPLES.glob("*/[!.]*"))
    jobs = [(path.name, f"{samples}/{path.relative_to(SAMPLES).as_posix()}") for path in paths]
    with EmbeddingClient(stack.redis_url) as client:
        client.enqueue_many(jobs)
    wait_for(lambda: images.count_documents({"embedding_job.status": "done"}) == len(jobs), "the samples")
    for path in paths:
        fields = {"title": path.stem.replace("-", " "), "kind": path.parent.name, "size": path.stat().st_size}
        images.update_one({"_id": path.name}, {"$set": fields})
    taken_at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    images.update_one({"_id": "red-apple.png"}, {"$set": {"exif": {"taken_at": taken_at}}})


def _add_hostile_document(images: Collection[dict[str, Any]]) -> None:
    """Add an image beside the rainbow whose strings would run a script in a careless page."""
    document = images.find_one({"_id": "rainbow.png"})
    assert document is not None
    url = "javascript:alert(1)"
    job = {**document["embedding_job"], "url": url}
    images.insert_one({**document, "_id": HOSTILE_ID, "title": HOSTILE_ID, "url": url, "embedding_job": job})
