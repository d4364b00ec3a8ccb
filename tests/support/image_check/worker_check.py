"""Runs the worker's image against Redis and MongoDB on loopback: jobs, health, and signals to process 1."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import redis

from producer.client.client import EmbeddingClient
from producer.local.stack import LOOPBACK_ALLOWED
from tests.support.image_check.container import running
from tests.support.pictures import small_jpeg
from tests.support.servers import ImageServer, SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from producer.local.stack import Stack
    from tests.support.image_check.container import Container
    from tests.support.image_check.engine import Engine
    from tests.support.image_check.report import Report

GRACE_S = 60
# The engine asks more often than in production, so that this check is short.
QUICK_HEALTH = ("--health-interval", "2s")
HEALTH_CPU_MS = 150
_ONE_AT_A_TIME = {"CLIPQUEUE_CONCURRENCY": "1"}
_START_S = 180
_FREEZE_S = 90


class HeldImages(SocketServer):
    """A server that answers with a JPEG once `release` is called, and counts who asked.

    Attributes:
        asked: The number of requests so far.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._released = threading.Event()
        super().__init__(self._answer)

    def release(self) -> None:
        self._released.set()

    def _answer(self, connection: socket.socket) -> None:
        connection.recv(65_536)
        self.asked += 1
        self._released.wait()
        body = small_jpeg()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)


def check_worker(report: Report, engine: Engine, servers: Stack) -> None:
    """Check one worker from its start to its end, then one that must stop at once."""
    env = {**LOOPBACK_ALLOWED, **_ONE_AT_A_TIME, "REDIS_URL": servers.redis_url, "MONGODB_URI": servers.mongodb_uri}
    with report.part("worker", "runs"), running(engine, "worker", env, *QUICK_HEALTH) as container:
        _check_start(report, container)
        _check_vector(report, servers)
        _check_health(report, container)
        _check_drain(report, container, servers)
    with report.part("worker", "stops at once"), running(engine, "worker", env, *QUICK_HEALTH) as container:
        container.wait_for_health("healthy", _START_S)
        _check_second_signal(report, container, servers)


def check_process_one(report: Report, service: str, container: Container, program: str) -> None:
    """Check that process 1 is the service itself, without privileges."""
    shown = container.process_one()
    user, capabilities, locked, command = [*shown.split(maxsplit=3), "", "", "", ""][:4]
    ok = user == "10001" and int(capabilities, 16) == 0 and locked == "1" and program in command
    report.check(service, "process 1: user, capabilities, command", shown, ok)


def _check_start(report: Report, container: Container) -> None:
    first = container.check_health()
    report.check("worker", "unhealthy before its model is loaded", first.stderr.strip(), first.returncode == 1)
    seconds = container.wait_for_health("healthy", _START_S)
    report.check("worker", "healthy after", f"{seconds:.0f} s", ok=True)
    check_process_one(report, "worker", container, "celery")


def _check_vector(report: Report, servers: Stack) -> None:
    images = ImageServer()
    try:
        with EmbeddingClient(servers.redis_url) as client, _documents(servers) as documents:
            client.enqueue("image-check", images.add("/a.jpg", small_jpeg()))
            document = wait_for(
                lambda: documents.find_one({"_id": "image-check", "embedding_job.status": "done"}), "a vector"
            )
            vector = document["embedding"]
            report.check("worker", "writes a vector, read-only but for /tmp", f"{len(vector)} numbers", len(vector) > 1)
    finally:
        images.close()


def _check_health(report: Report, container: Container) -> None:
    cpu_ms = container.health_cpu_ms()
    report.check("worker", "processor time of a health check", f"{cpu_ms:.0f} ms", cpu_ms < HEALTH_CPU_MS)
    container.send("STOP")
    frozen_s = container.wait_for_health("unhealthy", _FREEZE_S)
    said = container.check_health().stderr.strip()
    report.check("worker", "frozen: unhealthy", f"after {frozen_s:.0f} s: {said}", "frozen" in said)
    container.send("CONT")
    thawed_s = container.wait_for_health("healthy", _FREEZE_S)
    report.check("worker", "continued: healthy", f"after {thawed_s:.0f} s", ok=True)


def _check_drain(report: Report, container: Container, servers: Stack) -> None:
    """One job is being fetched when SIGTERM comes, and two wait in the worker or on the queue."""
    with HeldImages() as images, EmbeddingClient(servers.redis_url) as client, _documents(servers) as documents:
        for number in range(3):
            client.enqueue(f"drain-{number}", f"{images.url}{number}.jpg")
        wait_for(lambda: images.asked, "the worker to fetch")
        threading.Timer(1, images.release).start()
        code, seconds = container.stop(GRACE_S)
        done = documents.count_documents({"_id": {"$regex": "^drain-"}, "embedding_job.status": "done"})
        waiting = _waiting(servers)
        shown = f"exit code {code} after {seconds:.1f} s; {done} done, {waiting} on the queue"
        ok = code == 0 and seconds < GRACE_S and done >= 1 and done + waiting == 3
        report.check("worker", "SIGTERM: ends its job, requeues the others", shown, ok)
    _empty(servers)


def _check_second_signal(report: Report, container: Container, servers: Stack) -> None:
    with HeldImages() as images, EmbeddingClient(servers.redis_url) as client:
        client.enqueue("stopped", f"{images.url}held.jpg")
        wait_for(lambda: images.asked, "the worker to fetch")
        container.send("TERM")
        wait_for(lambda: "Warm shutdown" in container.logs() or "drain" in container.logs(), "the drain to start")
        container.send("TERM")
        code = container.wait()
        waiting = _waiting(servers)
        images.release()
    shown = f"exit code {code}; {waiting} on the queue"
    report.check("worker", "SIGTERM twice: requeues its job at once", shown, code == 0 and waiting == 1)
    _empty(servers)


def _waiting(servers: Stack) -> int:
    with redis.Redis.from_url(servers.redis_url) as broker:
        return int(broker.llen("images"))


def _empty(servers: Stack) -> None:
    with redis.Redis.from_url(servers.redis_url) as broker:
        broker.flushall()


@contextmanager
def _documents(servers: Stack) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](servers.mongodb_uri) as mongo:
        yield mongo["clipqueue"]["images"]
