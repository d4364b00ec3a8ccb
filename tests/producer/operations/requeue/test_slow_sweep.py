"""A sweep of a collection that MongoDB reads slowly, or fails to read: its lock, and how far it has come."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.client.broker import Broker
from producer.contract.errors import BrokerUnavailable, StoreUnavailable
from producer.documents.documents import PAGE, connect
from producer.operations.requeue.lock import SweepLockLost
from producer.operations.requeue.sweep import Sweeper, SweepOptions, SweepResult
from tests.producer.operations.shop import AGE_S, Document, pending
from tests.support.commands import invoke
from tests.support.mongo_proxy import MongoProxy, error_answer
from tests.support.queued import queued_ids
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

    Answer = Callable[[Document], Document | None]
    Sweep = Callable[..., SweepResult | None]

LOCK = "clipqueue:sweep:clipqueue.shop:lock"
LOCK_S = 2.0
COUNT = 2 * PAGE + 10


def read(_: Document) -> None:
    """Let MongoDB answer."""


@pytest.fixture
def client(redis_url: str) -> Iterator[Broker]:
    with closing(Broker(redis_url)) as broker:
        yield broker


@pytest.fixture
def lost_jobs(shop: Collection[Document]) -> list[str]:
    """Three pages of documents whose jobs were lost."""
    ids = [f"p-{number:04}" for number in range(COUNT)]
    shop.insert_many([{"_id": one, "embedding_job": pending()} for one in ids])
    return ids


@pytest.fixture
def sweep(stack: Stack, client: Broker) -> Sweep:
    """A function that sweeps once, with a MongoDB that lets `answer` see each read of a page first."""
    address = urlsplit(stack.mongodb_uri)

    def once(answer: Answer, **options: Any) -> SweepResult | None:
        def answer_read(command: Document) -> Document | None:
            return answer(command) if command.get("find", command.get("aggregate")) == "shop" else None

        upstream = (address.hostname or "", address.port or 0)
        with MongoProxy(upstream, answer_read) as proxy, closing(connect(proxy.uri, "shop")) as documents:
            return Sweeper(client, documents, SweepOptions(AGE_S, 5000), **options).sweep()

    return once


def test_the_lock_is_renewed_while_one_page_takes_longer_than_it(
    sweep: Sweep, queue: redis.Redis, lost_jobs: list[str], env: dict[str, str]
) -> None:
    """Another sweep that starts meanwhile does nothing, and the slow one enqueues all jobs."""
    others: list[str] = []

    def answer_slowly(_: Document) -> None:
        if not others:
            token = queue.get(LOCK)
            assert token
            for _renewal in range(4):  # each after a third of the time: together longer than the lock
                wait_for(lambda: 0 < queue.pttl(LOCK) < 0.75e3 * LOCK_S, "the lock to grow old")
                wait_for(lambda: queue.pttl(LOCK) > 0.75e3 * LOCK_S, "the lock to be renewed")
            others.append(invoke("sweep", **env).stdout)
            assert queue.get(LOCK) == token

    assert sweep(answer_slowly, lock_s=LOCK_S) == SweepResult(queued=COUNT)
    assert others == ["another sweep of this collection is running\n"]
    assert sorted(queued_ids(queue)) == lost_jobs
    assert queue.get(LOCK) is None


def test_a_sweep_that_has_lost_its_lock_enqueues_nothing_more(
    sweep: Sweep, queue: redis.Redis, lost_jobs: list[str]
) -> None:
    with pytest.raises(SweepLockLost, match="this sweep has lost its lock and stopped"):
        sweep(lambda _: queue.set(LOCK, "other") and None)
    assert queue.llen("images") == 0
    assert queue.get(LOCK) == b"other"


def test_after_a_page_that_mongodb_did_not_read_in_time_the_next_sweep_continues(
    sweep: Sweep, queue: redis.Redis, lost_jobs: list[str]
) -> None:
    """MongoDB reads one page for each sweep, and ends the next request: still the collection is read to its end."""
    late = error_answer(50, "MaxTimeMSExpired", "operation exceeded time limit")
    for number in range(2):
        first: list[str] = []

        def answer(command: Document, first: list[str] = first, enqueued: int = number * PAGE) -> Document | None:
            first.append(str(command))
            return late if queue.llen("images") > enqueued else None

        with pytest.raises(StoreUnavailable, match="did not finish the request in time"):
            sweep(answer)
        assert queue.llen("images") == (number + 1) * PAGE
        assert (f"p-{number * PAGE - 1:04}" in first[0]) == (number > 0), "where the last one stopped"
    assert sweep(read) == SweepResult(queued=10)
    assert sorted(queued_ids(queue)) == lost_jobs


def test_the_progress_of_a_complete_sweep_is_deleted(
    sweep: Sweep, queue: redis.Redis, lost_jobs: list[str], shop: Collection[Document]
) -> None:
    assert sweep(read) == SweepResult(queued=COUNT)
    shop.insert_one({"_id": "a-first", "embedding_job": pending()})
    assert sweep(read) == SweepResult(queued=1, not_due=COUNT)


def test_an_outage_of_redis_is_no_lost_lock(sweep: Sweep, queue: redis.Redis, lost_jobs: list[str]) -> None:
    queue.set("clipqueue:sweep:clipqueue.shop", "not a sorted set")
    with pytest.raises(BrokerUnavailable, match="failed during the sweep"):
        sweep(read)
    assert queue.get(LOCK) is None, "the next sweep need not wait"


def test_the_time_of_the_slowest_page_is_known(sweep: Sweep, queue: redis.Redis, lost_jobs: list[str]) -> None:
    times = iter([0.0, 1.0, 1.0, 76.0])
    result = sweep(read, clock=lambda: next(times, 80.0))
    assert result is not None
    assert result.slowest_s == 75.0
