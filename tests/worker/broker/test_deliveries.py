"""Acks and requeues are deferred, and sent together when Redis is available."""

from __future__ import annotations

import pytest
import redis

from worker.broker import scripts
from worker.broker.deliveries import ConsumerState, Deliveries


@pytest.fixture
def deliveries(queue: redis.Redis) -> Deliveries:
    """Three unacked messages, named by their tags."""
    deliveries, names = Deliveries(), ["done", "back", "runs"]
    queue.lpush("images", *names)
    scripts.take(queue, "processing", names, 100)
    for name in names:
        deliveries.add(name)
    return deliveries


def test_acks_and_requeues_stay_deferred_until_redis_is_available(queue: redis.Redis, deliveries: Deliveries) -> None:
    deliveries.defer_ack("done")
    deliveries.defer_requeue(["back"])
    assert deliveries.tags == ["runs"]
    with redis.Redis(port=1) as unavailable, pytest.raises(redis.ConnectionError):
        deliveries.flush(unavailable)
    for _ in range(2):
        deliveries.flush(queue)
    assert queue.lrange("images", 0, -1) == [b"back"]
    assert queue.hkeys("unacked") == [b"runs"]


def test_a_refused_requeue_leaves_no_ack_behind(queue: redis.Redis, deliveries: Deliveries) -> None:
    deliveries.defer_ack("done")
    deliveries.defer_requeue(["back"], at_tail=True)
    queue.set("images", "a string")
    with pytest.raises(redis.ResponseError):
        deliveries.flush(queue)
    assert b"done" not in queue.hkeys("unacked")


def test_each_process_has_its_own_name() -> None:
    assert ConsumerState().processing_key != ConsumerState().processing_key
