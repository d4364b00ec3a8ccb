"""A real Flower beside real workers on one host: what it shows with each value of CLIPQUEUE_EVENTS, and what it keeps.

One Flower for the module, started with a damaged file, and stopped and started again by the last test.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis
from celery import Celery

from producer.client.client import EmbeddingClient
from producer.contract.names import DELAYED
from tests.producer.page.conftest import CHROMIUM
from tests.support.delayed import make_due
from tests.support.fake_encoder import BLOCKED_BY
from tests.support.flower import PASSWORD, USER, start_flower
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer, ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from producer.local.stack import Stack
    from tests.support.flower import Flower

# All that Flower asks a worker for its page, by the names of its API.
INSPECTED = {"active", "active_queues", "conf", "registered", "reserved", "revoked", "scheduled", "stats"}
SECRET = "a-signature"
ENDED = {"embedding_job.status": {"$in": ["done", "failed"]}}
# A retry is due when the test says so.
SETTINGS = {
    "CLIPQUEUE_MAX_RETRIES": "2",
    "CLIPQUEUE_RETRY_BASE_S": "3000",
    "CLIPQUEUE_RETRY_CAP_S": "3000",
    "CLIPQUEUE_RESTORE_INTERVAL_S": "1",
}


@pytest.fixture(scope="module")
def served() -> Iterator[ImageServer]:
    with closing(ImageServer()) as server:
        server.add("/photo.jpg", small_jpeg())
        server.add("/gone.jpg", Answer(b"", 404))
        yield server


@pytest.fixture(scope="module")
def flower(own: Stack, own_dir: Path) -> Flower:
    for suffix in (".dat", ".dir", ".bak", ""):  # the names that the formats of Python's `shelve` have
        (own_dir / f"state{suffix}").write_bytes(b"\x93 damaged")
    return start_flower(own, own_dir / "state")


class Fleet:
    """Workers on one host, and the jobs that the tests enqueue."""

    def __init__(self, stack: Stack, served: ImageServer) -> None:
        self._stack = stack
        self._served = served
        self.redis = redis.Redis.from_url(stack.redis_url)
        self.client = EmbeddingClient(stack.redis_url)
        self.documents = pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri)["clipqueue"]["images"]

    def close(self) -> None:
        """Close the connections."""
        self.redis.close()
        self.client.close()
        self.documents.database.client.close()

    def start(self, name: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a worker that names itself; its log has the name `name`."""
        return self._stack.start(
            name, worker_command(""), env={**self._stack.environment(), **FAKE_MODEL, **SETTINGS, **env}
        )

    @contextmanager
    def running(self, name: str, flower: Flower, **env: str) -> Iterator[str]:
        """Run a worker, wait until Flower shows it, and yield its node name."""
        before = set(flower.is_online())
        process = self.start(name, **env)
        new = wait_for(lambda: set(flower.is_online()) - before, f"Flower to show {name}")
        yield new.pop()
        self._stack.stop_one(process)

    def enqueue(self, image_id: str, path: str) -> str:
        """Enqueue a job and return its task id."""
        return self.client.enqueue(image_id, f"{self._served.url}{path}?signature={SECRET}")

    def wait_until_ended(self, *image_ids: str) -> None:
        """Wait until these images have a result."""
        ids = list(image_ids)
        wait_for(
            lambda: self.documents.count_documents({"_id": {"$in": ids}, **ENDED}) == len(ids), f"results of {ids}"
        )


@pytest.fixture
def fleet(own: Stack, served: ImageServer) -> Iterator[Fleet]:
    with closing(Fleet(own, served)) as fleet:
        yield fleet


def test_flower_shows_every_job_of_several_workers_on_one_host_and_finds_it_by_its_image(
    fleet: Fleet, flower: Flower, served: ImageServer, own: Stack, own_dir: Path
) -> None:
    log = own.log("flower").read_text()
    assert "Failed to load state" in log, "it has started in spite of a damaged file"
    served.add("/busy.jpg", Answer(b"", 503), Answer(small_jpeg()))
    blocked = own_dir / "blocked"
    drain = dict.fromkeys(("FETCH_TOTAL", "DECODE", "ENCODE", "STORE"), "4") | {"DRAIN": "5"}
    workers = [
        fleet.start(
            f"all-{number}", **{f"CLIPQUEUE_{key}_S": s for key, s in drain.items()}, **{BLOCKED_BY: str(blocked)}
        )
        for number in range(2)
    ]
    wait_for(lambda: sum(flower.is_online().values()) == 2, "Flower to show both workers")
    done = [fleet.enqueue(f"photo-{number}", "/photo.jpg") for number in range(40)]
    failed, retried = fleet.enqueue("lost-photo", "/gone.jpg"), fleet.enqueue("busy-photo", "/busy.jpg")
    expected = {**dict.fromkeys(done, "SUCCESS"), failed: "FAILURE", retried: "RETRY"}
    wait_for(lambda: flower.states() == expected, "Flower to show all jobs")
    make_due(fleet.redis)
    wait_for(lambda: flower.states() == {**expected, retried: "SUCCESS"}, "Flower to show the success of the retry")

    # By the whole id, or a part of it or of the URL; in the API and on the page.
    for search, count in (("kwargs:image_id=lost-photo", 1), ("lost-pho", 1), ("gone.jpg", 1), ("state:FAILURE", 1)):
        assert list(flower.tasks(search)) == [failed]
        assert [row["uuid"] for row in flower.listed(search)] == [failed] * count
    task = flower.tasks()[failed]
    assert task["name"] == "clipqueue.embed_image"
    assert "404" in task["exception"]

    # A page of a worker waits for the answer to each command that Flower sends.
    for name in flower.is_online():
        page = flower.get(f"/worker/{name}").decode()
        assert "clipqueue.embed_image" in page
        told = json.loads(flower.get("/api/workers", workername=name))[name]
        assert told.keys() == {*INSPECTED, "timestamp"}
        assert told["stats"]["broker"]["transport"] == "redis"
        assert told["stats"]["total"].keys() == {"clipqueue.embed_image"}

    # What remote control tells of running jobs has no query of a URL either.
    blocked.touch()
    running = [fleet.enqueue(f"running-{number}", "/photo.jpg") for number in range(4)]
    inspect = Celery(broker=own.redis_url, set_as_current=False).control.inspect(timeout=1.0)
    answers = wait_for(lambda: active_jobs(inspect.active()), "the workers to tell of all running jobs")
    assert "running-0" in answers
    assert SECRET not in answers + json.dumps(inspect.query_task(running))
    assert SECRET not in json.dumps([flower.tasks(), flower.listed("photo")])

    # The last events of a worker that drains are not lost.
    for worker in workers:
        worker.terminate()
    blocked.unlink()
    for worker in workers:
        own.stop_one(worker)
    ended = {**expected, retried: "SUCCESS", **dict.fromkeys(running, "SUCCESS")}
    wait_for(lambda: flower.states() == ended, "Flower to show the last jobs of workers that drain")
    wait_for(lambda: not any(flower.is_online().values()), "both to be offline")


