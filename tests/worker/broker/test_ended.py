"""A job that ends leaves an event for webhooks exactly when its message is acked, also on a full Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.ids import ObjectIdRef
from producer.contract.job import ImageJob
from producer.contract.names import MAX_ENDED
from producer.webhooks.message import Webhook
from tests.support.long_urls import longest_id, longest_url
from tests.worker.broker.test_scripts import fill, take
from worker.broker import scripts
from worker.broker.deliveries import Deliveries
from worker.broker.ended import describe_done, describe_failed
from worker.errors import WorkerLost
from worker.store.results import Failure

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack

OID = "65a1b2c3d4e5f60718293a4b"


@pytest.fixture
def redis_url(own: Stack) -> str:
    """A Redis that one test fills."""
    return own.redis_url.removesuffix("0") + "6"


def events(queue: redis.Redis) -> list[bytes]:
    entries: Any = queue.xrange("clipqueue:ended")
    return [fields[b"event"] for _, fields in entries]


def taken(queue: redis.Redis, count: int) -> Deliveries:
    """Return deliveries with the tags `tag-0`, `tag-1` and so on."""
    deliveries = Deliveries()
    queue.lpush("images", *range(count))
    take(queue, count)
    for number in range(count):
        deliveries.add(f"tag-{number}")
    return deliveries


def test_the_event_of_the_longest_job_is_bounded() -> None:
    """10,000 of them wait on Redis if nobody receives them. The webhook has the same text."""
    job = ImageJob(longest_id(""), longest_url("http://h/"), 1, task_id="task")
    event = describe_done(job, "m")
    assert len(event) < 40_000
    data = json.loads(Webhook.of(event).body)["data"]
    assert data == {"id": job.image_id, "url": job.url, "model": "m"}


def test_events_are_in_the_order_of_the_acks_and_only_of_jobs_that_ended(queue: redis.Redis) -> None:
    deliveries = taken(queue, 4)
    for number in (2, 0, 3):
        deliveries.ended(f"tag-{number}", b"event %d" % number)
    for number in (3, 1, 2, 0, 2):  # the last one again
        deliveries.defer_ack(f"tag-{number}")
    assert events(queue) == []
    deliveries.flush(queue)
    assert events(queue) == [b"event 3", b"event 2", b"event 0"]
    assert not queue.exists("unacked", "unacked_index", "clipqueue:ended_dropped")


def test_an_ack_that_is_sent_again_adds_no_second_event(queue: redis.Redis) -> None:
    deliveries = taken(queue, 1)
    deliveries.ended("tag-0", b"once")
    deliveries.defer_ack("tag-0")
    scripts.ack_ended(queue, {"tag-0": b"once"})  # its answer was lost
    deliveries.flush(queue)
    assert events(queue) == [b"once"]


def test_a_message_that_is_not_ours_any_more_leaves_no_event(queue: redis.Redis) -> None:
    deliveries = taken(queue, 2)
    for tag in ("tag-0", "tag-1"):
        deliveries.ended(tag, b"not ours")
    scripts.requeue(queue, ["tag-0"])  # another worker found it lost
    deliveries.defer_ack("tag-0")
    deliveries.defer_requeue(["tag-1"])
    deliveries.flush(queue)
    deliveries.defer_ack("tag-1")
    deliveries.flush(queue)
    assert events(queue) == []
    assert queue.llen("images") == 2


def test_a_full_redis_accepts_the_ack_and_the_event(queue: redis.Redis) -> None:
    deliveries = taken(queue, 1)
    deliveries.ended("tag-0", b"full")
    deliveries.defer_ack("tag-0")
    fill(queue)
    try:
        deliveries.flush(queue)
    finally:
        queue.config_set("maxmemory", 0)
    assert events(queue) == [b"full"]
    assert not queue.exists("unacked")


def test_above_the_maximum_the_oldest_event_is_dropped_and_counted(queue: redis.Redis) -> None:
    with queue.pipeline(transaction=False) as pipe:
        for number in range(MAX_ENDED):
            pipe.xadd("clipqueue:ended", {"event": number})
        pipe.execute()
    taken(queue, 2)
    scripts.ack_ended(queue, {"tag-0": b"new", "tag-1": b"newest"})
    found = events(queue)
    assert len(found) == MAX_ENDED
    assert (found[0], found[-2:]) == (b"2", [b"new", b"newest"])
    assert queue.get("clipqueue:ended_dropped") == b"2"


def test_an_event_that_redis_refuses_does_not_delay_the_ack(queue: redis.Redis) -> None:
    queue.set("clipqueue:ended", "no stream")
    taken(queue, 2)
    scripts.ack_ended(queue, {"tag-0": b"lost", "tag-1": b"lost too"})
    assert not queue.exists("unacked", "unacked_index")
    assert queue.get("clipqueue:ended_dropped") == b"2"


def test_a_done_event_names_the_image_and_no_secret() -> None:
    job = ImageJob(ObjectIdRef(OID), "https://e.example/a.jpg?signature=secret", 1, task_id="one")
    event = json.loads(describe_done(job, "fake/model"))
    assert event.pop("ended_at") > 1_700_000_000_000
    assert event == {
        "task_id": "one",
        "image_id": {"$oid": OID},
        "status": "done",
        "model": "fake/model",
        "url": "https://e.example/a.jpg",
    }


def test_a_failed_event_says_why_on_one_line() -> None:
    error = WorkerLost("two\nworkers of https://e.example/?signature=secret " + "x" * 1000)
    event = json.loads(describe_failed(Failure("photo", None, 1, 1, error)))
    assert "url" not in event
    assert (event["status"], event["image_id"], event["task_id"]) == ("failed", "photo", "")
    assert (event["error"]["code"], event["error"]["stage"]) == ("worker_lost", "receive")
    message = event["error"]["message"]
    assert message.startswith("two workers of https://e.example/ x")
    assert len(message) <= 500
