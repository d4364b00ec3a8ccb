"""How many commands a worker sends to Redis. A hosted Redis bills each of them; docs/deployment.md has the table."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis

from producer.contract.names import DELAYED
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

DONE = {"embedding_job.status": "done"}
IDLE_S, LOAD = 10, 200


@contextmanager
def counting(url: str, broker: redis.Redis) -> Iterator[Counter[str]]:
    """Count the commands that arrive until the block ends, without those inside scripts."""
    counts, is_counting = Counter[str](), threading.Event()

    def count() -> None:
        with redis.Redis.from_url(url) as other, other.monitor() as monitor:
            is_counting.set()
            for received in monitor.listen():
                words = received["command"].split()
                if words == ["ECHO", "end"]:
                    return
                if received["client_type"] != "lua" and words[0] != "LPUSH":
                    counts[words[0]] += 1

    thread = threading.Thread(target=count)
    thread.start()
    is_counting.wait(60)
    yield counts
    broker.echo("end")
    thread.join()


def test_what_a_worker_costs_idle_with_single_jobs_and_under_load(
    start_worker: StartWorker,
    own: Stack,
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    images: ImageServer,
    new_id: str,
) -> None:
    url = images.add("/image.jpg", small_jpeg())

    def enqueue(first: int, count: int, *, retried: bool = False) -> None:
        urls = {number: busy_once(number) if retried else url for number in range(first, first + count)}
        jobs = ({"image_id": f"{new_id}-{number}", "url": urls[number]} for number in urls)
        own_broker.lpush("images", *map(hand_made_message, jobs))
        wait_for(lambda: own_collection.count_documents(DONE) == first + count, "the jobs to be done")

    def busy_once(number: int) -> str:
        return images.add(f"/busy-{number}.jpg", Answer(b"", 503), Answer(small_jpeg()))

    start_worker()
    enqueue(0, 1)
    time.sleep(1)  # until the events of the job are sent
    own_broker.zadd(DELAYED, {"due much later": 4e9})  # a job that waits costs nothing
    with counting(own.redis_url, own_broker) as idle:
        time.sleep(IDLE_S)
    assert idle.total() <= IDLE_S, idle
    with counting(own.redis_url, own_broker) as single:
        for number in range(1, 6):
            enqueue(number, 1)
    assert single.total() <= 5 * 6, single
    with counting(own.redis_url, own_broker) as load:
        enqueue(6, LOAD)
    assert load.total() <= 3 * LOAD, load
    with counting(own.redis_url, own_broker) as retried:
        for number in range(5):
            enqueue(6 + LOAD + number, 1, retried=True)
    assert retried.total() <= 5 * 12, retried
    with counting(own.redis_url, own_broker) as retried_load:
        enqueue(11 + LOAD, LOAD, retried=True)
    assert retried_load.total() <= 2 * LOAD, retried_load
