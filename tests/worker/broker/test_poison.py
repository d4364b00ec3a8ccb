"""A job that kills its worker: it ends as failed at its third delivery, and takes no other job with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from producer.client.broker import Broker
from producer.client.client import EmbeddingClient
from producer.local.stack import Stack
from tests.conftest import WORKER_ENV
from tests.support.pictures import small_jpeg
from tests.support.servers import SocketServer
from tests.support.waiting import wait_for
from worker.broker.poison import Quarantine
from worker.errors import IsolationBusy, QueueUnavailable, WorkerLost

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

ENV = {
    **WORKER_ENV,
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
    """A worker of the test's own, that may die."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    with log.open("ab") as stream:
        worker = subprocess.Popen(
            command, env={**os.environ, **stack.environment(), **ENV}, stderr=stream, stdout=stream
        )
        try:
            yield worker
        finally:
            worker.kill()
            worker.wait()


@pytest.mark.chaos
def test_a_job_that_kills_its_workers_is_given_up_and_its_companions_are_done(tmp_path: Path, new_id: str) -> None:
    """Its companions were in the same workers, both times that one died."""
    workers: list[subprocess.Popen[bytes]] = []
    deadly: set[int] = set()
    picture = small_jpeg()

    def kill(connection: socket.socket) -> None:
        connection.recv(65_536)
        wait_for(
            lambda: broker.hlen("unacked") + collection.count_documents(ENDED) >= IN_FLIGHT, "companions to be taken"
        )
        deadly.add(workers[-1].pid)  # at once: a second try of the same download may be here too
        os.kill(workers[-1].pid, signal.SIGKILL)

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        if not deadly:
            connection.recv(1)  # until the worker is dead
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture)

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
        notes = list(broker.scan_iter("clipqueue:suspect:*"))
    lost = found.pop(f"{new_id}-poison")
    assert (lost["error"]["code"], lost["error"]["stage"]) == ("worker_lost", "receive")
    assert len(deadly) == 2, "the third delivery fetches nothing"
    assert {job["status"] for job in found.values()} == {"done"}
    assert len(notes) == 1, "what was noted of jobs that ended is forgotten, save of the one that was given up"


@pytest.fixture
def suspects(stack: Stack) -> Iterator[Quarantine]:
    suspects = Quarantine(Broker(stack.redis_url), wait_s=0.05)
    yield suspects
    suspects.close()


def test_only_starts_without_an_end_count(suspects: Quarantine, new_id: str) -> None:
    for lost in range(1, 6):
        with suspects.trial(new_id, lost):
            pass
    for lost in range(6, 11):
        with pytest.raises(ZeroDivisionError), suspects.trial(new_id, lost):
            raise ZeroDivisionError


def test_two_starts_without_an_end_are_the_last(suspects: Quarantine, broker: redis.Redis, new_id: str) -> None:
    """What a killed worker leaves behind is what this writes."""
    broker.sadd(f"clipqueue:suspect:{new_id}", 1)
    for _ in range(2):  # also when MongoDB was away and the failure could not be recorded
        with pytest.raises(WorkerLost, match="2 workers"), suspects.trial(new_id, 2):
            pytest.fail("it must not run again")
    assert 0 < int(str(broker.ttl(f"clipqueue:suspect:{new_id}"))) <= 24 * 3600


def test_a_start_whose_end_was_not_noted_counts_once(suspects: Quarantine, broker: redis.Redis, new_id: str) -> None:
    """Redis was away at its end, or was told of its start twice: no worker was lost in between."""
    broker.sadd(f"clipqueue:suspect:{new_id}", 1)
    runs = 0
    with suspects.trial(new_id, 1):
        runs += 1
    assert runs == 1


def test_suspects_run_one_at_a_time(suspects: Quarantine, new_id: str) -> None:
    with suspects.trial(new_id, 1), pytest.raises(IsolationBusy), suspects.trial(f"{new_id}-other", 1):
        pytest.fail("it must not run beside the other")
    with suspects.trial(f"{new_id}-other", 1):
        pass


def test_redis_being_away_is_no_jobs_fault(new_id: str) -> None:
    suspects = Quarantine(Broker("redis://127.0.0.1:1/0"), wait_s=0.05)
    for _ in range(2):
        with pytest.raises(QueueUnavailable), suspects.trial(new_id, 1):
            pytest.fail("it must not run uncounted")