def listeners(broker: redis.Redis) -> set[str]:
    """Return the connections to Redis that listen to what others publish."""
    clients: Any = broker.client_list()
    return {client["id"] for client in clients if client["psub"] != "0"}


def active_jobs(answers: dict[str, list[dict[str, Any]]] | None) -> str:
    """Return what workers tell of their running jobs as text; nothing if these are less than four."""
    jobs = [job for of_worker in (answers or {}).values() for job in of_worker]
    return json.dumps(jobs) if len(jobs) == 4 else ""


def test_with_failures_only_flower_shows_these_by_their_image_and_the_success_of_a_retry(
    fleet: Fleet, flower: Flower, served: ImageServer, own: Stack
) -> None:
    served.add("/busy.jpg", Answer(b"", 503), Answer(small_jpeg()))
    with fleet.running("failures", flower, CLIPQUEUE_EVENTS="failures"):
        # As Flower does with its option `enable_events`.
        control = Celery(broker=own.redis_url, set_as_current=False).control
        (answer,) = wait_for(lambda: control.enable_events(reply=True, timeout=5.0, limit=1), "the worker's answer")
        assert list(answer.values()) == [{"ok": "task events already enabled"}]
        quiet = fleet.enqueue("f-photo", "/photo.jpg")
        failed, retried = fleet.enqueue("f-lost", "/gone.jpg"), fleet.enqueue("f-busy", "/busy.jpg")
        fleet.wait_until_ended("f-photo", "f-lost")
        wait_for(lambda: fleet.redis.zcard(DELAYED), "the job to be retried")
        wait_for(lambda: flower.states().get(retried) == "RETRY", "Flower to show the retry")
        make_due(fleet.redis)
        wait_for(lambda: flower.states().get(retried) == "SUCCESS", "Flower to show that a retry has helped")
        assert quiet not in flower.states()
        assert list(flower.tasks("kwargs:image_id=f-lost")) == [failed]
    task = flower.tasks()[failed]
    assert (task["name"], task["state"]) == ("clipqueue.embed_image", "FAILURE")
    assert "404" in task["exception"]
    assert 0 < task["started"] <= task["failed"]
    assert SECRET not in json.dumps(task)


def test_without_events_flower_still_shows_that_the_worker_is_alive(fleet: Fleet, flower: Flower) -> None:
    known, listening = flower.states(), listeners(fleet.redis)
    with fleet.running("off", flower, CLIPQUEUE_EVENTS="off") as name:
        fleet.enqueue("o-photo", "/photo.jpg")
        fleet.enqueue("o-lost", "/gone.jpg")
        fleet.wait_until_ended("o-photo", "o-lost")
        assert flower.is_online()[name]
        wait_for(lambda: flower.total_of(name) == 2, "Flower to show that it has run both")
        # It listens to remote control alone, and not to the heartbeats of other workers.
        assert len(listeners(fleet.redis) - listening) == 1
    wait_for(lambda: not flower.is_online()[name], "the worker to be offline, and its last events to be there")
    assert flower.states() == known


@pytest.mark.skipif(not CHROMIUM, reason="Flower's pages are not looked at: there is no Chromium")
def test_the_page_of_tasks_finds_a_failure_by_its_image(flower: Flower) -> None:
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415

    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--in-process-gpu"])
        login = {"username": USER, "password": PASSWORD}
        page = browser.new_context(http_credentials=login).new_page()  # type: ignore[arg-type]
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{flower.url}/tasks")
        page.get_by_role("searchbox").fill("kwargs:image_id=lost-photo")
        rows = page.locator("#tasks-table tbody tr")
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("404 Not Found")
        rows.first.get_by_role("link").first.click()
        expect(page.locator("body")).to_contain_text('"image_id":"lost-photo"')
        browser.close()
    assert problems == []


def test_flower_keeps_its_tasks_and_asks_for_the_password(flower: Flower, own: Stack, own_dir: Path) -> None:
    """The last test of the module, since it stops Flower."""
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{flower.url}/api/tasks", timeout=5)  # noqa: S310
    tasks = flower.tasks()
    assert tasks
    own.stop_one(flower.process)
    again = start_flower(own, own_dir / "state", "flower-again")
    assert again.tasks().keys() == tasks.keys()
    assert f"Flower keeps its tasks in {own_dir / 'state'}" in own.log("flower-again").read_text()
    own.stop_one(again.process)
    shutil.rmtree(own_dir / "state", ignore_errors=True)
