"""Parked messages are requeued and dropped in one step each, and the sum of their bytes stays right."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis

from producer.contract.names import IMAGE_QUEUE, PARKED_BYTES, PARKED_DROPPED, PARKED_LIST
from producer.operations.parked import ParkedMessage, drop_parked, read_parked, requeue_parked
from tests.support.parked import counted_bytes, legacy_entry, park

if TYPE_CHECKING:
    from producer.local.stack import Stack


def test_messages_are_requeued_behind_the_waiting_jobs_the_oldest_first(queue: redis.Redis) -> None:
    """Workers pop from the right."""
    queue.lpush(IMAGE_QUEUE, "waiting")
    park(queue, b"oldest", b"\xff\x00", b"newest")
    assert requeue_parked(queue, read_parked(queue)) == 3
    assert queue.lrange(IMAGE_QUEUE, 0, -1) == [b"newest", b"\xff\x00", b"oldest", b"waiting"]
    assert not queue.exists(PARKED_LIST, PARKED_BYTES)


@pytest.mark.parametrize("act", [requeue_parked, drop_parked])
def test_the_bytes_of_what_is_left_are_counted(act: Any, queue: redis.Redis) -> None:
    park(queue, *[b"x" * (number % 50) for number in range(1300)])
    assert act(queue, read_parked(queue)[10:1280]) == 1270
    assert queue.llen(PARKED_LIST) == 30
    counted, real = counted_bytes(queue)
    assert counted == real > 0


@pytest.mark.parametrize("act", [requeue_parked, drop_parked])
def test_entries_that_were_never_counted_do_not_make_the_sum_negative(act: Any, queue: redis.Redis) -> None:
    """Versions before the sum of the bytes parked them."""
    queue.lpush(PARKED_LIST, *[legacy_entry(b"old" * number) for number in range(20)])
    park(queue, b"new")
    assert act(queue, read_parked(queue)[5:]) == 16
    counted, real = counted_bytes(queue)
    assert counted == real > 0
    assert act(queue, read_parked(queue)) == 5
    assert queue.get(PARKED_BYTES) is None


@pytest.mark.parametrize("act", [requeue_parked, drop_parked])
def test_two_operators_at_once_take_each_message_once(act: Any, queue: redis.Redis) -> None:
    park(queue, *[b"%d" % number for number in range(1500)])
    messages, counts = read_parked(queue), []
    threads = [threading.Thread(target=lambda: counts.append(act(queue, messages))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 1500
    assert queue.llen(IMAGE_QUEUE) == (1500 if act is requeue_parked else 0)
    assert not queue.exists(PARKED_LIST, PARKED_BYTES)


def test_a_message_that_a_full_redis_refuses_stays_parked(own: Stack, own_broker: redis.Redis) -> None:
    park(own_broker, b"first", b"second")
    messages, before = read_parked(own_broker), own_broker.lrange(PARKED_LIST, 0, -1)
    own_broker.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.RedisError):
            requeue_parked(own_broker, messages)
        assert own_broker.lrange(PARKED_LIST, 0, -1) == before
        assert drop_parked(own_broker, messages[:1]) == 1  # frees memory
    finally:
        own_broker.config_set("maxmemory", 0)
    counted, real = counted_bytes(own_broker)
    assert counted == real > 0


def test_a_message_that_may_not_be_pushed_stays_parked(own: Stack, own_broker: redis.Redis) -> None:
    """A failed script is not undone, so the push comes before the removal."""
    park(own_broker, b"kept")
    own_broker.acl_setuser(
        "reader", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@all"], commands=["-lpush"]
    )
    try:
        messages = read_parked(own_broker)
        reader = redis.Redis.from_url(own.redis_url, username="reader", password="pw")
        with reader, pytest.raises(redis.RedisError):
            requeue_parked(reader, messages)
    finally:
        own_broker.acl_deluser("reader")
    assert [message.item for message in read_parked(own_broker)] == [b"kept"]
    assert not own_broker.exists(IMAGE_QUEUE)


def test_the_count_of_dropped_messages_is_deleted_with_the_last_message(queue: redis.Redis) -> None:
    park(queue, b"a", b"b")
    queue.set(PARKED_DROPPED, 7)
    newest, oldest = read_parked(queue)
    drop_parked(queue, [newest])
    assert queue.get(PARKED_DROPPED) == b"7"
    drop_parked(queue, [oldest])
    assert queue.get(PARKED_DROPPED) is None


def test_the_count_of_dropped_messages_can_be_deleted_alone(queue: redis.Redis) -> None:
    queue.set(PARKED_DROPPED, 7)
    assert drop_parked(queue, []) == 0
    assert queue.get(PARKED_DROPPED) is None


def test_an_entry_without_an_id_is_known_by_its_content() -> None:
    entries = [legacy_entry(b"one"), legacy_entry(b"two"), legacy_entry(b"two", id="../x"), "no entry"]
    ids = [ParkedMessage.of(entry.encode()).id for entry in entries]
    assert len(set(ids)) == 4
    assert all(len(one) == 32 and one.isalnum() for one in ids)
    assert ids[0] == ParkedMessage.of(entries[0].encode()).id


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "5",
        "[]",
        "{}",
        "[" * 100_000,
        '{"item": 5}',
        legacy_entry(b"a", parked_at=1e300),
        legacy_entry(b"a", item="!"),
    ],
)
def test_an_entry_that_no_worker_wrote_cannot_be_requeued(entry: str) -> None:
    message = ParkedMessage.of(entry.encode())
    assert "unreadable" in (message.obstacle or "")
    assert "unreadable" in message.described()


def test_an_item_of_which_only_a_part_was_kept_cannot_be_requeued() -> None:
    message = ParkedMessage.of(legacy_entry(b"x" * 100, bytes=500_000).encode())
    assert message.obstacle == "only 100 of its 500,000 bytes were kept, because no valid message is larger"
    assert ParkedMessage.of(legacy_entry(b"x" * 100).encode()).obstacle is None
