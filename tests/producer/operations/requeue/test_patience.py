"""`clipqueue backfill --watch` without a live worker: it says so, and does not wait for ever."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from producer.client.broker import Broker
from producer.contract.names import WORKER_KEY
from producer.operations.requeue import patience
from producer.operations.requeue.patience import NoWorker, Patience
from tests.producer.operations.shop import FIELD, Document, photo, write_worker
from tests.support.commands import invoke
from tests.support.queued import queued_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


class Waiting:
    """A patience with a clock, and the sentences that it said."""

    def __init__(self, broker: Broker, documents: ImageDocuments) -> None:
        self.notes: list[str] = []
        self._clock = Clock()
        self._patience = Patience(broker, documents, self.notes.append, self._clock)

    def check_at(self, seconds: float) -> None:
        self._clock.at = seconds
        self._patience.check()


@pytest.fixture
def waiting(redis_url: str, documents: ImageDocuments) -> Iterator[Waiting]:
    with closing(Broker(redis_url)) as broker:
        yield Waiting(broker, documents)


def stop_workers(queue: redis.Redis) -> None:
    queue.delete(*queue.keys(WORKER_KEY + "*"))


def test_it_says_at_once_that_no_worker_is_alive_and_ends_after_a_minute(queue: redis.Redis, waiting: Waiting) -> None:
    waiting.check_at(0)
    assert waiting.notes == ["no worker is alive: waiting 60 s for one"]
    waiting.check_at(59)
    with pytest.raises(
        NoWorker, match="The jobs stay on the queue: start a worker, and give the same command to watch"
    ):
        waiting.check_at(64)
    assert len(waiting.notes) == 1


def test_a_worker_of_another_collection_does_not_count(queue: redis.Redis, waiting: Waiting) -> None:
    write_worker(queue, "other@host", "m", collection="another")
    waiting.check_at(0)
    assert len(waiting.notes) == 1


def test_a_worker_that_starts_within_the_minute_ends_the_wait(queue: redis.Redis, waiting: Waiting) -> None:
    waiting.check_at(0)
    write_worker(queue, "one@host", "m")
    waiting.check_at(59)
    stop_workers(queue)
    waiting.check_at(118)
    assert len(waiting.notes) == 2, "again at once, when it has died"
    waiting.check_at(177)
    with pytest.raises(NoWorker):
        waiting.check_at(182)


def test_redis_is_asked_every_few_seconds(queue: redis.Redis, waiting: Waiting) -> None:
    write_worker(queue, "one@host", "m")
    waiting.check_at(0)
    stop_workers(queue)
    waiting.check_at(4.9)
    assert waiting.notes == []
    waiting.check_at(5)
    assert len(waiting.notes) == 1


@pytest.mark.parametrize("options", [[], ["--max-queued", "1"]])
def test_the_command_exits_with_1_and_the_same_command_watches_again(
    options: list[str],
    queue: redis.Redis,
    shop: Collection[Document],
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if it waits because the queue is full. No job is enqueued twice."""
    monkeypatch.setattr(patience, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(patience, "_CHECK_S", 0.0)
    shop.insert_many([photo("a"), photo("b")])
    for _ in range(2):
        watched = invoke("backfill", *FIELD, "--watch", *options, **env)
        assert watched.returncode == 1
        assert "no worker is alive" in watched.stderr
        assert "The jobs stay on the queue: start a worker, and give the same command" in watched.stderr
        assert queued_ids(queue) == (["a"] if options else ["a", "b"])
