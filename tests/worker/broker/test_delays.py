"""Jobs that wait for their next attempt: on Redis, by its clock, and neither lost nor doubled."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery.app.task import Context

from producer.contract.job import ImageJob
from tests.support.messages import hand_made_message
from worker.broker import scripts
from worker.broker.deliveries import ConsumerState, Deliveries
from worker.broker.due import DueTimes
from worker.broker.retries import OWN_RETRIES_HEADER, retry_message
from worker.broker.scripts.lua import MAX_MOVED
from worker.broker.taking import take
from worker.broker.validation import validate_message
from worker.errors import DecodeTimeout, FetchTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 100_000
ALL_LOST_S = 0.0


@pytest.fixture
def deliveries(queue: redis.Redis) -> Deliveries:
    """One unacked message, whose job a thread runs."""
    deliveries = Deliveries()
    queue.lpush("images", "failed")
    scripts.take(queue, "processing", ["tag"], MAX_BYTES)
    deliveries.add("tag")
    return deliveries


def delayed(queue: redis.Redis) -> list[tuple[bytes, float]]:
    """Return the delayed messages, each with the seconds until it is due."""
    now: Any = queue.time()
    found: Any = queue.zrange("clipqueue:delayed", 0, -1, withscores=True)
    return [(message, due - now[0]) for message, due in found]


def waiting(queue: redis.Redis) -> list[bytes]:
    """Return the queue, the next message first."""
    items: Any = queue.lrange("images", 0, -1)
    return list(reversed(items))


def add_due(queue: redis.Redis, count: int) -> list[bytes]:
    """Add messages that have long been due; return them, the one that has waited longest first."""
    members = {f"due-{number}": float(number + 1) for number in range(count)}
    queue.zadd("clipqueue:delayed", members)
    return [member.encode() for member in members]


def take_one(queue: redis.Redis, max_due: int = 0) -> scripts.Taken:
    return scripts.take(queue, "processing", ["next"], MAX_BYTES, max_due)


def skew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the worker's clock to 1970."""
    monkeypatch.setattr(time, "time", lambda: 1.0)


