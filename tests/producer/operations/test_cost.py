"""What a thousand images take: from heartbeats, from the counters of a real Redis, and from documents."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from producer.client.broker import Broker
from producer.contract.errors import StoreUnavailable
from producer.contract.job import now_ms
from producer.documents.connection import open_collection
from producer.documents.sizes import network_bytes, stored_bytes
from producer.operations.cost import Cost, Counters, Meters, Servers, measure, memory_of, redis_counters
from producer.operations.stats.rates import Rates
from producer.operations.stats.reading import QueueReader
from tests.support.doctor import write_heartbeat
from tests.support.stats import worker_stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

BUSY = Rates(is_recent=True, span_s=30.0, workers=2, done=20.0, cpus=1.8, fetched_bytes=2e6)
SERVERS = Servers(redis_commands=50.0, redis_bytes=40_000.0, mongo_bytes=200_000.0)


@pytest.fixture
def broker(redis_url: str, queue: redis.Redis) -> Iterator[Broker]:
    with closing(Broker(redis_url)) as broker:
        yield broker


def test_a_thousand_images_take_the_rates_for_as_long_as_the_images_need() -> None:
    """Twenty images a second are a thousand in 50 s."""
    cost = Cost.of(BUSY, 3.6e9, SERVERS, 7000.0)
    assert cost.cpu_hours == pytest.approx(1.8 * 50 / 3600)
    assert cost.memory_gb_hours == pytest.approx(3.6 * 50 / 3600)
    assert (cost.redis_commands, cost.redis_bytes, cost.mongo_bytes) == (2500, 2_000_000, 10_000_000)
    assert (cost.fetched_bytes, cost.stored_bytes) == (100_000_000, 7_000_000)
    assert cost.amounts() == {
        "cpu-hour": cost.cpu_hours,
        "memory-gb-hour": cost.memory_gb_hours,
        "redis-100k-commands": 0.025,
        "network-gb": 0.012,
        "storage-gb-month": 0.007,
    }


def test_the_servers_part_is_unknown_if_the_workers_tell_only_their_average() -> None:
    cost = Cost.of(Rates(span_s=3600.0, done=20.0, cpus=1.8), 0.0, SERVERS, None)
    assert cost.cpu_hours == pytest.approx(1.8 * 50 / 3600)
    assert (cost.redis_commands, cost.redis_bytes, cost.mongo_bytes, cost.stored_bytes) == (None,) * 4


def test_without_an_image_all_is_unknown_but_what_is_stored() -> None:
    cost = Cost.of(Rates(is_recent=True, span_s=30.0, cpus=0.2), 1e9, SERVERS, 7000.0)
    known = {name for name, amount in cost.amounts().items() if amount is not None}
    assert known == {"storage-gb-month"}


@pytest.mark.parametrize(
    ("before", "after", "per_s"),
    [
        (Counters(10.0, 100), Counters(20.0, 150), 5.0),
        (Counters(10.0, 100), Counters(20.0, 20), None),  # the server has started again
        (Counters(10.0, None), Counters(20.0, 150), None),
        (Counters(10.0, 100), Counters(10.0, 150), None),
    ],
)
def test_a_counter_s_rate(before: Counters, after: Counters, per_s: float | None) -> None:
    assert after.per_s("commands", before) == per_s


@pytest.mark.parametrize("junk", [None, -1, True, "1", 1e9, [1], 10**400])
def test_memory_that_makes_no_sense_counts_as_none(junk: Any) -> None:
    heartbeats: list[Any] = [{"stats": {"rss_bytes": 5}}, {"stats": {"rss_bytes": junk}}, {"stats": junk}, {}]
    assert memory_of(heartbeats) == 5


def test_all_meters_are_read_before_and_after(redis_url: str, queue: redis.Redis, broker: Broker) -> None:
    """The workers by a heartbeat meanwhile, Redis by its own counters."""
    start = {"started_at": now_ms() - 100_000, "at": now_ms() - 10_000}
    write_heartbeat(queue, "celery@a", stats=worker_stats(done=1000, cpu_s=50.0, rss_bytes=10**9), **start)

    def work() -> None:
        for _ in range(500):
            queue.set("a", "b" * 1000)
        later = {**start, "at": now_ms()}
        write_heartbeat(queue, "celery@a", stats=worker_stats(done=1500, cpu_s=70.0, rss_bytes=10**9), **later)

    meters = Meters(QueueReader(broker), lambda: redis_counters(broker), lambda: Counters(0.0), lambda: 6600.0)
    cost = measure(meters, work)
    assert cost.is_recent
    assert cost.cpu_hours == pytest.approx(20 / 500 * 1000 / 3600, rel=0.01)
    assert cost.redis_commands is not None
    assert cost.redis_bytes is not None
    # Others use this Redis too, so that there may be more.
    assert cost.redis_bytes / cost.redis_commands > 500
    assert (cost.mongo_bytes, cost.stored_bytes) == (None, 6_600_000)


def test_a_redis_that_refuses_info_has_no_counters(own: Stack, own_broker: redis.Redis) -> None:
    own_broker.execute_command("ACL", "SETUSER", "plain", "on", ">p", "~*", "+@all", "-info")  # type: ignore[no-untyped-call]
    url = own.redis_url.replace("://", "://plain:p@")
    with closing(Broker(url)) as broker:
        counters = redis_counters(broker)
    assert (counters.commands, counters.bytes) == (None, None)
    with closing(Broker(own.redis_url)) as broker:
        assert redis_counters(broker).commands
    own_broker.execute_command("ACL", "DELUSER", "plain")  # type: ignore[no-untyped-call]


def test_stored_bytes_are_those_of_the_vector_and_the_job(stack: Stack, new_id: str) -> None:
    name = f"sizes_{new_id}".replace("-", "_")
    with pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri) as mongo:
        images: Collection[dict[str, Any]] = mongo["clipqueue"][name]
        with open_collection(stack.mongodb_uri, name) as documents:
            assert stored_bytes(documents) is None
            job = {"status": "done", "url": "https://example.com/a.jpg"}
            images.insert_many(
                [
                    {"_id": 1, "embedding": [0.1] * 512, "embedding_job": job, "text": "not ours" * 1000},
                    {"_id": 2, "embedding_job": {"status": "failed"}},
                ]
            )
            # 512 times 8 bytes, a type, the index as text and its end.
            digits = sum(len(str(index)) for index in range(512))
            assert stored_bytes(documents) == pytest.approx(512 * 10 + digits, abs=150)
            # This server has none; a real MongoDB tells them to users with the right to ask.
            assert network_bytes(documents) is None
        images.drop()


def test_a_mongodb_that_is_away_is_named() -> None:
    with open_collection("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50", "images") as documents:
        for read in (stored_bytes, network_bytes):
            with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9"):
                read(documents)
