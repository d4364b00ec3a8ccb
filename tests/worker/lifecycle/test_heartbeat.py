"""A living worker keeps its jobs, however long they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer.client.broker import Broker
from producer.contract.names import HEARTBEAT_TTL_S, WORKERS
from worker.broker import scripts
from worker.broker.deliveries import ConsumerState
from worker.lifecycle.heartbeat import Heartbeat
from worker.store.outage import Outage

if TYPE_CHECKING:
    import redis

TAGS = ["one", "two"]


@pytest.mark.parametrize("is_paused", [False, True])
def test_the_visibility_timeout_of_a_living_worker_is_extended(
    queue: redis.Redis, redis_url: str, is_paused: bool
) -> None:
    queue.lpush("images", *TAGS)
    scripts.take(queue, "processing", TAGS, 100)
    queue.zadd("unacked_index", dict.fromkeys(TAGS, 1.0))
    consumption = ConsumerState(is_paused=lambda: is_paused)
    consumption.deliveries.add("one")
    template: Any = {"node": "test", "visibility_timeout_s": 80}
    heartbeat = Heartbeat(Broker(redis_url), consumption, Outage(), template)
    heartbeat.beat()
    assert scripts.redeliver(queue, "another", 80.0) == 1
    assert queue.hkeys("unacked") == [b"one"], "the message that this process does not hold is redelivered"
    heartbeat.close()


def test_a_process_that_hangs_does_not_keep_its_jobs(queue: redis.Redis, redis_url: str) -> None:
    queue.lpush("images", *TAGS)
    scripts.take(queue, "processing", TAGS, 100)
    queue.zadd("unacked_index", dict.fromkeys(TAGS, 1.0))
    heartbeat = heartbeat_of(redis_url)
    heartbeat.beat(extend=False)
    assert scripts.redeliver(queue, "another", 80.0) == 2
    heartbeat.close()


def test_a_cold_shutdown_requeues_the_jobs(queue: redis.Redis, redis_url: str) -> None:
    queue.lpush("images", *TAGS)
    scripts.take(queue, "processing", TAGS, 100)
    heartbeat_of(redis_url).close()
    assert (queue.llen("images"), queue.hlen("unacked")) == (2, 0)


def test_the_workers_are_found_by_their_names_and_dead_ones_are_forgotten(queue: redis.Redis, redis_url: str) -> None:
    """Nobody has to scan the keys of other programs."""
    now_s, _ = queue.time()
    queue.zadd(WORKERS, {"dead": now_s - HEARTBEAT_TTL_S - 1, "alive": now_s})
    heartbeat = heartbeat_of(redis_url)
    heartbeat.beat()
    noted: Any = queue.zrange(WORKERS, 0, -1, withscores=True)
    names = dict(noted)
    (own,) = names.keys() - {b"alive"}
    assert 0 <= names[own] - now_s < HEARTBEAT_TTL_S, "the time is Redis'"
    assert 0 < queue.ttl(own) <= HEARTBEAT_TTL_S
    heartbeat.close()
    assert queue.zrange(WORKERS, 0, -1) == [b"alive"]
    assert not queue.exists(own)


def heartbeat_of(redis_url: str) -> Heartbeat:
    """Return the heartbeat of a process that holds both messages."""
    consumption = ConsumerState()
    for tag in TAGS:
        consumption.deliveries.add(tag)
    template: Any = {"node": "test", "visibility_timeout_s": 80}
    return Heartbeat(Broker(redis_url), consumption, Outage(), template)
