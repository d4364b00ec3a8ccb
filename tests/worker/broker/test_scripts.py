"""Each step of a message on Redis is atomic, timed by Redis's clock, and works on a full Redis."""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis

from producer.contract.names import PARKED_MAX_BYTES
from tests.support.messages import hand_made_message
from worker.broker import scripts
from worker.broker.deliveries import ConsumerState, Deliveries
from worker.broker.validation import validate_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.local.stack import Stack

LOST_S, ALIVE_S = 0.0, 1000.0
MAX_BYTES = 100_000


@pytest.fixture
def redis_url(own: Stack) -> str:
    """A Redis that no worker uses, because one test counts its commands."""
    return own.redis_url.removesuffix("0") + "6"


def waiting(queue: redis.Redis) -> list[bytes]:
    """Return the queue, the next message first."""
    items: Any = queue.lrange("images", 0, -1)
    return list(reversed(items))


def message(image_id: str) -> bytes:
    return hand_made_message({"image_id": image_id, "url": "http://a.example/"}).encode()


def tags(count: int) -> list[str]:
    return [f"tag-{number}" for number in range(count)]


def take(queue: redis.Redis, count: int, process: ConsumerState | None = None) -> list[bytes]:
    return scripts.take(queue, (process or ConsumerState()).processing_key, tags(count), MAX_BYTES).items


def hand_over(queue: redis.Redis, process: ConsumerState) -> None:
    """Do what Redis does when a process waits for a message."""
    queue.lmove("images", process.processing_key, "RIGHT", "LEFT")


def redeliver(queue: redis.Redis, timeout_s: float = LOST_S, process: str = "test") -> int:
    return scripts.redeliver(queue, process, timeout_s)


def losses(item: bytes) -> int:
    """Return how many workers were lost with a message, as a worker reads it."""
    count = validate_message(item)["headers"][scripts.LOST_HEADER]
    assert isinstance(count, int)
    return count


def test_it_takes_the_oldest_messages_and_records_them_as_unacked(queue: redis.Redis) -> None:
    queue.lpush("images", "1", "2", "3")
    taken = scripts.take(queue, "processing", ["a", "b"], MAX_BYTES)
    assert taken[:3] == ([b"1", b"2"], [1, 1], 1)
    assert queue.hgetall("unacked") == {b"a": b'[1,"","images"]', b"b": b'[2,"","images"]'}
    assert scripts.take(queue, "processing", ["c", "d"], MAX_BYTES)[:3] == ([b"3"], [1], 0)
    assert scripts.take(queue, "processing", ["e"], MAX_BYTES)[:3] == ([], [], 0)


def test_messages_that_were_handed_over_come_first(queue: redis.Redis) -> None:
    process = ConsumerState()
    queue.lpush("images", "1", "2", "3")
    for _ in range(2):
        hand_over(queue, process)
    assert take(queue, 9, process) == [b"1", b"2", b"3"]
    assert not queue.exists(process.processing_key)


