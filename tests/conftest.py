"""Fixtures: the embedded servers once a run, a worker once a run, an image server and fresh ids for each test."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from producer.cli.model import SMALL_MODEL
from producer.client.client import EmbeddingClient
from producer.local.stack import Stack
from tests.support.servers import ImageServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.collection import Collection

FAST_RETRIES = {"CLIPQUEUE_MAX_RETRIES": "2", "CLIPQUEUE_RETRY_BASE_S": "0.1", "CLIPQUEUE_RETRY_CAP_S": "0.2"}
WORKER_ENV = {**SMALL_MODEL, **FAST_RETRIES, "CLIPQUEUE_PRECISION": "fp32"}

Document = dict[str, Any]


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def stack(data_dir: Path) -> Iterator[Stack]:
    """Redis and MongoDB, for the whole run."""
    with Stack(data_dir) as stack:
        stack.start_servers()
        yield stack


@pytest.fixture(scope="session")
def worker_log(stack: Stack, data_dir: Path) -> Path:
    """A worker on the run's stack; its log file, in which OpenMP too says what is set."""
    stack.start_worker({**WORKER_ENV, "OMP_DISPLAY_ENV": "VERBOSE"})
    return data_dir / "worker.log"


@pytest.fixture
def broker(stack: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis_url) as client:
        yield client


@pytest.fixture
def redis_url(stack: Stack) -> str:
    """A Redis database where no worker listens."""
    return stack.redis_url.removesuffix("0") + "6"


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    """That database, empty."""
    with redis.Redis.from_url(redis_url) as queue:
        queue.flushdb()
        yield queue


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of a module's own: no worker listens there, and their configuration may be changed."""
    with Stack(tmp_path_factory.mktemp("own")) as own:
        own.start_servers()
        yield own


@pytest.fixture
def own_broker(own: Stack) -> Iterator[redis.Redis]:
    """Their Redis; emptied afterwards."""
    with redis.Redis.from_url(own.redis_url) as client:
        yield client
        client.flushall()


@pytest.fixture
def client(stack: Stack) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(stack.redis_url) as client:
        yield client


@pytest.fixture
def collection(stack: Stack) -> Iterator[Collection[Document]]:
    with pymongo.MongoClient[Document](stack.mongodb_uri, tz_aware=True) as mongo:
        yield mongo["clipqueue"]["images"]


@pytest.fixture
def result_of(collection: Collection[Document]) -> Callable[[Any], Document]:
    """A function that waits until the document with this id has a result, and returns it."""

    def wait(image_id: Any) -> Document:
        return wait_for(
            lambda: collection.find_one({"_id": image_id, "embedding_job.status": {"$in": ["done", "failed"]}}),
            f"a result for {image_id}",
        )

    return wait


@pytest.fixture
def images() -> Iterator[ImageServer]:
    server = ImageServer()
    yield server
    server.close()


@pytest.fixture
def new_id() -> str:
    """An id that no other test uses."""
    return f"img-{uuid.uuid4().hex}"
