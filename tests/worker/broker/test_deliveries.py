"""A popped message is on the processing list until Redis records it as unacked; unacked messages are acked later."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from worker.broker.deliveries import Deliveries, ProcessingList, reclaim_lost, requeue_unacked

LOST_S, ALIVE_S = 0.0, 1000.0


def waiting(queue: redis.Redis) -> list[bytes]:
    """Return the queue, the next message first."""
    items: Any = queue.lrange("images", 0, -1)
    return list(reversed(items))


def pop(queue: redis.Redis, processing: ProcessingList) -> None:
    queue.lmove("images", processing.key, "RIGHT", "LEFT")


def test_messages_of_a_lost_process_return_to_the_head_of_the_queue(queue: redis.Redis) -> None:
    processing = ProcessingList()
    processing.heartbeat_and_reclaim(queue)
    queue.lpush("images", "one", "two")
    pop(queue, processing)
    assert waiting(queue) == [b"two"]
    assert reclaim_lost(queue, LOST_S) == 1
    assert waiting(queue) == [b"one", b"two"]
    assert reclaim_lost(queue, LOST_S) == 0


def test_messages_popped_together_keep_their_order(queue: redis.Redis) -> None:
    processing = ProcessingList()
    processing.heartbeat_and_reclaim(queue)
    queue.lpush("images", "one", "two", "three")
    for _ in range(2):
        pop(queue, processing)
    processing.heartbeat_and_reclaim(queue)
    assert waiting(queue) == [b"one", b"two", b"three"]


def test_a_process_with_a_heartbeat_keeps_its_messages(queue: redis.Redis) -> None:
    processing = ProcessingList()
    processing.heartbeat_and_reclaim(queue)
    queue.lpush("images", "one")
    pop(queue, processing)
    assert reclaim_lost(queue, ALIVE_S) == 0
    assert waiting(queue) == []


def test_a_heartbeat_requeues_what_a_lost_reply_left_behind(queue: redis.Redis) -> None:
    processing = ProcessingList()
    queue.lpush("images", "one")
    pop(queue, processing)
    processing.heartbeat_and_reclaim(queue)
    assert waiting(queue) == [b"one"]


def test_a_process_that_exits_leaves_nothing_behind(queue: redis.Redis) -> None:
    processing = ProcessingList()
    processing.heartbeat_and_reclaim(queue)
    queue.lpush("images", "one")
    pop(queue, processing)
    processing.reclaim(queue)
    assert waiting(queue) == [b"one"]
    assert not queue.exists(processing.key)


def test_a_message_that_arrives_after_the_exit_is_reclaimed_too(queue: redis.Redis) -> None:
    """Redis answers a blocking pop that the process has left open."""
    processing = ProcessingList()
    processing.heartbeat_and_reclaim(queue)
    processing.reclaim(queue)
    queue.lpush("images", "one")
    pop(queue, processing)
    assert reclaim_lost(queue, LOST_S) == 1
    assert waiting(queue) == [b"one"]


def test_processes_that_reclaim_at_once_duplicate_nothing(queue: redis.Redis) -> None:
    for number in range(200):
        processing = ProcessingList()
        processing.heartbeat_and_reclaim(queue)
        queue.lpush(processing.key, str(number))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: reclaim_lost(queue, LOST_S), range(4)))
    assert sum(counts) == 200
    assert sorted(map(int, waiting(queue))) == list(range(200))


def test_messages_with_a_priority_are_consumed_too(queue: redis.Redis) -> None:
    """Celery's own producers put them on separate lists, which no worker pops."""
    queue.lpush("images", "waits longer")
    for step in (3, 6, 9):
        queue.lpush(f"images\x06\x16{step}", f"priority {step}")
    ProcessingList().heartbeat_and_reclaim(queue)
    assert waiting(queue)[0] == b"waits longer"
    assert len(waiting(queue)) == 4


def record(queue: redis.Redis, tag: str, at: float) -> None:
    """Record a message as unacked, as kombu does."""
    queue.hset("unacked", tag, json.dumps([{"body": tag}, "", "images"]))
    queue.zadd("unacked_index", {tag: at})


def deliveries_of(*tags: str) -> Deliveries:
    deliveries = Deliveries()
    for tag in tags:
        deliveries.add(tag)
    return deliveries


def test_it_extends_the_visibility_timeout_of_its_own_messages(queue: redis.Redis) -> None:
    record(queue, "mine", 1.0)
    record(queue, "another's", 1.0)
    deliveries = deliveries_of("mine", "redelivered meanwhile")
    deliveries.extend_visibility(queue)
    scores: Any = dict(queue.zrange("unacked_index", 0, -1, withscores=True))  # type: ignore[arg-type]
    assert scores.keys() == {b"mine", b"another's"}
    assert scores[b"another's"] == 1.0
    assert scores[b"mine"] > 1_700_000_000
    assert deliveries.tags == ["mine"]
    deliveries_of().extend_visibility(queue)


def test_unacked_messages_are_requeued_at_the_head(queue: redis.Redis) -> None:
    queue.lpush("images", "waits")
    record(queue, "mine", 1.0)
    assert requeue_unacked(queue, ["mine", "acked meanwhile"]) == 1
    assert waiting(queue) == [b'{"body": "mine"}', b"waits"]
    assert not queue.exists("unacked", "unacked_index")


def test_acks_and_requeues_stay_deferred_until_redis_is_available(queue: redis.Redis) -> None:
    for tag in ("done", "back", "runs"):
        record(queue, tag, 1.0)
    deliveries = deliveries_of("done", "back", "runs")
    deliveries.defer_ack("done")
    deliveries.defer_requeue("back")
    assert deliveries.tags == ["runs"]
    with redis.Redis(port=1) as unavailable, pytest.raises(redis.ConnectionError):
        deliveries.flush(unavailable)
    for _ in range(2):
        deliveries.flush(queue)
    assert waiting(queue) == [b'{"body": "back"}']
    assert queue.hkeys("unacked") == [b"runs"]