def test_the_clock_is_that_of_redis(queue: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a worker does not matter."""
    monkeypatch.setattr(time, "time", lambda: 1.0)
    queue.lpush("images", message("one"))
    take(queue, 1)
    seconds: Any = queue.time()
    score: Any = queue.zscore("unacked_index", "tag-0")
    assert abs(score - seconds[0]) < 60
    assert redeliver(queue, ALIVE_S) == 0
    assert redeliver(queue) == 1


def test_acks_remove_messages(queue: redis.Redis) -> None:
    queue.lpush("images", "1", "2")
    take(queue, 2)
    scripts.ack(queue, ["tag-0", "acked before"])
    assert queue.hkeys("unacked") == [b"tag-1"]
    assert queue.zrange("unacked_index", 0, -1) == [b"tag-1"]


@pytest.mark.parametrize(("at_tail", "expected"), [(False, [b"1", b"waits"]), (True, [b"waits", b"1"])])
def test_messages_are_requeued_at_the_head_or_the_tail(
    queue: redis.Redis, at_tail: bool, expected: list[bytes]
) -> None:
    queue.lpush("images", "1")
    take(queue, 1)
    queue.lpush("images", "waits")
    assert scripts.requeue(queue, ["tag-0", "acked meanwhile"], at_tail=at_tail) == 1
    assert waiting(queue) == expected
    assert not queue.exists("unacked", "unacked_index")
    assert scripts.requeue(queue, ["tag-0"]) == 0


@pytest.mark.parametrize("item", [b"no JSON", b"", b"[", b'["a","","images"]', b"\xff\x00", b"{}", b"null"])
def test_any_item_comes_back_as_it_was(queue: redis.Redis, item: bytes) -> None:
    queue.lpush("images", item)
    assert take(queue, 1) == [item]
    scripts.requeue(queue, tags(1))
    assert waiting(queue) == [item]
    assert take(queue, 1) == [item]
    redeliver(queue)
    assert waiting(queue) == [item]


def test_a_message_that_an_earlier_version_recorded_is_requeued(queue: redis.Redis) -> None:
    """kombu writes its records with spaces, and names an exchange."""
    original = json.loads(message("old"))
    for tag in ("requeued", "redelivered"):
        queue.hset("unacked", tag, json.dumps([original, "images", "images"]))
        queue.zadd("unacked_index", {tag: 1.0})
    scripts.requeue(queue, ["requeued"])
    redeliver(queue)
    for item in waiting(queue):
        assert validate_message(item)["body"] == validate_message(message("old"))["body"]
    assert [losses(item) for item in waiting(queue)] == [1, 0]


def test_messages_of_a_lost_worker_return_to_the_head_and_count_the_loss(queue: redis.Redis) -> None:
    queue.lpush("images", message("one"))
    for number in range(1, 4):
        take(queue, 1)
        assert redeliver(queue, ALIVE_S) == 0
        assert redeliver(queue) == 1
        assert [losses(item) for item in waiting(queue)] == [number]
    assert redeliver(queue) == 0


@pytest.mark.parametrize("space", ["", " ", "\n  "])
@pytest.mark.parametrize("value", ["NaN", "1e400", '"\\ud800"', "12345678901234567890", "[]", '"headers"', '{"a": 1}'])
def test_losses_of_any_valid_message_are_counted(queue: redis.Redis, space: str, value: str) -> None:
    """Also with values that Redis's own JSON cannot read or changes."""
    item = message("one").replace(b'"headers": {', f'"headers":{space}{{{space}"odd":{space}{value},{space}'.encode())
    queue.lpush("images", item)
    for number in (1, 2):
        take(queue, 1)
        redeliver(queue)
        assert [losses(item) for item in waiting(queue)] == [number]


def test_only_the_beginning_of_a_huge_item_is_returned(queue: redis.Redis) -> None:
    """It must not fill the memory of one worker after the other."""
    queue.lpush("images", "x" * 1000)
    assert scripts.take(queue, "processing", ["tag"], 10)[:3] == ([b"x" * 10], [1000], 0)
    scripts.requeue(queue, ["tag"])
    assert waiting(queue) == [b"x" * 1000]


def test_a_redelivered_message_keeps_its_job(queue: redis.Redis) -> None:
    job = {
        "image_id": "ünïcode/\\\u2028",
        "url": "http://a.example/ü?a=/",
        "enqueued_at": 1_795_000_000_123,
        "force": True,
    }
    item = hand_made_message(job).encode()
    queue.lpush("images", item)
    take(queue, 1)
    redeliver(queue)
    before, after = (validate_message(each) for each in (item, waiting(queue)[0]))
    assert after["headers"].pop(scripts.LOST_HEADER) == 1
    assert before["headers"].pop(scripts.LOST_HEADER) == 0
    for each in (before, after):
        each["properties"].pop("delivery_tag")
    assert after == before


def test_hundreds_of_messages_of_lost_workers_return_at_once(queue: redis.Redis) -> None:
    queue.lpush("images", *(message(str(number)) for number in range(450)))
    take(queue, 450)
    assert redeliver(queue) == 450
    assert queue.llen("images") == 450
    assert not queue.exists("unacked", "unacked_index")


def test_a_message_that_was_never_taken_counts_no_loss(queue: redis.Redis) -> None:
    lost = ConsumerState()
    redeliver(queue, process=lost.process)
    sent = [message("one"), message("two")]
    queue.lpush("images", *sent)
    hand_over(queue, lost)
    assert waiting(queue) == sent[1:]
    assert redeliver(queue) == 0
    assert waiting(queue) == sent


def test_a_process_with_a_heartbeat_keeps_its_messages(queue: redis.Redis) -> None:
    process = ConsumerState()
    redeliver(queue, ALIVE_S, process.process)
    queue.lpush("images", "one")
    hand_over(queue, process)
    redeliver(queue, ALIVE_S)
    assert waiting(queue) == []


def test_a_process_that_exits_leaves_nothing_behind(queue: redis.Redis) -> None:
    process = ConsumerState()
    redeliver(queue, process=process.process)
    queue.lpush("images", "1", "2")
    for _ in range(2):
        hand_over(queue, process)
    scripts.return_untaken(queue, process.processing_key)
    assert waiting(queue) == [b"1", b"2"]
    hand_over(queue, process)  # Redis answers a wait that the process has left open
    redeliver(queue)
    assert waiting(queue) == [b"1", b"2"]


def test_workers_that_redeliver_at_once_duplicate_nothing(queue: redis.Redis) -> None:
    for number in range(200):
        queue.lpush(f"clipqueue:taken:{number}", str(number))
        queue.zadd("clipqueue:takers", {str(number): 1.0})
        queue.hset("unacked", str(number), f'[{number + 200},"","images"]')
        queue.zadd("unacked_index", {str(number): 1.0})
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda name: redeliver(queue, process=str(name)), range(200, 204)))
    assert sum(counts) == 200
    assert sorted(map(int, waiting(queue))) == list(range(400))


