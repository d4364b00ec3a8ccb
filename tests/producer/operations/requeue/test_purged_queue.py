"""`clipqueue purge` forgets what backfills and sweeps have read: the next ones enqueue the documents again."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from producer.client.broker import Broker
from producer.client.queue import push
from producer.contract.errors import BrokerUnavailable
from producer.contract.job import ImageJob
from producer.operations import purge
from producer.operations.purge import Purged, purge_queue
from producer.operations.requeue import checkpoint as checkpoint_module
from producer.operations.requeue.checkpoint import Checkpoint, CheckpointLost
from producer.operations.requeue.progress import Batch, Progress
from tests.producer.operations.shop import FIELD, URL, Document, fill, pending, photo, start_backfill
from tests.support.commands import invoke
from tests.support.queued import queued_ids
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

JOB = ImageJob("a", URL, 1)
PURGED = "the queue was purged while this backfill ran"


@pytest.fixture
def client(redis_url: str) -> Iterator[Broker]:
    with closing(Broker(redis_url)) as broker:
        yield broker


def test_after_a_purge_a_backfill_starts_from_the_beginning(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """No document is left without a job, also if some of the jobs are in flight."""
    ids = fill(shop, 1000)
    assert invoke("backfill", *FIELD, "--limit", "600", **env).returncode == 0
    queue.hset("unacked", "tag", "a job in flight")
    queue.rpop("images")
    purged = invoke("purge", "--yes", **env)
    assert (purged.returncode, purged.stdout) == (0, "deleted 599 waiting messages\n")
    assert "forgot the progress of 1 backfill: the next run reads all documents again" in purged.stderr
    assert queue.hlen("unacked") == 1
    assert invoke("backfill", *FIELD, **env).stdout == "enqueued 1000, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_a_backfill_that_runs_ends_and_says_that_the_queue_was_purged(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 30)
    backfill = start_backfill(env, "--max-queued", "10")
    try:
        wait_for(lambda: queue.llen("images") == 10, "a full queue")
        assert invoke("purge", "--yes", **env).returncode == 0
        errors = backfill.communicate(timeout=120)[1]
    finally:
        backfill.kill()
    assert (backfill.returncode, PURGED in errors) == (1, True)
    assert queue.llen("images") == 0
    assert invoke("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_a_full_redis_can_be_purged(own: Stack, own_broker: redis.Redis) -> None:
    """Its own Redis: its memory is limited. The progress of a backfill is deleted too, and nothing is written."""
    with closing(Broker(own.redis_url)) as client:
        checkpoint = Checkpoint(client, ["same"])
        checkpoint.claim(restart=False)
        checkpoint.save(Progress(after="a", read=1), Batch([JOB]))
        own_broker.config_set("maxmemory", 1)
        try:
            with pytest.raises(BrokerUnavailable, match="it is full"):
                checkpoint.save(Progress(after="b", read=2), Batch([JOB]))
            assert purge_queue(client) == Purged(1, backfills=1)
            with pytest.raises(CheckpointLost, match=PURGED):
                checkpoint.save(Progress(after="b", read=2), Batch([JOB]))
        finally:
            own_broker.config_set("maxmemory", 0)
        assert Checkpoint(client, ["same"]).read() is None
        assert own_broker.llen("images") == 0


def test_a_purge_amid_a_batch_leaves_neither_its_jobs_nor_its_progress(
    client: Broker, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The purge comes after the backfill has read that it owns its progress, and before its jobs are pushed."""
    checkpoint, batch = Checkpoint(client, ["same"]), Batch([JOB])
    checkpoint.claim(restart=False)
    checkpoint.save(Progress(after="a", read=1), batch)

    def push_late(*arguments: Any) -> None:
        assert purge_queue(client) == Purged(1, backfills=1)
        push(*arguments)

    monkeypatch.setattr(checkpoint_module, "push", push_late)
    with pytest.raises(CheckpointLost, match=PURGED):
        checkpoint.save(Progress(after="b", read=2), batch)
    assert queue.llen("images") == 0
    assert Checkpoint(client, ["same"]).read() is None
    assert Checkpoint(client, ["same"]).claim(restart=False) == Progress()


def test_a_purge_forgets_a_backfill_that_starts_amid_it(
    client: Broker, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts after the purge has read which backfills there are."""
    late = Checkpoint(client, ["late"])

    def start_once(*arguments: Any) -> Any:
        monkeypatch.setattr(purge, "_members", members)
        found = members(*arguments)
        late.claim(restart=False)
        late.save(Progress(after="a", read=1), Batch([JOB]))
        return found

    members = purge._members
    monkeypatch.setattr(purge, "_members", start_once)
    assert purge_queue(client) == Purged(1, backfills=1)
    assert late.read() is None
    with pytest.raises(CheckpointLost, match=PURGED):
        late.save(Progress(after="b", read=2), Batch([JOB]))
    assert queue.llen("images") == 0


def test_after_redis_lost_the_list_of_backfills_a_backfill_starts_over(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """A purge would not have found its progress, so that is not believed."""
    ids = fill(shop, 10)
    assert invoke("backfill", *FIELD, "--limit", "6", **env).returncode == 0
    queue.delete("clipqueue:backfills")
    assert "forgot" not in invoke("purge", "--yes", **env).stderr
    assert invoke("backfill", *FIELD, **env).stdout == "enqueued 10, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_the_next_sweep_enqueues_what_was_purged(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_one({"_id": "a", "embedding_job": pending()})
    assert invoke("sweep", **env).stdout.startswith("queued again: 1,")
    assert "forgot what sweeps have enqueued" in invoke("purge", "--yes", **env).stderr
    assert queue.keys() == []
    assert invoke("sweep", **env).stdout.startswith("queued again: 1,")


def test_purging_parked_messages_forgets_nothing(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("a"), photo("b")])
    assert invoke("backfill", *FIELD, "--limit", "1", **env).returncode == 0
    queue.lpush("clipqueue:parked", "broken")
    assert invoke("purge", "--parked", "--yes", **env).stdout == "deleted 1 parked message\n"
    assert invoke("backfill", *FIELD, **env).returncode == 0
    assert queued_ids(queue) == ["a", "b"]
