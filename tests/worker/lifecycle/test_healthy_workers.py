"""What is no reason to restart a worker: its health stays green, although its parts may stand still for seconds only.

One worker that does jobs and one that answers queries are in each state for longer than it takes to end a process.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ephemeral_port_reserve import reserve

from producer.client.client import EmbeddingClient
from tests.support.fake_encoder import BLOCKED_BY, REACHED
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.telemetry import get
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command
from worker.broker.poison import SUSPECT_AFTER
from worker.broker.scripts import LOST_HEADER
from worker.health import SILENT_S, find_problem

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

END_S = 8.0  # of tests.support.breaking_app
LONGER_S = END_S + 2.0
SLOTS = 2
LONG_S = 60.0


@dataclass(frozen=True)
class Observed:
    """A worker process, and where it says how it is."""

    process: subprocess.Popen[bytes]
    port: int
    health_file: str

    def ready(self) -> str:
        return get(self.port, "/readyz").text.strip()

    def problems(self) -> list[str]:
        """Return what `/livez` and the health file say; empty if all is well."""
        live = get(self.port, "/livez").text.strip()
        return [problem for problem in (live if live != "ok" else "", find_problem(self.health_file)) if problem]


def answers(port: int, seconds: float) -> bool:
    """Return whether the server says anything within this time."""
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return bool(sock.recv(1))
    except TimeoutError:
        return False


@contextmanager
def green(workers: list[Observed]) -> Iterator[None]:
    """Look at the health of workers again and again during a block; it must be green all the time."""
    problems: list[str] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            problems.extend(problem for worker in workers for problem in worker.problems())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    assert not problems


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # it was killed meanwhile
                os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def block(own_dir: Path) -> Path:
    """While this file exists, every forward pass waits."""
    return own_dir / "block"


def start(own: Stack, folder: Path, block: Path, serve: str) -> Observed:
    """Start a worker that does jobs, or one that answers queries only; wait until it is ready."""
    name, port, health_file = f"healthy-{serve}-{time.monotonic_ns()}", reserve(), str(folder / f"{serve}.health")
    env = {
        **FAKE_MODEL,
        "CLIPQUEUE_SERVE": serve,
        "CLIPQUEUE_CONCURRENCY": str(SLOTS),
        "CLIPQUEUE_METRICS_PORT": str(port),
        "CLIPQUEUE_HEALTH_FILE": health_file,
        "CLIPQUEUE_DECODE_S": "1.2",
        "CLIPQUEUE_STORE_S": "1",
        "CLIPQUEUE_RETRY_BASE_S": "0.1",
        BLOCKED_BY: str(block),
    }
    command = worker_command(name, app="tests.support.breaking_app")
    process = own.start(name, command, env={**own.environment(), **env})
    log = own.log(name)
    wait_for(lambda: " ready." in log.read_text() or process.poll(), "the worker to be ready")
    worker = Observed(process, port, health_file)
    wait_for(lambda: worker.ready() == "ok", "the worker to be ready to work")
    return worker


def stop(own: Stack, worker: Observed) -> None:
    worker.process.kill()
    worker.process.wait()
    own._parts = [part for part in own._parts if part.process is not worker.process]


@pytest.fixture(scope="module")
def workers(own: Stack, own_dir: Path, block: Path) -> Iterator[list[Observed]]:
    """A worker that does jobs, and one that answers queries only."""
    workers = [start(own, own_dir, block, serve) for serve in ("images", "queries")]
    yield workers
    for worker in workers:
        stop(own, worker)


@pytest.fixture
def client(own: Stack) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(own.redis_url) as client:
        yield client


@pytest.fixture
def url(images: ImageServer) -> str:
    return images.add("/a.jpg", small_jpeg())


def wait_until_done(collection: Collection[dict[str, Any]], *image_ids: str) -> None:
    matching = {"_id": {"$in": list(image_ids)}, "embedding_job.status": "done"}
    wait_for(lambda: collection.count_documents(matching) == len(image_ids), "the jobs to be done")


def wait_until_ready(workers: list[Observed]) -> None:
    wait_for(lambda: all(worker.ready() == "ok" for worker in workers), "the workers to go on")


def part_of(own: Stack, name: str) -> Any:
    return next(part for part in own._parts if part.name == name)


@pytest.mark.chaos
def test_idle(workers: list[Observed]) -> None:
    with green(workers):
        time.sleep(LONGER_S)


@pytest.mark.chaos
def test_all_slots_busy_and_then_one_job_alone(
    workers: list[Observed],
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    client: EmbeddingClient,
    url: str,
    block: Path,
) -> None:
    with green(workers):
        block.touch()
        client.enqueue_many([(str(n), url) for n in range(3 * SLOTS)])
        wait_for(lambda: own_broker.hlen("unacked") == SLOTS, "all slots to be busy")
        message = hand_made_message({"image_id": "alone", "url": url}, headers={LOST_HEADER: SUSPECT_AFTER})
        own_broker.rpush("images", message)
        time.sleep(LONGER_S)
        block.unlink()
        wait_until_done(own_collection, "alone", *map(str, range(3 * SLOTS)))


@pytest.mark.chaos
def test_paused_by_an_outage_of_mongodb(
    workers: list[Observed],
    own_dir: Path,
    own_collection: Collection[dict[str, Any]],
    client: EmbeddingClient,
    url: str,
) -> None:
    images_worker, queries_worker = workers
    with green(workers):
        with frozen(int((own_dir / "mongo" / "server.pid").read_text())):
            client.enqueue("outage", url)
            wait_for(lambda: "MongoDB is unavailable" in images_worker.ready(), "the worker not to be ready")
            time.sleep(LONGER_S)
            assert queries_worker.ready() == "ok", "it needs no MongoDB"
        wait_until_done(own_collection, "outage")
        wait_until_ready(workers)


@pytest.mark.chaos
def test_idle_while_mongodb_is_away(workers: list[Observed], own_dir: Path) -> None:
    """Nothing asks MongoDB then but its driver."""
    with green(workers):
        with frozen(int((own_dir / "mongo" / "server.pid").read_text())):
            wait_for(lambda: "MongoDB has not answered for" in workers[0].ready(), "the worker not to be ready")
        wait_until_ready(workers)


@pytest.mark.chaos
def test_redis_frozen(workers: list[Observed], own: Stack) -> None:
    with green(workers):
        with frozen(part_of(own, "redis").process.pid):
            wait_for(lambda: all("Redis has not answered" in one.ready() for one in workers), "none to be ready")
            time.sleep(LONGER_S)
        wait_until_ready(workers)


@pytest.mark.chaos
def test_redis_away(workers: list[Observed], own: Stack) -> None:
    part = part_of(own, "redis")
    with green(workers):
        part.process.kill()
        part.process.wait()
        own._parts.remove(part)
        time.sleep(LONGER_S)
        assert all("Redis has not answered" in one.ready() for one in workers)
        own.start("redis", own._redis_command())
        own._wait_for("redis", own._redis_answers, LONG_S)
        wait_until_ready(workers)


@pytest.mark.chaos
def test_decoding_processes_that_were_stopped_are_replaced(
    workers: list[Observed], own_collection: Collection[dict[str, Any]], client: EmbeddingClient, url: str
) -> None:
    client.enqueue("first", url)
    wait_until_done(own_collection, "first")
    children = psutil.Process(workers[0].process.pid).children()
    assert children
    with green(workers), frozen(*(child.pid for child in children)):
        client.enqueue("stopped", url)
        wait_until_done(own_collection, "stopped")
        assert not all(child.is_running() for child in children)


@pytest.mark.chaos
def test_the_worker_itself_frozen(workers: list[Observed]) -> None:
    """It looks frozen from outside, and goes on."""
    with frozen(*(worker.process.pid for worker in workers)):
        time.sleep(LONGER_S)
        for worker in workers:
            assert not answers(worker.port, 1.0)
            silent = find_problem(worker.health_file, time.monotonic() + SILENT_S - END_S)
            assert silent
            assert "is frozen or hangs" in silent
    with green(workers):
        time.sleep(LONGER_S)
    wait_until_ready(workers)


@pytest.mark.chaos
def test_a_drain(
    workers: list[Observed],
    own: Stack,
    own_collection: Collection[dict[str, Any]],
    client: EmbeddingClient,
    url: str,
    tmp_path: Path,
) -> None:
    """Of a worker of its own, since it ends."""
    block = tmp_path / "block"
    worker = start(own, tmp_path, block, "images")
    block.touch()
    jobs = [str(n) for n in range(4 * SLOTS)]  # enough for the other worker too
    client.enqueue_many([(job, url) for job in jobs])
    wait_for(Path(f"{block}{REACHED}").exists, "a forward pass")
    with green([worker]):
        worker.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "was told to stop" in worker.ready(), "the drain")
        time.sleep(LONGER_S)
    block.unlink()
    assert worker.process.wait(LONG_S) == 0
    stop(own, worker)
    wait_until_done(own_collection, *jobs)
