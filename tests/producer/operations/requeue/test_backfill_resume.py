"""`clipqueue backfill` after an interruption: every selected document is enqueued exactly once."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from producer.client.broker import Broker
from producer.contract.job import now_ms
from producer.operations.requeue.backfill import Backfill, BackfillOptions
from producer.operations.requeue.checkpoint import Checkpoint, CheckpointLost
from producer.operations.requeue.selection import Selection
from producer.operations.requeue.throttle import Throttle
from tests.producer.operations.shop import (
    FIELD,
    Document,
    done,
    fill,
    photo,
    start_backfill,
)
from tests.support.commands import invoke
from tests.support.delayed import delay_image
from tests.support.queued import queued_ids, queued_kwargs
from tests.support.servers import SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments


def test_a_job_enqueued_while_a_page_waits_is_newer(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """The page's URLs were read earlier, so its jobs must not win over one that a backend enqueues later."""
    shop.insert_many([photo("first"), photo("second")])
    backfill = start_backfill(env, "--max-queued", "1")
    try:
        wait_for(lambda: queued_ids(queue) == ["first"], "the first of the page")
        backend_enqueues_at = now_ms()
        wait_for(lambda: now_ms() > backend_enqueues_at, "the next millisecond")
        queue.delete("images")
        wait_for(lambda: queued_ids(queue) == ["second"], "the second")
        assert queued_kwargs(queue)[0]["enqueued_at"] < backend_enqueues_at
        assert "waiting: the queue is full" in backfill.communicate(timeout=120)[1]
    finally:
        backfill.kill()


def test_a_killed_backfill_continues_where_it_stopped(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """SIGKILL during its transactions, several times: no job is doubled or skipped."""
    ids = fill(shop, 700)
    for stop in (60, 250, 400):  # among the strings, and among the ObjectIds
        backfill = start_backfill(env, "--rate", "200")
        try:
            wait_for(lambda at=stop: queue.llen("images") >= at, "some jobs")  # type: ignore[misc]
        finally:
            backfill.kill()
            backfill.communicate()
    done = invoke("backfill", *FIELD, **env)
    assert "continuing after ObjectId(" in done.stderr
    assert done.stdout == "enqueued 700, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_after_a_lost_connection_no_job_is_doubled_or_skipped(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Redis closes the connections repeatedly while jobs are enqueued."""
    ids = fill(shop, 600)
    outputs = []
    for stop in (40, 110):
        backfill = start_backfill(env, "--rate", "100")
        wait_for(lambda at=stop: queue.llen("images") >= at, "some jobs")  # type: ignore[misc]
        while backfill.poll() is None:
            queue.client_kill_filter(_type="normal", skipme=True)
        outputs.append(backfill.communicate()[1])
    assert all("clipqueue: Redis at" in output for output in outputs)
    assert invoke("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_after_ctrl_c_the_same_command_continues(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 30)
    backfill = start_backfill(env, "--max-queued", "10")
    assert backfill.stderr is not None
    # Not until the queue is full: the command may not have counted its last jobs by then.
    assert any("waiting: the queue is full" in line for line in backfill.stderr)
    backfill.send_signal(signal.SIGINT)
    assert "stopped after 10 jobs; the same command continues" in backfill.communicate(timeout=120)[1]
    assert backfill.returncode == 1
    assert invoke("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_restart_starts_over(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([photo("a"), photo("b"), photo("c")])
    assert invoke("backfill", *FIELD, "--limit", "2", **env).returncode == 0
    assert "continuing" not in invoke("backfill", *FIELD, "--restart", **env).stderr
    assert queued_ids(queue) == ["a", "b", "a", "b", "c"]


def test_the_limit_counts_jobs_and_the_next_run_continues(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("a", record=done()), photo("b"), photo("c"), photo("d"), photo("e")])
    first = invoke("backfill", *FIELD, "--limit", "2", **env)
    assert first.stdout == "enqueued 2, skipped 0, unusable 0\n"
    assert "the limit is reached" in first.stderr
    assert queued_ids(queue) == ["b", "c"]
    invoke("backfill", *FIELD, "--limit", "2", **env)
    assert queued_ids(queue) == ["b", "c", "d", "e"]


def test_other_options_are_another_backfill(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    fill(shop, 4)
    invoke("backfill", *FIELD, "--limit", "2", **env)
    for others in (["--only", "missing"], ["--query", '{"x": null}'], ["--model", "m"]):
        assert "continuing" not in invoke("backfill", *FIELD, "--limit", "1", *others, **env).stderr
    assert "continuing" in invoke("backfill", *FIELD, "--limit", "1", **env).stderr


def test_the_queue_stays_below_its_limit(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    """Jobs in flight count too, and each consumed job makes room for another."""
    fill(shop, 30)
    queue.hset("unacked", mapping={"1": "taken", "2": "taken"})
    backfill = start_backfill(env, "--max-queued", "10")
    try:
        wait_for(lambda: queue.llen("images") == 8, "a full queue")
        queue.rpop("images", 3)
        wait_for(lambda: queue.llen("images") == 8, "a full queue again")
        assert backfill.poll() is None
    finally:
        backfill.kill()
        backfill.communicate()


def test_delayed_jobs_leave_room_for_others(redis_url: str, queue: redis.Redis) -> None:
    """A host that is down must not stop a backfill, nor fill Redis: ten times as many may be delayed."""
    with closing(Broker(redis_url)) as broker:
        throttle = Throttle(broker, 3, None)
        available = []
        for number in range(1, 32):
            delay_image(queue, str(number))
            available.append(throttle.available())
    assert available == [3] * 27 + [2, 1, 0, 0]
    assert throttle.is_queue_full


def test_a_second_run_with_the_same_options_ends_the_first(
    redis_url: str, queue: redis.Redis, shop: Collection[Document], documents: ImageDocuments
) -> None:
    ids = fill(shop, 30)
    options = BackfillOptions(Selection("media.imageUrl"), {}, None, watch=False)
    with closing(Broker(redis_url)) as broker:
        first, second = Checkpoint(broker, ["same"]), Checkpoint(broker, ["same"])
        progress = first.claim(restart=False)
        claimed = second.claim(restart=False)
        with pytest.raises(CheckpointLost, match="another backfill"):
            Backfill(documents, first, Throttle(broker, 1000, None), options, print).run(progress, print)
        Backfill(documents, second, Throttle(broker, 1000, None), options, print).run(claimed, print)
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_a_backfill_ends_if_redis_lost_its_checkpoint(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Its jobs may be lost too, and continuing would skip them; the next run enqueues them."""
    ids = fill(shop, 30)
    backfill = start_backfill(env, "--max-queued", "10")
    wait_for(lambda: queue.llen("images") == 10, "a full queue")
    queue.flushdb()
    assert "start it again" in backfill.communicate(timeout=120)[1]
    assert invoke("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_after_a_lost_answer_the_transaction_is_not_repeated(
    redis_url: str, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """The connection breaks after Redis has run the transaction; the next run continues after it."""
    ids = fill(shop, 3)
    port = urlsplit(redis_url).port or 0

    def lose_the_answer(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            while request := connection.recv(65_536):
                server.sendall(request)
                answer = server.recv(65_536)
                if b"LPUSH" in request:
                    return
                connection.sendall(answer)

    with SocketServer(lose_the_answer) as proxy:
        broken = invoke("backfill", *FIELD, **{**env, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/8"})
    assert broken.returncode == 1
    assert "did not accept the jobs" in broken.stderr
    assert "(run the same command again to continue)" in broken.stderr
    done = invoke("backfill", *FIELD, **env)
    assert done.stdout == "enqueued 3, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)
