"""CLIPQUEUE_SERVE in real worker processes: queries without MongoDB and without the queue, images without queries."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from ephemeral_port_reserve import reserve

from producer.client.broker import Broker
from producer.client.client import EmbeddingClient
from producer.client.queries import QueryClient
from producer.client.workers import read_workers
from producer.contract.errors import EmbeddingFailed, NoWorker
from producer.contract.queries import Query, Save
from tests.support.fake_encoder import TEXTS_BLOCKED_BY
from tests.support.pictures import small_jpeg
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

LONG_S = 30.0


def test_a_worker_that_serves_queries_needs_no_mongodb_and_leaves_the_jobs(
    start_worker: StartWorker, own: Stack, own_broker: redis.Redis, images: ImageServer
) -> None:
    worker = start_worker(
        CLIPQUEUE_SERVE="queries", MONGODB_URI=f"mongodb://127.0.0.1:{reserve()}/none", CLIPQUEUE_STORE_S="0.5"
    )
    url = images.add("/a.jpg", small_jpeg())
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue("a", url)
        assert len(client.embed_text("a red bicycle", timeout_s=LONG_S)) == 48
        assert client.embed_image(url, timeout_s=LONG_S) == client.embed_image(small_jpeg(), timeout_s=LONG_S)
    asker = QueryClient(Broker(own.redis_url))
    with pytest.raises(EmbeddingFailed, match="store_unavailable"):
        asker.ask(Query.image_bytes(small_jpeg(), save=Save.new("a")), LONG_S)
    asker.close()
    assert own_broker.llen("images") == 1
    (heartbeat,) = read_workers(own_broker).heartbeats
    assert (heartbeat["images"], heartbeat["queries"]) == (False, True)
    assert (heartbeat["dim"], heartbeat["context_length"]) == (48, 16)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0
    assert not own_broker.exists("clipqueue:query_workers")


def test_a_worker_that_serves_images_answers_no_queries(
    start_worker: StartWorker,
    own: Stack,
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    images: ImageServer,
) -> None:
    start_worker(CLIPQUEUE_SERVE="images")
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue("a", images.add("/a.jpg", small_jpeg()))
        wait_for(lambda: own_collection.find_one({"_id": "a", "embedding_job.status": "done"}), "the vector")
        with pytest.raises(NoWorker):
            client.embed_text("a", timeout_s=LONG_S)
    (heartbeat,) = read_workers(own_broker).heartbeats
    assert (heartbeat["images"], heartbeat["queries"]) == (True, False)


@pytest.mark.chaos
def test_a_query_survives_the_worker_that_took_it(
    start_worker: StartWorker, own: Stack, own_broker: redis.Redis, tmp_path: Path
) -> None:
    """It is asked again after 40 % of its deadline, and another worker answers."""
    block = tmp_path / "block"
    block.touch()
    first = start_worker(CLIPQUEUE_SERVE="queries", **{TEXTS_BLOCKED_BY: str(block)})
    with EmbeddingClient(own.redis_url) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.embed_text, "a", timeout_s=LONG_S)
        wait_for(lambda: own_broker.exists("clipqueue:queries") == 0, "the query to be taken")
        time.sleep(0.5)  # until the forward pass has begun
        first.process.kill()
        second = start_worker(CLIPQUEUE_SERVE="queries")
        assert len(answer.result()) == 48
    assert "query=" in second.log


@pytest.mark.chaos
def test_queries_are_answered_after_redis_was_killed(start_worker: StartWorker, own: Stack) -> None:
    worker = start_worker(CLIPQUEUE_SERVE="queries")
    redis_part = next(part for part in own._parts if part.name == "redis")
    with EmbeddingClient(own.redis_url) as client:
        assert client.embed_text("a", timeout_s=LONG_S)
        redis_part.process.kill()
        redis_part.process.wait()
        own._parts.remove(redis_part)
        own.start("redis", own._redis_command())
        own._wait_for("redis", own._redis_answers, LONG_S)

        def answers() -> bool:
            try:
                return bool(client.embed_text("a", timeout_s=5))
            except Exception:  # noqa: BLE001  (until the worker has connected and signed on again)
                return False

        wait_for(answers, "an answer")
    assert worker.log.count("no queries are taken") <= 1
