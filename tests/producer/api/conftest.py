"""Fixtures: the API with a worker that never answers. tests/producer/conftest.py has the API with one that does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import redis

from tests.support.api import Api, running_api
from tests.support.workers import FAKE_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.local.stack import Stack

DIM = 48  # of the fake encoder
MODEL = FAKE_MODEL["CLIP_MODEL"]
SILENT_MODEL = "fake/silent"
SILENT = json.dumps({"context_length": 16, "dim": DIM, "model": SILENT_MODEL, "node": "silent"})


@pytest.fixture
def silent_queue(stack: Stack) -> Iterator[redis.Redis]:
    """A Redis database with a worker that is alive but never answers; it has the model of SILENT."""
    with redis.Redis.from_url(stack.redis_url.removesuffix("0") + "7") as queue:
        queue.flushdb()
        queue.zadd("clipqueue:query_workers", {SILENT: queue.time()[0] + 3600})
        yield queue


@pytest.fixture
def silent_api(stack: Stack, silent_queue: redis.Redis) -> Iterator[Api]:
    """The API with such a worker."""
    with running_api(REDIS_URL=stack.redis_url.removesuffix("0") + "7", MONGODB_URI=stack.mongodb_uri) as api:
        yield api
