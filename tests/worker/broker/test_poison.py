"""A job that kills its workers is recorded as failed at its third delivery. The jobs beside it are done."""

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
from tests.support.pictures import small_jpeg
from tests.support.servers import SocketServer
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, FAST_RETRIES, worker_command
from worker.broker.poison import Quarantine
from worker.errors import IsolationBusy, QueueUnavailable, WorkerLost

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

ENV = {
    **FAKE_MODEL,
    **FAST_RETRIES,
    "CLIPQUEUE_FETCH_TOTAL_S": "2",
    "CLIPQUEUE_DECODE_S": "2",
    "CLIPQUEUE_ENCODE_S": "2",
    "CLIPQUEUE_STORE_S": "0.8",
    "CLIPQUEUE_VISIBILITY_TIMEOUT_S": "12",
    "CLIPQUEUE_RESTORE_INTERVAL_S": "1",
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
    """They were in the same workers each time that one died."""
    workers: list[subprocess.Popen[bytes]] = []
    deadly: set[int] = set()
    jpeg = small_jpeg()

    def kill(connection: socket.socket) -> None:
        connection.recv(65_536)
        wait_for(
            lambda: broker.hlen("unacked") + collection.count_documents(ENDED) >= IN_FLIGHT,
            "other jobs to be in flight",
        )
        deadly.add(workers[-1].pid)  # at once, because a retry of the same download may be here too
        os.kill(workers[-1].pid, signal.SIGKILL)

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        if not deadly:
            connection.recv(1)  # until the worker is dead
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
        client.enqueue(f"{new_id}-poison", poison.url)
        client.enqueue_many((f"{new_id}-{number}", good.url) for number in range(COMPANIONS))
        for death in (1, 2):
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
    assert len(deadly) == 2, "the third delivery starts no download"
    assert {job["status"] for job in found.values()} == {"done"}
    assert len(records) == 1, "only the record of the poison job stays"


@pytest.fixture
def quarantine(stack: Stack) -> Iterator[Quarantine]:
    quarantine = Quarantine(Broker(stack.redis_url), wait_s=0.05)
    yield quarantine
    quarantine.close()


def test_starts_that_ended_do_not_count(quarantine: Quarantine, new_id: str) -> None:
    for lost in range(1, 6):
        with quarantine.isolate(new_id, lost):
            pass
    for lost in range(6, 11):
        with pytest.raises(ZeroDivisionError), quarantine.isolate(new_id, lost):
            raise ZeroDivisionError


def test_a_job_is_given_up_after_two_starts_that_did_not_end(
    quarantine: Quarantine, broker: redis.Redis, new_id: str
) -> None:
    """The test writes what a killed worker leaves behind."""
    broker.sadd(f"clipqueue:suspect:{new_id}", 1)
    for _ in range(2):  # twice: the failure may not have been saved the first time
        with pytest.raises(WorkerLost, match="2 workers"), quarantine.isolate(new_id, 2):
            pytest.fail("it must not run again")
    assert 0 < int(str(broker.ttl(f"clipqueue:suspect:{new_id}"))) <= 24 * 3600


def test_a_start_whose_end_was_not_recorded_counts_once(
    quarantine: Quarantine, broker: redis.Redis, new_id: str
) -> None:
    """Redis was unavailable at its end, or got the start twice. No worker was lost in between."""
    broker.sadd(f"clipqueue:suspect:{new_id}", 1)
    runs = 0
    with quarantine.isolate(new_id, 1):
        runs += 1
    assert runs == 1


def test_jobs_of_lost_workers_run_one_at_a_time(quarantine: Quarantine, new_id: str) -> None:
    with quarantine.isolate(new_id, 1), pytest.raises(IsolationBusy), quarantine.isolate(f"{new_id}-other", 1):
        pytest.fail("it must not run while the other one runs")
    with quarantine.isolate(f"{new_id}-other", 1):
        pass


def test_an_unavailable_redis_requeues_the_job(new_id: str) -> None:
    quarantine = Quarantine(Broker("redis://127.0.0.1:1/0"), wait_s=0.05)
    for _ in range(2):
        with pytest.raises(QueueUnavailable), quarantine.isolate(new_id, 1):
            pytest.fail("it must not run without a record")