def test_messages_with_a_priority_are_consumed_too(queue: redis.Redis) -> None:
    """Celery's own producers put them on separate lists, which no worker reads."""
    queue.lpush("images", "waits longer")
    for step in (3, 6, 9):
        queue.lpush(f"images\x06\x16{step}", f"priority {step}")
    redeliver(queue)
    assert waiting(queue)[0] == b"waits longer"
    assert len(waiting(queue)) == 4


def test_it_extends_the_visibility_timeout_of_its_own_messages(queue: redis.Redis) -> None:
    for tag in ("mine", "another's"):
        queue.hset("unacked", tag, '[1,"","images"]')
        queue.zadd("unacked_index", {tag: 1.0})
    deliveries = Deliveries()
    for tag in ("mine", "redelivered meanwhile"):
        deliveries.add(tag)
    deliveries.extend_visibility(queue)
    scores: Any = dict(queue.zrange("unacked_index", 0, -1, withscores=True))  # type: ignore[arg-type]
    assert scores.keys() == {b"mine", b"another's"}
    assert scores[b"another's"] == 1.0
    assert scores[b"mine"] > 1_700_000_000
    assert deliveries.tags == ["mine"]
    Deliveries().extend_visibility(queue)


def test_parked_messages_are_kept_whole_until_their_bound(queue: redis.Redis) -> None:
    entry = {"item": "x" * 200_000}
    size = len(json.dumps(entry))
    fitting = PARKED_MAX_BYTES // size
    queue.lpush("images", *(["invalid"] * (fitting + 2)))
    for number, tag in enumerate(tags(fitting + 2)):
        scripts.take(queue, "processing", [tag], MAX_BYTES)
        scripts.park(queue, tag, {**entry, "number": number % 10})
    assert queue.llen("clipqueue:parked") == pytest.approx(fitting, abs=1)
    parked: Any = queue.lrange("clipqueue:parked", 0, -1)
    assert int(queue.get("clipqueue:parked_bytes") or 0) == sum(map(len, parked)) <= PARKED_MAX_BYTES
    assert int(queue.get("clipqueue:parked_dropped") or 0) == fitting + 2 - len(parked)
    assert not queue.exists("unacked", "unacked_index")


def test_a_message_that_was_redelivered_meanwhile_is_not_parked(queue: redis.Redis) -> None:
    scripts.park(queue, "gone", {"item": "x"})
    assert not queue.exists("clipqueue:parked", "clipqueue:parked_bytes")


@pytest.mark.parametrize(("entries", "counted"), [(["x" * PARKED_MAX_BYTES * 2], 0), ([], PARKED_MAX_BYTES)])
def test_a_wrong_sum_is_mended(queue: redis.Redis, entries: list[str], counted: int) -> None:
    """Earlier versions did not count, and somebody may delete the list by hand."""
    if entries:
        queue.lpush("clipqueue:parked", *entries)
    queue.set("clipqueue:parked_bytes", counted)
    queue.lpush("images", "invalid", "invalid")
    take(queue, 2)
    for tag in tags(2):
        scripts.park(queue, tag, {"item": "y"})
    parked: Any = queue.lrange("clipqueue:parked", 0, 1)
    assert [json.loads(entry) for entry in parked] == [{"item": "y"}] * 2
    assert int(queue.get("clipqueue:parked_bytes") or 0) == sum(map(len, parked))


def fill(broker: redis.Redis) -> None:
    """Give Redis less memory than it uses."""
    broker.config_set("maxmemory", 1)
    with pytest.raises(redis.OutOfMemoryError):
        broker.lpush("other", "x")


def acked(broker: redis.Redis) -> object:
    scripts.ack(broker, ["tag-0"])
    return broker.hlen("unacked")


def parked(broker: redis.Redis) -> object:
    scripts.park(broker, "tag-0", {})
    return broker.llen("clipqueue:parked")


def delayed(broker: redis.Redis) -> object:
    scripts.delay(broker, {"tag-0": scripts.Delay(b"retry", 9.0)})
    return broker.zrange("clipqueue:delayed", 0, -1), broker.hlen("unacked")


