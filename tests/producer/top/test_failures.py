"""How often `clipqueue top` asks MongoDB, for what, and how its retries wait for room in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.documents.connection import connect_collection
from producer.top.failures import FailureReader
from tests.producer.top.conftest import Document, Driver, Program, failure
from tests.support.mongo_commands import recorded_commands

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack


def test_mongodb_is_asked_for_few_codes_and_seldom(stack: Stack, images: Collection[Document]) -> None:
    images.insert_many(
        [failure(f"{code}-{number}", f"code-{code}") for code in range(40) for number in range(code + 1)]
    )
    with recorded_commands() as commands:
        documents = connect_collection(stack.mongodb_uri, images.name)
        reader = FailureReader(documents)
        read = reader.read()
        assert [group.code for group in read.groups] == [f"code-{code}" for code in range(39, 9, -1)]
        assert read.samples is None
        assert 10 < reader.pause_s() <= 15
        before = len(commands)
        reader.looked_into = ["code-39"]
        read = reader.read()
        assert [len(read.groups), len(read.samples or ())] == [30, 40]
        assert [command["find"] for command in commands[before:]] == [images.name]  # nothing is counted again
        assert all("maxTimeMS" in command for command in commands if "find" in command or "aggregate" in command)
    documents.database.client.close()


def test_counts_that_take_long_are_asked_for_less_often(images: Collection[Document]) -> None:
    times = iter([0.0, 4.0, 5.0, 42.0])
    reader = FailureReader(images, lambda: next(times))
    reader.read()  # from 0 to 4 s
    assert [reader.pause_s(), reader.pause_s()] == [15, 2]  # the next count is due at 44 s


def test_a_retry_waits_while_the_queue_is_full(
    program: Program, queue: redis.Redis, images: Collection[Document]
) -> None:
    images.insert_many([failure(f"photo-{number}") for number in range(3)])
    queue.lpush("images", *["x"] * 10_000)

    async def use(driver: Driver) -> None:
        await driver.until("http_404")
        await driver.press("tab", "enter")
        await driver.until("photo-2")
        await driver.press("R", "y")
        await driver.until("enqueued 0; the queue is full, so it waits")
        assert driver.top.retry
        assert "clipqueue retry --code http_404 continues it" in driver.top.retry.interrupted
        await driver.press("r", "y")
        await driver.until("another retry still runs")
        queue.ltrim("images", 1, 0)
        await driver.until("enqueued 3 of all images with http_404 again")
        assert queue.llen("images") == 3
        assert not driver.top.retry.is_running

    program.run(use)
