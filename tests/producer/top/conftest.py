"""Fixtures: the program on the Redis without a worker and a collection of its own, driven without a terminal."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pymongo
import pytest

from producer.contract.job import now_ms
from producer.top.opening import open_top
from tests.support.doctor import write_heartbeat
from tests.support.stats import worker_stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from producer.top.app import Top

Document = dict[str, Any]
UTF_8 = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
_TIMEOUT_S = 60.0
_NOW_MS = now_ms()
_STARTED_MS = _NOW_MS - 86_400_000


class Driver:
    """Presses keys, and reads the screen."""

    def __init__(self, pilot: Any) -> None:
        self._pilot = pilot
        self.top: Top = pilot.app

    @property
    def text(self) -> str:
        """The screen as text."""
        return str(self.top.screen.lines.text)  # type: ignore[attr-defined]

    @property
    def lines(self) -> list[str]:
        """The lines of the screen."""
        return self.text.splitlines()

    async def press(self, *keys: str) -> str:
        """Press keys, and return the screen after the last one."""
        await self._pilot.press(*keys)
        await self._pilot.pause()
        return self.text

    async def resize(self, width: int, height: int) -> str:
        """Change the size of the screen, and return it when it is drawn anew."""
        await self._pilot.resize_terminal(width, height)
        await self._pilot.pause()
        return self.text

    async def until(self, shown: str | Callable[[], object]) -> str:
        """Wait until the screen shows a text, or a condition holds, and return the screen."""
        deadline = time.monotonic() + _TIMEOUT_S
        while not (shown in self.text if isinstance(shown, str) else shown()):
            assert time.monotonic() < deadline, f"waited for {shown!r} on this screen:\n{self.text}"
            await self._pilot.pause(0.02)
        return self.text


class Program:
    """Starts the program with other servers or another environment, if a test needs them."""

    def __init__(self, redis_url: str, mongodb_uri: str, collection: str) -> None:
        self.redis_url = redis_url
        self.mongodb_uri: str | None = mongodb_uri
        self.collection = collection
        self.env = dict(UTF_8)

    @asynccontextmanager
    async def running(self, width: int = 80, height: int = 24) -> AsyncIterator[Driver]:
        """Run the program on a screen of this size."""
        with self._opened() as top:
            async with top.run_test(size=(width, height)) as pilot:
                driver = Driver(pilot)
                await driver.until(lambda: hasattr(top.screen, "lines"))
                yield driver

    def run(self, use: Callable[[Driver], Any], width: int = 80, height: int = 24) -> None:
        """Run the program until a coroutine function that is given the driver has returned."""

        async def main() -> None:
            async with self.running(width, height) as driver:
                await use(driver)

        asyncio.run(main())

    @contextmanager
    def _opened(self) -> Iterator[Top]:
        with (
            mock.patch.dict(os.environ, self.env),
            open_top(self.redis_url, self.mongodb_uri, self.collection, 1) as top,
        ):
            yield top


@pytest.fixture
def images(stack: Stack) -> Iterator[Collection[Document]]:
    """A collection of its own, empty."""
    with pymongo.MongoClient[Document](stack.mongodb_uri) as client:
        collection = client["clipqueue"][f"top_{time.monotonic_ns()}"]
        yield collection
        collection.drop()


@pytest.fixture
def program(stack: Stack, queue: redis.Redis, redis_url: str, images: Collection[Document]) -> Program:
    return Program(redis_url, stack.mongodb_uri, images.name)


def failure(image_id: Any, code: Any = "http_404", minutes_ago: int = 1, **error: Any) -> Document:
    """Return the document of an image that failed."""
    url = f"https://host/{image_id}.jpg?sig=deadbeef"
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    job = {"status": "failed", "url": url, "enqueued_at": at, "finished_at": at}
    described = {"code": code, "stage": "fetch", "message": f"{url} answered 404", **error}
    return {"_id": image_id, "embedding_job": {**job, "error": described}}


def write_figures(queue: redis.Redis, node: str, images: int, **stats: Any) -> None:
    """Write the heartbeat of a worker that has embedded this many images: with none, one of ten seconds before.

    It started a day ago, and has taken 0.9 s of the model's time for each 100 images, in batches of 16 of 32.
    """
    fields: dict[str, Any] = {
        "batch_size": 32,
        "model_threads": 1,
        "started_at": _STARTED_MS,
        "at": _NOW_MS if images else _NOW_MS - 10_000,
        "stats": {
            **worker_stats(done=images, images=images, batches=images // 16, model_busy_s=images * 0.009, in_flight=7),
            **stats,
        },
    }
    write_heartbeat(queue, node, **fields)