def requeued_due(broker: redis.Redis) -> object:
    broker.delete("images")
    scripts.requeue_due(broker)
    return waiting(broker)


def heartbeat(broker: redis.Redis) -> object:
    scripts.write_heartbeat(broker, "heartbeat", "alive", 9)
    return broker.get("heartbeat")


def returned(broker: redis.Redis) -> object:
    scripts.return_untaken(broker, "processing")
    return waiting(broker)


# What each step returns, or leaves behind. "1" is unacked, "2" was handed over, "3" waits, and "due" is delayed.
STEPS: dict[str, tuple[Callable[[redis.Redis], object], object]] = {
    "take": (lambda broker: scripts.take(broker, "processing", ["a", "b"], MAX_BYTES)[:3], ([b"2", b"3"], [1, 1], 1)),
    "take due": (lambda broker: scripts.take(broker, "processing", ["a", "b"], MAX_BYTES, 1).items, [b"2", b"due"]),
    "ack": (acked, 0),
    "requeue": (lambda broker: scripts.requeue(broker, ["tag-0"]), 1),
    "redeliver": (lambda broker: scripts.redeliver(broker, "me", 0.0), 1),
    "extend": (lambda broker: scripts.extend_visibility(broker, ["tag-0", "gone"]), ["gone"]),
    "park": (parked, 1),
    "delay": (delayed, ([b"due", b"retry"], 0)),
    "requeue due": (requeued_due, [b"due"]),
    "heartbeat": (heartbeat, b"alive"),
    "suspect": (lambda broker: scripts.start_alone(broker, "suspect", 1, 9), 1),
    "return": (returned, [b"2", b"3"]),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_full_redis_refuses_no_step(own_broker: redis.Redis, step: str) -> None:
    """Otherwise a full queue could never be drained."""
    run, expected = STEPS[step]
    own_broker.lpush("images", "1", "2", "3")
    take(own_broker, 1)
    own_broker.lmove("images", "processing", "RIGHT", "LEFT")
    own_broker.zadd("clipqueue:delayed", {"due": 1.0})
    fill(own_broker)
    try:
        assert run(own_broker) == expected
    finally:
        own_broker.config_set("maxmemory", 0)


# For each step, the command that writes a message to its new place.
WRITES = {
    "take": "hset",
    "take due": "rpush",
    "requeue": "rpush",
    "redeliver": "rpush",
    "park": "lpush",
    "return": "lmove",
    "delay": "zadd",
}


@pytest.mark.parametrize(("step", "command"), WRITES.items())
def test_a_step_that_fails_half_way_loses_no_message(
    own: Stack, own_broker: redis.Redis, step: str, command: str
) -> None:
    """Redis does not undo what a script did before it failed, here for want of a permission."""
    own_broker.lpush("images", "1", "2", "3")
    take(own_broker, 1)
    own_broker.lmove("images", "processing", "RIGHT", "LEFT")
    own_broker.zadd("clipqueue:delayed", {"due": 1.0})
    commands = ["+@all", f"-{command}"]
    own_broker.acl_setuser("limited", enabled=True, passwords=["+limited"], commands=commands, keys=["*"])
    with (
        redis.Redis.from_url(own.redis_url, username="limited", password="limited") as limited,
        pytest.raises(redis.ResponseError, match="no permissions"),
    ):
        STEPS[step][0](limited)
    own_broker.acl_deluser("limited")
    assert waiting(own_broker) == [b"3"]
    assert own_broker.lrange("processing", 0, -1) == [b"2"]
    assert own_broker.hvals("unacked") == [b'[1,"","images"]']
    assert own_broker.zrange("unacked_index", 0, -1) == [b"tag-0"]
    assert own_broker.zrange("clipqueue:delayed", 0, -1) == [b"due"]


def test_writes_of_others_do_not_delay_a_requeue(queue: redis.Redis, redis_url: str) -> None:
    """Thousands of writes a second to the same hash; a WATCH on it would fail again and again."""
    stop = threading.Event()

    def write() -> None:
        with redis.Redis.from_url(redis_url) as other:
            while not stop.is_set():
                with other.pipeline(transaction=False) as pipe:
                    for _ in range(100):
                        pipe.hset("unacked", uuid.uuid4().hex[:2], "x")
                    pipe.execute()

    queue.lpush("images", *map(str, range(50)))
    take(queue, 50)
    queue.config_resetstat()
    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for tag in tags(50):
            assert scripts.requeue(queue, [tag]) == 1
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    stats: Any = queue.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] <= 51, "one call for each, and one to load the script"
    assert "cmdstat_watch" not in stats
