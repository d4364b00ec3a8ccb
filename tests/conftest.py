"""Fixtures: servers and a worker for the whole session, an image server and fresh ids for each test."""

from __future__ import annotations

import gc
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis
from hypothesis import settings

from producer.cli.model import SMALL_MODEL
from producer.client.client import EmbeddingClient
from producer.local.stack import Stack
from tests.support.scheduling import FileScheduling
from tests.support.servers import ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import EVERY_LINE, FAST_RETRIES, FakeWorker, start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection
    from xdist.remote import Producer

# The settings of a worker with the bundled small model, which imports torch. Most tests need none: see `worker_log`.
WORKER_ENV = {**SMALL_MODEL, **FAST_RETRIES, **EVERY_LINE, "CLIPQUEUE_PRECISION": "fp32"}

# In this folder, packages are missing that open_clip would import in every worker although no worker needs them.
HIDDEN = Path(__file__).parent / "support" / "hidden"

# Hypothesis' own profile for CI: the same examples each time, and no limits of time, which a busy machine exceeds.
settings.load_profile("ci")

Document = dict[str, Any]
StartWorker = Callable[..., FakeWorker]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Choose how pytest-xdist distributes the tests; without `-n` it is not called."""
    return FileScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import torch and all tests, without garbage collection: nothing of that is garbage, now or later."""
    # For the processes that tests start; in this one, a test may import it later.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HIDDEN), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    os.environ["CLIPQUEUE_LOG_FORMAT"] = "text"  # most tests read logs as people do
    sys.modules["transformers"] = None  # type: ignore[assignment]
    gc.disable()
    yield
    del sys.modules["transformers"]
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
def stack(data_dir: Path) -> Iterator[Stack]:
    """Redis and MongoDB for the whole session."""
    with Stack(data_dir) as stack:
        stack.start_servers()
        yield stack


@pytest.fixture(scope="session")
def worker_log(stack: Stack, data_dir: Path) -> Path:
    """The log file of a worker with the fake encoder, which runs on the session's servers."""
    return start_fake_worker(stack, data_dir, "worker").log_path


@pytest.fixture
def broker(stack: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis_url) as client:
        yield client


@pytest.fixture
def redis_url(stack: Stack) -> str:
    """A Redis database without a worker."""
    return stack.redis_url.removesuffix("0") + "6"


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    """The Redis database without a worker, empty."""
    with redis.Redis.from_url(redis_url) as queue:
        queue.flushdb()
        yield queue


@pytest.fixture(scope="module")
def own_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def own(own_dir: Path) -> Iterator[Stack]:
    """Servers for one module: no worker runs there unless a test starts one, and their configuration may change."""
    with Stack(own_dir) as own:
        own.start_servers()
        yield own


@pytest.fixture
def own_broker(own: Stack) -> Iterator[redis.Redis]:
    """The Redis of `own`; emptied after the test."""
    with redis.Redis.from_url(own.redis_url) as client:
        yield client
        client.flushall()


@pytest.fixture
def own_collection(own: Stack) -> Iterator[Collection[Document]]:
    """The workers' collection on the MongoDB of `own`; emptied after the test."""
    with pymongo.MongoClient[Document](own.mongodb_uri, tz_aware=True) as mongo:
        yield mongo["clipqueue"]["images"]
        mongo["clipqueue"]["images"].delete_many({})


@pytest.fixture
def start_worker(
    own: Stack, own_dir: Path, own_broker: redis.Redis, own_collection: Collection[Document]
) -> Iterator[StartWorker]:
    """A function that starts a worker with the fake encoder on `own`; the workers stop after the test."""
    workers: list[FakeWorker] = []

    def start(*options: str, **env: str) -> FakeWorker:
        workers.append(start_fake_worker(own, own_dir, f"worker-{uuid.uuid4().hex[:8]}", env, options))
        return workers[-1]

    yield start
    for worker in workers:
        own.stop_one(worker.process)


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
    """A function that waits until the document with this id has a result, and returns the document."""

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
