"""A job that kills its workers runs alone, and then is recorded as failed. The jobs beside it are done."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from producer.client.broker import Broker
from producer.client.client import EmbeddingClient
from producer.local.guardian import start_guarded
from producer.local.stack import Stack
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import SocketServer
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, FAST_RETRIES, QUICK_REDELIVERY, worker_command
from worker.broker.isolation import Isolation
from worker.broker.poison import MAX_DEATHS_ALONE, SUSPECT_AFTER, Quarantine
from worker.broker.scripts import LOST_HEADER
from worker.errors import QueueUnavailable, WorkerLost

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

ENV = {
    **FAKE_MODEL,
    **FAST_RETRIES,
    **QUICK_REDELIVERY,
    "CLIPQUEUE_FETCH_PER_HOST": "64",
}
COMPANIONS, IN_FLIGHT = 30, 10
ENDED = {"embedding_job.status": {"$in": ["done", "failed"]}}


@contextmanager
def running_worker(stack: Stack, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that may die; a shared one would fail other tests."""
    with log.open("ab") as stream:
        worker = start_guarded(
            worker_command("poison"), env={**stack.environment(), **ENV}, stderr=stream, stdout=stream
        )
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()


def test_a_poison_job_fails_and_the_jobs_beside_it_are_done(tmp_path: Path, new_id: str) -> None:
    """Two workers were lost with it before. The other jobs wait in its worker, and none of them fails with it."""
    workers: list[subprocess.Popen[bytes]] = []
    deadly: set[int] = set()
    jpeg = small_jpeg()

    def kill(connection: socket.socket) -> None:
        connection.recv(65_536)
        wait_for(
            lambda: broker.hlen("unacked") + collection.count_documents(ENDED) >= IN_FLIGHT,
            "the worker to hold other jobs",
        )
        deadly.add(workers[-1].pid)  # at once, because a retry of the same download may be here too
        os.kill(workers[-1].pid, signal.SIGKILL)

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg)

    with (
        Stack(tmp_path) as stack,
        pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri) as mongo,
        redis.Redis.from_url(stack.redis_url) as broker,
        SocketServer(kill) as poison,
        SocketServer(serve) as good,
        EmbeddingClient(stack.redis_url) as client,
    ):
        stack.start_servers()
        collection = mongo["clipqueue"]["images"]
        job = {"image_id": f"{new_id}-poison", "url": poison.url}
        broker.lpush("images", hand_made_message(job, headers={LOST_HEADER: SUSPECT_AFTER}))
        client.enqueue_many((f"{new_id}-{number}", good.url) for number in range(COMPANIONS))
        for death in range(1, MAX_DEATHS_ALONE + 1):
            with running_worker(stack, tmp_path / "worker.log") as worker:
                workers.append(worker)
                worker.wait(60)
                assert len(deadly) == death
        with running_worker(stack, tmp_path / "worker.log") as last:
            workers.append(last)
            wait_for(lambda: collection.count_documents(ENDED) == COMPANIONS + 1, "every job to end", 150)
            wait_for(lambda: not broker.hlen("unacked") and not broker.llen("images"), "the queue to be empty")
            assert last.poll() is None
        found = {document["_id"]: document["embedding_job"] for document in collection.find()}
        records = list(broker.scan_iter("clipqueue:suspect:*"))
    lost = found.pop(f"{new_id}-poison")
    assert (lost["error"]["code"], lost["error"]["stage"]) == ("worker_lost", "receive")
    assert len(deadly) == MAX_DEATHS_ALONE, "the next delivery starts no download"
    assert {job["status"] for job in found.values()} == {"done"}
    assert len(records) == 1, "only the record of the poison job stays"


def go_on() -> None:
    """No job is told to stop waiting."""


@pytest.fixture
def quarantine(stack: Stack) -> Iterator[Quarantine]:
    quarantine = Quarantine(Broker(stack.redis_url), Isolation(), go_on)
    yield quarantine
    quarantine.close()


def test_starts_that_ended_do_not_count(quarantine: Quarantine, new_id: str) -> None:
    for lost in range(1, 6):
        with quarantine.admit(new_id, lost):
            pass
    for lost in range(6, 11):
        with pytest.raises(ZeroDivisionError), quarantine.admit(new_id, lost):
            raise ZeroDivisionError


def test_deaths_of_workers_that_ran_other_jobs_too_are_no_evidence(
    quarantine: Quarantine, broker: redis.Redis, new_id: str
) -> None:
    """They may have been killed from outside. A job that was beside others is not even recorded."""
    for lost in range(SUSPECT_AFTER):
        with quarantine.admit(new_id, lost):
            assert not broker.exists(f"clipqueue:suspect:{new_id}")


def test_a_job_is_given_up_after_two_starts_alone_that_did_not_end(
    quarantine: Quarantine, broker: redis.Redis, new_id: str
) -> None:
    """The test writes what killed workers leave behind."""
    broker.sadd(f"clipqueue:suspect:{new_id}", 2)
    with quarantine.admit(new_id, 3):
        assert broker.scard(f"clipqueue:suspect:{new_id}") == MAX_DEATHS_ALONE
    broker.sadd(f"clipqueue:suspect:{new_id}", 2, 3)
    for _ in range(2):  # twice: the failure may not have been saved the first time
        with pytest.raises(WorkerLost, match="2 workers"), quarantine.admit(new_id, 4):
            pytest.fail("it must not run again")
    assert 0 < int(str(broker.ttl(f"clipqueue:suspect:{new_id}"))) <= 24 * 3600


def test_a_start_whose_end_was_not_recorded_counts_once(
    quarantine: Quarantine, broker: redis.Redis, new_id: str
) -> None:
    """Redis was unavailable at its end, or got the start twice. No worker was lost in between."""
    broker.sadd(f"clipqueue:suspect:{new_id}", 2, 3)
    runs = 0
    with quarantine.admit(new_id, 3):
        runs += 1
    assert runs == 1


def test_an_unavailable_redis_requeues_the_suspect(new_id: str) -> None:
    quarantine = Quarantine(Broker("redis://127.0.0.1:1/0"), Isolation(), go_on)
    for _ in range(2):
        with pytest.raises(QueueUnavailable), quarantine.admit(new_id, SUSPECT_AFTER):
            pytest.fail("it must not run without a record")
    with quarantine.admit(new_id, 0):
        pass
