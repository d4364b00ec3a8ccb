"""One reading of the whole queue."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest

from producer.client.broker import Broker
from producer.contract.errors import BrokerUnavailable
from producer.contract.job import now_ms
from producer.contract.names import DELAYED
from producer.operations.stats.models import ModelWorkers, count_models
from producer.operations.stats.reading import QueueReader
from tests.support.doctor import write_heartbeat, write_worker
from tests.support.messages import hand_made_message
from tests.support.stats import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from producer.local.stack import Stack


@pytest.fixture
def reader(redis_url: str, queue: redis.Redis) -> Iterator[QueueReader]:
    with closing(Broker(redis_url)) as broker:
        yield QueueReader(broker)


def test_an_empty_queue(reader: QueueReader) -> None:
    reading = reader.read()
    assert (reading.jobs, reading.parked, reading.oldest_age_s, reading.overdue_s) == (0, 0, 0.0, 0.0)
    assert (reading.workers, reading.unreadable_workers) == ((), 0)
    assert reading.max_memory_bytes is None


def test_jobs_of_every_state_and_the_workers_of_each_model(reader: QueueReader, queue: redis.Redis) -> None:
    fill(queue)
    write_worker(queue, "celery@e", "no heartbeat")
    reading = reader.read()
    assert (reading.waiting, reading.in_flight, reading.delayed, reading.parked) == (2, 3, 2, 1)
    assert reading.jobs == 7
    assert reading.oldest_age_s == pytest.approx(300, abs=5)
    assert reading.overdue_s == pytest.approx(120, abs=5)
    assert reading.at_s == pytest.approx(now_ms() / 1e3, abs=5)
    assert reading.memory_bytes
    assert reading.memory_bytes > 100_000
    assert count_models(reading) == [ModelWorkers("one", 2, 2), ModelWorkers("two/x", 1, 0)]
    assert reading.unreadable_workers == 1


def test_a_reading_is_four_commands(reader: QueueReader, queue: redis.Redis) -> None:
    """Some hosted servers charge for each command, and this runs at each scrape. Those within a script do not count."""
    fill(queue)
    reader.read()
    with queue.monitor() as monitor:  # type: ignore[no-untyped-call]
        reader.read()
        queue.echo("over")
        seen = [
            entry["command"].partition(" ")[0]
            for entry in takewhile(lambda entry: entry["command"] != "ECHO over", monitor.listen())
            if entry["client_type"] != "lua"
        ]
    assert seen[:4] == ["EVALSHA", "ZRANGE", "MGET", "INFO"]
    assert set(seen[4:]) <= {"HELLO", "CLIENT", "SELECT"}, "of this test's second connection"


def test_the_oldest_job_may_be_at_either_end(reader: QueueReader, queue: redis.Redis) -> None:
    def waiting_for(minutes: int) -> str:
        job = {"image_id": "a", "url": "http://host/", "enqueued_at": now_ms() - 60_000 * minutes}
        return hand_made_message(job)

    queue.lpush("images", waiting_for(3), waiting_for(5))
    assert reader.read().oldest_age_s == pytest.approx(300, abs=5)
    queue.rpush("images", waiting_for(7), b"\xff", "[]")
    assert reader.read().oldest_age_s == pytest.approx(420, abs=5)


@pytest.mark.parametrize(
    "message", [b"\xff\x00", b"{}", b"[" * 1000, b"x" * 300_000, hand_made_message({"enqueued_at": "now"}).encode()]
)
def test_an_age_that_no_message_tells_is_unknown(reader: QueueReader, queue: redis.Redis, message: bytes) -> None:
    queue.lpush("images", *[message] * 30)
    reading = reader.read()
    assert (reading.waiting, reading.oldest_age_s) == (30, None)


def test_a_job_from_the_future_is_new(reader: QueueReader, queue: redis.Redis) -> None:
    queue.lpush("images", hand_made_message({"image_id": "a", "enqueued_at": now_ms() + 60_000}))
    assert reader.read().oldest_age_s == 0.0


@pytest.mark.parametrize(("due", "overdue"), [("+inf", False), ("-inf", True), ("0", True), ("1e300", False)])
def test_odd_times_of_delayed_messages(reader: QueueReader, queue: redis.Redis, due: str, *, overdue: bool) -> None:
    queue.zadd(DELAYED, {"odd": float(due)})
    reading = reader.read()
    assert 0 <= reading.overdue_s <= reading.at_s
    assert bool(reading.overdue_s) is overdue


def test_hostile_heartbeats_make_few_models(reader: QueueReader, queue: redis.Redis) -> None:
    for number in range(30):
        write_heartbeat(queue, f"celery@{number}", model=f"model-{number:02}\n" + "x" * 1000)
    write_heartbeat(queue, "celery@real", model="real")
    write_heartbeat(queue, "celery@real2", model="real")
    models = count_models(reader.read())
    assert len(models) == 21
    assert ModelWorkers("real", 2, 0) in models
    assert ModelWorkers("other", 11, 0) in models
    assert all(len(model.model) < 100 and model.model.isprintable() for model in models)


def test_a_redis_that_refuses_info_answers_the_rest(own: Stack, own_broker: redis.Redis) -> None:
    fill(own_broker)
    own_broker.acl_setuser("few", enabled=True, passwords=["+x"], keys=["*"], commands=["+@all", "-info", "-config"])
    with closing(Broker(own.redis_url.replace("redis://", "redis://few:x@"))) as broker:
        reading = QueueReader(broker).read()
    assert (reading.waiting, reading.memory_bytes, reading.max_memory_bytes) == (2, None, None)


def test_the_memory_and_its_limit(own: Stack, own_broker: redis.Redis) -> None:
    own_broker.config_set("maxmemory", 1 << 30)
    try:
        with closing(Broker(own.redis_url)) as broker:
            assert QueueReader(broker).read().max_memory_bytes == 1 << 30
    finally:
        own_broker.config_set("maxmemory", 0)


def test_a_redis_that_hangs_is_unavailable_in_time(own: Stack, own_broker: redis.Redis) -> None:
    with closing(Broker(own.redis_url, 60)) as broker:
        reader = QueueReader(broker, within_s=0.2)
        reader.read()
        pid = own_broker.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(BrokerUnavailable, match="did not return the state of the queue"):
                reader.read()
        finally:
            os.kill(pid, signal.SIGCONT)
        QueueReader(broker).read()