def test_a_retry_replaces_its_message_and_is_due_by_the_clock_of_redis(
    queue: redis.Redis, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    skew(monkeypatch)
    deliveries.defer_delay("tag", b"retry", 1000.0)
    assert deliveries.tags == [], "its visibility timeout is not extended"
    deliveries.flush(queue)
    ((message, wait_s),) = delayed(queue)
    assert message == b"retry"
    assert 940 < wait_s < 1002
    assert not queue.exists("images", "unacked", "unacked_index")


def test_no_visibility_timeout_applies_to_a_delayed_message(queue: redis.Redis, deliveries: Deliveries) -> None:
    deliveries.defer_delay("tag", b"retry", 1000.0)
    deliveries.flush(queue)
    assert scripts.redeliver(queue, "another", ALL_LOST_S) == 0
    assert queue.llen("images") == 0
    assert len(delayed(queue)) == 1


def test_a_message_that_was_redelivered_meanwhile_is_not_doubled(queue: redis.Redis, deliveries: Deliveries) -> None:
    scripts.redeliver(queue, "another", ALL_LOST_S)
    deliveries.defer_delay("tag", b"retry", 1000.0)
    deliveries.flush(queue)
    assert waiting(queue) == [b"failed"]
    assert delayed(queue) == []


def test_a_retry_is_sent_when_redis_is_back_and_once(queue: redis.Redis, deliveries: Deliveries) -> None:
    deliveries.defer_delay("tag", b"retry", 1000.0)
    with redis.Redis(port=1) as unavailable, pytest.raises(redis.ConnectionError):
        deliveries.flush(unavailable)
    scripts.delay(queue, {"tag": scripts.Delay(b"retry, whose answer was lost", 1000.0)})
    deliveries.flush(queue)
    assert [message for message, _ in delayed(queue)] == [b"retry, whose answer was lost"]


def test_a_failover_that_undoes_the_move_loses_nothing(queue: redis.Redis, deliveries: Deliveries) -> None:
    """Celery acks the old message after the move. On the new primary, that message may still be there."""
    with deliveries.running("tag"):
        deliveries.defer_delay("tag", b"retry", 1000.0)
    deliveries.flush(queue)
    queue.delete("clipqueue:delayed")
    queue.hset("unacked", "tag", '[failed,"","images"]')
    queue.zadd("unacked_index", {"tag": 1.0})
    deliveries.defer_ack("tag")
    deliveries.flush(queue)
    assert scripts.redeliver(queue, "another", ALL_LOST_S) == 1
    assert waiting(queue) == [b"failed"]
    deliveries.defer_ack("tag")
    assert deliveries.has_pending, "only one ack is ignored"


def test_a_closing_channel_requeues_no_delayed_message(queue: redis.Redis, deliveries: Deliveries) -> None:
    deliveries.defer_delay("tag", b"retry", 1000.0)
    deliveries.defer_requeue(["tag"])
    deliveries.flush(queue)
    assert (waiting(queue), len(delayed(queue))) == ([], 1)


def test_due_messages_go_before_those_that_wait(queue: redis.Redis) -> None:
    due = add_due(queue, 3)
    queue.zadd("clipqueue:delayed", {"later": 4e9})
    queue.lpush("images", "new")
    assert take_one(queue, max_due=2).items == due[:1]
    assert waiting(queue) == [due[1], b"new"]
    assert [message for message, _ in delayed(queue)] == [due[2], b"later"]


STEPS: dict[str, Callable[[redis.Redis], object]] = {
    "take": lambda queue: scripts.take(queue, "processing", [], MAX_BYTES),
    "redeliver": lambda queue: scripts.redeliver(queue, "me", 1000.0),
    "requeue_due": scripts.requeue_due,
}


@pytest.mark.parametrize("step", STEPS)
def test_ten_thousand_due_messages_move_in_small_steps(queue: redis.Redis, step: str) -> None:
    """One step moves few, so that it does not block Redis; and none while others wait, so that these have a turn."""
    due = add_due(queue, 10_000)
    STEPS[step](queue)
    assert waiting(queue) == due[:MAX_MOVED]
    STEPS[step](queue)
    assert queue.llen("images") == MAX_MOVED
    assert queue.zcard("clipqueue:delayed") == 10_000 - MAX_MOVED


def test_a_worker_that_empties_the_queue_sees_that_more_is_due(queue: redis.Redis) -> None:
    """Otherwise it would wait for a message, with thousands of due ones beside it."""
    queue.lpush("images", "new")
    add_due(queue, 5)
    taken = take_one(queue)
    assert (taken.items, taken.waiting) == ([b"new"], 5)


def test_neither_new_nor_due_jobs_starve(queue: redis.Redis) -> None:
    """A busy worker takes one message at a time, and 10,000 are due. By chance, it takes about as many of each."""
    add_due(queue, 10_000)
    new, process = hand_made_message({"image_id": "new", "url": "http://a.example/"}), ConsumerState()
    queue.lpush("images", *[new] * 1000)
    valid = sum(len(take(queue, process, 1)[0]) for _ in range(200))
    assert queue.llen("clipqueue:parked") == 200 - valid, "the due ones are no messages"
    assert 50 < valid < 150


def eta(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_retry_of_an_earlier_version_waits_with_the_delayed_ones(
    queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies on the queue with an ETA, for which Celery would wait in memory, unacked."""
    headers = {"retries": 2, "eta": eta(500), scripts.LOST_HEADER: 1}
    queue.lpush("images", hand_made_message({"image_id": "old", "url": "http://a.example/"}, headers=headers))
    process = ConsumerState()
    skew(monkeypatch)
    assert take(queue, process, 1) == ([], False)
    process.deliveries.flush(queue)
    ((message, wait_s),) = delayed(queue)
    assert 440 < wait_s < 560
    assert not queue.exists("unacked", "unacked_index", "images")
    found = json.loads(message)["headers"]
    assert (found["retries"], found["eta"], found[scripts.LOST_HEADER]) == (2, None, 1)
    queue.zadd("clipqueue:delayed", {message: 1.0})
    (again,), _ = take(queue, process, 1)
    assert again["body"] == json.loads(message)["body"]


@pytest.mark.parametrize(
    "headers",
    [
        {"retries": 1, "eta": eta(-1)},
        {"retries": 1, "eta": eta(90_000)},
        {"retries": 1, "eta": "9999-12-31T23:59:59.999999+00:00"},
        {"retries": 1, "eta": "0001-01-01T00:00:00+23:59"},
        {"retries": 1, "eta": "soon"},
        {"retries": 1, "eta": 1e308},
        {"retries": 0, "eta": eta(500)},
    ],
    ids=["past", "a day ahead", "year 9999", "year 1", "no time", "a number", "no retry"],
)
def test_an_eta_that_no_worker_has_written_is_ignored(queue: redis.Redis, headers: dict[str, Any]) -> None:
    queue.lpush("images", hand_made_message({"image_id": "odd", "url": "http://a.example/"}, headers=headers))
    (message,), _ = take(queue, ConsumerState(), 1)
    assert message["headers"]["eta"] is None
    assert delayed(queue) == []


@pytest.mark.parametrize(("error", "own_retries"), [(FetchTimeout(), 2), (DecodeTimeout(), 3)])
def test_the_message_of_a_retry_keeps_what_is_known_of_the_job(error: Any, own_retries: int) -> None:
    job = ImageJob("photo", "https://a.example/?signature=secret", 1_795_000_000_123, force=True, task_id="task")
    request = Context({"id": "task", "retries": 4, OWN_RETRIES_HEADER: 2, scripts.LOST_HEADER: 1})
    sent = [retry_message(job, request, error) for _ in range(2)]
    assert sent[0] != sent[1], "two deliveries of one job are two members of the set"
    for item in sent:
        assert b"secret" not in json.dumps(json.loads(item)["headers"]).encode()
        message = validate_message(item)
        headers = message["headers"]
        assert (headers["id"], headers["retries"], headers["eta"]) == ("task", 5, None)
        assert (headers[OWN_RETRIES_HEADER], headers[scripts.LOST_HEADER]) == (own_retries, 1)
        assert message["body"] == json.loads(item)["body"]


def test_a_process_looks_for_its_retries_when_they_are_due_and_at_no_other_time() -> None:
    now_s = 100.0
    due = DueTimes(lambda: now_s)
    assert not due.take()
    for wait_s in (2.0, 3000.0, 0.5, 0.51, 2.0):
        due.add(wait_s)
    looks = []
    for step in range(3200):
        now_s = 100.0 + step
        looks += [step] if due.take() else []
    assert looks == [1, 2, 3000]
