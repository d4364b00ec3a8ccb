"""A worker whose MongoDB is unavailable for longer than the visibility timeout."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from celery import Celery
from ephemeral_port_reserve import reserve

from producer.client.client import EmbeddingClient
from producer.client.workers import read_workers
from tests.support.pictures import small_jpeg
from tests.support.scraping import scrape
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

Document = dict[str, Any]

ENV = {
    "CLIPQUEUE_CONCURRENCY": "8",
    "CLIPQUEUE_FETCH_TOTAL_S": "1",
    "CLIPQUEUE_DECODE_S": "5",  # on a busy machine, the decoding of all jobs at once takes more than a second
    "CLIPQUEUE_ENCODE_S": "1",
    "CLIPQUEUE_STORE_S": "0.5",
    "CLIPQUEUE_VISIBILITY_TIMEOUT_S": "12",
    "CLIPQUEUE_RESTORE_INTERVAL_S": "1",
}
OUTAGE_S = 14.0


def test_during_an_outage_a_worker_consumes_nothing_and_keeps_its_jobs(
    start_worker: StartWorker,
    own: Stack,
    own_dir: Path,
    own_broker: redis.Redis,
    own_collection: Collection[Document],
    images: ImageServer,
    new_id: str,
) -> None:
    """No job is delivered to another worker, loses a retry or is downloaded again."""
    port = reserve()
    worker = start_worker(**ENV, CLIPQUEUE_METRICS_PORT=str(port))
    jobs = [(f"{new_id}-{n}", images.add(f"/{n}.jpg", small_jpeg(n))) for n in range(40)]
    with frozen_mongodb(own_dir):
        with EmbeddingClient(own.redis_url) as client:
            client.enqueue_many(jobs)
        wait_for(lambda: "MongoDB unavailable; consumption paused" in worker.log, "the worker to notice the outage")
        assert scrape(port)["clipqueue_store_away"] == 1
        wait_for(lambda: heartbeat(own_broker)["store_away"], "the heartbeat to report the outage")
        unacked = set(own_broker.hkeys("unacked"))
        assert 8 <= len(unacked) <= 9, "one for each thread, and one that was on its way"
        cpu_s = cpu_seconds(worker.process.pid)
        time.sleep(OUTAGE_S)
        assert set(own_broker.hkeys("unacked")) == unacked
        assert own_broker.llen("images") == 40 - len(unacked)
        assert cpu_seconds(worker.process.pid) - cpu_s < OUTAGE_S / 4, "the event loop does not spin"
        assert answers_ping(own, worker.log_path.stem), "Celery's remote control, and so Flower, still works"
    wait_for(lambda: own_collection.count_documents({}) == 40, "every job to be done")
    results = [document["embedding_job"] for document in own_collection.find()]
    assert {(job["status"], job["attempts"]) for job in results} == {("done", 1)}
    assert set(images.hits.values()) == {1}, "no image is downloaded again"
    wait_for(lambda: "MongoDB is available again" in worker.log, "the worker to notice the end of the outage")
    assert "Traceback" not in worker.log
    found = scrape(port)
    assert found["clipqueue_store_away"] == 0
    assert found['clipqueue_jobs_total{outcome="done"}'] == 40


@contextmanager
def frozen_mongodb(folder: Path) -> Iterator[None]:
    pid = int((folder / "mongo" / "server.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def heartbeat(broker: redis.Redis) -> Any:
    """Return the heartbeat of the only worker."""
    (found,) = read_workers(broker).heartbeats
    return found


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def answers_ping(stack: Stack, name: str) -> bool:
    """Return whether the worker with this node name answers to remote control."""
    control = Celery(broker=stack.redis_url, set_as_current=False).control
    return bool(control.ping(destination=[f"{name}@{socket.gethostname()}"], timeout=5.0))
