"""A part of a real worker breaks: its health says which, it ends with code 70, and another worker does its jobs.

Each needs a process of its own, because it ends. The other worker is frozen meanwhile, and must be healthy afterwards.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from ephemeral_port_reserve import reserve

from producer.client.client import EmbeddingClient
from tests.support.breaking import BREAKS, SENTRY, SPANS
from tests.support.fake_encoder import BLOCKED_BY, FORWARD_PASS_S
from tests.support.pictures import small_jpeg
from tests.support.sentry import SentryServer
from tests.support.telemetry import get
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, QUICK_REDELIVERY, FakeWorker, start_fake_worker, worker_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

BREAKING_APP = "tests.support.breaking_app"
COUNT = 12
BROKEN = {
    "encoder": "a forward pass hangs: it has run for",
    "model thread": "a model thread has been dead for",
    "store": "the event loop of MongoDB's driver hangs: it has not turned for",
    "loop": "Celery's event loop hangs: it has not turned for",
    "consumer": "Celery's consumer has stopped: it has asked Redis for no job for",
    "decoder": "the decoder hangs: no process has started or answered for",
    "jobs": "a job hangs: it has run for",
    "lane": "the thread of queries has been dead for",
}
# The others wait longer, such as for the redelivery of their jobs.
QUICK = {"consumer"}


@dataclass(frozen=True)
class Breaking:
    """A worker process that breaks on SIGUSR1."""

    process: subprocess.Popen[bytes]
    log_path: Path
    health_file: str
    port: int

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def complaint(self) -> str:
        """Return what the check of the health file says; empty if all is well."""
        return check_file(self.health_file)


def check_file(path: str) -> str:
    env = {**os.environ, "CLIPQUEUE_HEALTH_FILE": path}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "worker.health"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.strip()


@pytest.fixture(scope="module")
def rescuer(own: Stack, own_dir: Path) -> Iterator[FakeWorker]:
    """The other worker."""
    env = {**QUICK_REDELIVERY, "CLIPQUEUE_HEALTH_FILE": str(own_dir / "rescuer.health")}
    worker = start_fake_worker(own, own_dir, "rescuer", env)
    yield worker
    own.stop_one(worker.process)


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    server = SentryServer()
    yield server
    server.close()


@pytest.fixture
def breaking(
    request: pytest.FixtureRequest,
    rescuer: FakeWorker,
    own: Stack,
    own_dir: Path,
    sentry: SentryServer,
    tmp_path: Path,
) -> Iterator[Breaking]:
    """A worker that is about to break, while the other one is frozen."""
    part, port, health_file = request.param, reserve(), str(tmp_path / "health")
    env = {
        **QUICK_REDELIVERY,
        **FAKE_MODEL,
        BREAKS: part,
        SENTRY: sentry.dsn,
        SPANS: str(tmp_path / "spans"),
        "CLIPQUEUE_METRICS_PORT": str(port),
        "CLIPQUEUE_HEALTH_FILE": health_file,
        "CLIPQUEUE_CONCURRENCY": "4",
        FORWARD_PASS_S: "0.3",
        BLOCKED_BY: str(tmp_path / "block"),
    }
    name = f"breaking-{part.replace(' ', '-')}"
    process = own.start(name, worker_command(name, app=BREAKING_APP), env={**own.environment(), **env})
    worker = Breaking(process, own_dir / f"{name}.log", health_file, port)
    wait_for(lambda: " ready." in worker.log or process.poll(), "the worker to be ready")
    rescuer.process.send_signal(signal.SIGSTOP)
    yield worker
    rescuer.process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    own._parts = [known for known in own._parts if known.process is not process]


def parametrize(quick: set[str]) -> list[Any]:
    return [pytest.param(part, marks=() if part in quick else pytest.mark.chaos, id=part) for part in BROKEN]


@pytest.mark.parametrize("breaking", parametrize(QUICK), indirect=True)
def test_a_broken_worker_says_what_is_broken_and_ends_and_another_does_its_jobs(
    breaking: Breaking,
    rescuer: FakeWorker,
    own: Stack,
    own_dir: Path,
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    images: ImageServer,
    sentry: SentryServer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    part = request.node.callspec.params["breaking"]
    expected = BROKEN[part]
    assert breaking.complaint() == ""
    assert wait_for(lambda: get(breaking.port, "/readyz").status == 200, "the worker to be ready to work")
    assert get(breaking.port, "/livez").status == 200
    jobs = [(str(n), images.add(f"/{n}.jpg", small_jpeg(n))) for n in range(COUNT)]
    breaks_before = part in ("consumer", "decoder", "lane", "jobs")
    if breaks_before:
        break_part(breaking, part, tmp_path)
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue_many(jobs)
    if not breaks_before:
        wait_for(lambda: own_broker.hlen("unacked"), "jobs to be in flight")
        break_part(breaking, part, tmp_path)

    wait_for(lambda: expected in breaking.complaint(), f"the health file to say {expected!r}")
    if breaking.process.poll() is None:
        answer = get(breaking.port, "/livez")
        assert (answer.status, expected in answer.text) == (503, True)
    assert breaking.process.wait(60) == 70
    (line,) = [line for line in breaking.log.splitlines() if "exiting with code 70" in line]
    assert " CRITICAL " in line
    assert expected in line
    assert "jobs that it holds are redelivered within 13 s" in line or "it holds no job" in line
    fatal = [event for event in sentry.events if event["level"] == "fatal"]
    assert [expected in json.dumps(event) for event in fatal] == [True], "Sentry has the reason"
    assert "the last span" in (tmp_path / "spans").read_text(), "OpenTelemetry has sent what it held back"

    rescuer.process.send_signal(signal.SIGCONT)
    done = {"embedding_job.status": "done"}
    wait_for(lambda: own_collection.count_documents(done) == COUNT, "every job to be done")
    wait_for(lambda: check_file(str(own_dir / "rescuer.health")) == "", "the other worker to be healthy")
    assert rescuer.process.poll() is None


def break_part(breaking: Breaking, part: str, folder: Path) -> None:
    if part == "encoder":
        (folder / "block").touch()
    else:
        breaking.process.send_signal(signal.SIGUSR1)
