"""The keys of `clipqueue top`: sort, pause, look into failures, retry them, help and quit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from producer.contract.ids import parse_image_id, wire_id
from tests.producer.top.conftest import Document, Driver, Program, failure, write_figures
from tests.support.doctor import write_heartbeat
from tests.support.queued import queued_ids, queued_kwargs

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection


def names(text: str) -> list[str]:
    """Return the workers in the order of the table."""
    return [line.split()[0].lstrip(">") for line in text.splitlines() if line[1:].startswith("w-")]


# What three workers have done between two heartbeats: images, batches, and attempts that failed.
DONE = {"w-a": (200, 100, 2), "w-b": (400, 20, 1), "w-c": (300, 10, 3)}


def test_s_sorts_the_workers_by_rate_batch_fill_errors_and_name(program: Program, queue: redis.Redis) -> None:
    for node in DONE:
        write_figures(queue, node, 0)

    async def use(driver: Driver) -> None:
        await driver.until("3 alive")
        for node, (images, batches, failed) in DONE.items():
            write_figures(queue, node, images, batches=batches, failed=failed)
        await driver.until("images/s now")
        assert names(driver.text) == ["w-b", "w-c", "w-a"]
        assert [names(await driver.press("s")) for _ in range(4)] == [
            ["w-c", "w-b", "w-a"],
            ["w-c", "w-a", "w-b"],
            ["w-a", "w-b", "w-c"],
            ["w-b", "w-c", "w-a"],
        ]
        assert "by rate" in driver.text

    program.run(use)


def test_p_pauses_all_reads_until_it_is_pressed_again(program: Program, queue: redis.Redis) -> None:
    async def use(driver: Driver) -> None:
        await driver.until("waiting 0")
        await driver.press("p")
        assert "paused at" in driver.text
        before = queue.info("stats")["total_commands_processed"]
        queue.lpush("images", "x")
        # The clock goes on, so the screen is drawn; nothing is read.
        await driver.until(lambda: driver.top.screen.lines.draws > 3)  # type: ignore[attr-defined]
        assert "waiting 0" in driver.text
        assert queue.info("stats")["total_commands_processed"] - before < 5
        await driver.press("p")
        await driver.until("waiting 1")
        assert "paused" not in driver.text

    program.run(use)


@pytest.mark.parametrize("image_id", ["photo-2", 42, ObjectId("65f0c0ffee65f0c0ffee65f0")])
def test_one_failure_is_looked_into_and_retried(
    program: Program, queue: redis.Redis, images: Collection[Document], image_id: Any
) -> None:
    images.insert_many([failure("photo-1"), failure(image_id, minutes_ago=2), failure("photo-3", "corrupt_image")])

    async def use(driver: Driver) -> None:
        await driver.until("http_404")
        await driver.press("tab", "enter")
        await driver.until(f"{image_id}")
        shown = await driver.press("down")
        details = {line[:9].strip(): line[9:].strip() for line in shown.splitlines() if line[:1] not in (" ", ">")}
        assert details["image"] == str(image_id)
        assert details["URL"] == f"https://host/{image_id}.jpg"
        assert details["error"] == "http_404 at fetch"
        assert details["message"] == f"https://host/{image_id}.jpg answered 404"
        assert details["failed"].endswith("UTC, 2 min ago")
        assert "deadbeef" not in shown
        assert f"Retry the image {image_id}?" in await driver.press("r")
        await driver.press("n")
        assert queue.llen("images") == 0
        await driver.press("r", "y")
        await driver.until(f"enqueued the image {image_id} again")
        assert [kwargs["image_id"] for kwargs in queued_kwargs(queue)] == [wire_id(parse_image_id(image_id))]
        await driver.press("escape")
        assert "Workers" in driver.text

    program.run(use)


@pytest.mark.parametrize("code", ["http_404", None])
def test_all_failures_of_a_code_are_retried(
    program: Program, queue: redis.Redis, images: Collection[Document], code: str | None
) -> None:
    images.insert_many([failure(f"photo-{number}", code) for number in range(3)])
    images.insert_one(failure("other", "corrupt_image"))

    async def use(driver: Driver) -> None:
        shown = code or "none"
        await driver.until(shown)
        await driver.press("tab", "enter")
        await driver.until("photo-2")
        await driver.press("R")
        await driver.until(f"Retry all images with {shown}? Now 3 have failed with it.")
        await driver.press("y")
        await driver.until(f"enqueued 3 of all images with {shown} again")
        assert sorted(queued_ids(queue)) == ["photo-0", "photo-1", "photo-2"]

    program.run(use)


def test_a_retry_that_cannot_be_says_why(program: Program, queue: redis.Redis, images: Collection[Document]) -> None:
    images.insert_one(failure("photo-1"))
    write_heartbeat(queue, "w-1", collection="elsewhere")

    async def use(driver: Driver) -> None:
        await driver.until("http_404")
        await driver.press("tab", "enter")
        await driver.until("photo-1")
        await driver.press("r", "y")
        await driver.until("the workers write to clipqueue.elsewhere")
        assert queue.llen("images") == 0

    program.run(use, width=160)


def test_enter_shows_all_that_a_worker_says(program: Program, queue: redis.Redis) -> None:
    write_figures(queue, "celery@a-long-name-of-a-worker@a-long-name-of-a-host", 5000, failed=3, rss_bytes=3 << 29)

    async def use(driver: Driver) -> None:
        await driver.until("1 alive")
        shown = await driver.press("enter")
        for fact in ("celery@a-long-name-of-a-worker@a-long-name-of-a-host", "5,000 done, 0 skipped, 3 failed", "1.5G"):
            assert fact in shown
        queue.flushdb()
        await driver.until("It has ended")
        await driver.press("escape")
        assert "no worker is alive" in driver.text

    program.run(use)


def test_the_help_names_all_keys_and_can_be_read_on_a_low_screen(program: Program) -> None:
    async def use(driver: Driver) -> None:
        shown = await driver.press("question_mark")
        assert "Ctrl-Z suspends" not in shown
        assert "attempts that failed with this error each minute" in await driver.press("end")
        await driver.press("home", "down", "down")
        await driver.press("escape")
        assert "Workers" in driver.text

    program.run(use, height=10)


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_quit(program: Program, key: str) -> None:
    async def use(driver: Driver) -> None:
        await driver.press(key)
        assert driver.top.return_code == 0

    program.run(use)
