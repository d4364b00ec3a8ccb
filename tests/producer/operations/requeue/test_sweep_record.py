"""The metrics of `clipqueue sweep --every`, and whether its loop moves."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import generate_latest

from producer.client.broker import Broker
from producer.documents.documents import connect
from producer.operations.requeue.sweep import Sweeper, SweepOptions
from producer.operations.requeue.sweep_metrics import sweep_registry
from producer.operations.requeue.sweep_record import SweepRecord
from tests.producer.operations.shop import Document, pending
from tests.support.clocks import Clock
from tests.support.mongo_proxy import MongoProxy
from tests.support.telemetry import check_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack

LOCK = "clipqueue:sweep:clipqueue.shop:lock"


class _Enough(BaseException):
    """Ends the loop."""


@pytest.fixture
def client(redis_url: str) -> Iterator[Broker]:
    with closing(Broker(redis_url)) as broker:
        yield broker


def sweep_until(sweeper: Sweeper, *after: Callable[[], object]) -> list[Any]:
    """Sweep once more than there are functions; run one of them after each sweep. Return what was reported."""
    reported: list[Any] = []
    steps = iter(after)

    def report(result: object) -> None:
        reported.append(result)
        if (step := next(steps, None)) is None:
            raise _Enough
        step()

    with suppress(_Enough):
        sweeper.sweep_forever(0.001, report, report)
    return reported


def test_sweeps_are_counted_by_outcome(
    queue: redis.Redis, shop: Collection[Document], client: Broker, documents: ImageDocuments
) -> None:
    shop.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(3)])
    sweeper = Sweeper(client, documents, SweepOptions(0, 5000))
    record = sweeper.record
    assert record.movement.ready() == "the first sweep has not ended yet"
    ready: list[str] = []

    def lock() -> None:
        ready.append(record.movement.ready())
        queue.set(LOCK, "other")

    def break_queue() -> None:
        queue.delete(LOCK)
        queue.rename("images", "kept")
        queue.set("images", "no list")

    def repair() -> None:
        ready.append(record.movement.ready())
        queue.rename("kept", "images")

    started_s = time.time()
    sweep_until(sweeper, lock, break_queue, repair)
    assert record.ended == {"done": 2, "locked": 1, "failed": 1}
    assert record.requeued >= 3
    assert record.last_success_s >= started_s
    assert ready[0] == ""
    assert ready[1].startswith("the last sweep failed: Redis at ")
    assert record.movement.ready() == ""
    exposition = generate_latest(sweep_registry(record)).decode()
    assert 'clipqueue_sweeps_total{outcome="failed"} 1.0' in exposition
    assert "clipqueue_sweep_last_success_timestamp_seconds" in exposition
    assert check_metrics(exposition) == ""


def test_a_sweep_that_hangs_is_not_live(
    stack: Stack, queue: redis.Redis, shop: Collection[Document], client: Broker
) -> None:
    """MongoDB ends each of its requests in time, so a page that takes five minutes never comes."""
    shop.insert_one({"_id": "a", "embedding_job": pending()})
    clock, problems = Clock(), []

    def hang(command: Document) -> None:
        if command.get("find", command.get("aggregate")) == "shop":
            problems.append(sweeper.record.movement.live())
            clock.now_s += 301
            problems.append(sweeper.record.movement.live())

    address = urlsplit(stack.mongodb_uri)
    with (
        MongoProxy((address.hostname or "", address.port or 0), hang) as proxy,
        closing(connect(proxy.uri, "shop")) as documents,
    ):
        sweeper = Sweeper(client, documents, SweepOptions(0, 5000))
        sweeper.record = SweepRecord(clock)
        sweep_until(sweeper, lambda: None)
    assert problems[:2] == ["", "the sweep has not moved for 301 s, and had to within 300 s"]
    assert problems[2] == "", "the next sweep begins"


def test_a_pause_is_no_hang() -> None:
    clock = Clock()
    record = SweepRecord(clock)
    record.step()
    record.pause(86_400)
    clock.now_s += 86_400
    assert record.movement.live() == ""
    clock.now_s += 60
    assert "has not moved for 86460 s" in record.movement.live()
