"""The log of a real worker that programs read: each line is JSON, no job is missing, and no job waits for a reader."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from producer.client.client import EmbeddingClient
from producer.local.guardian import start_guarded
from tests.support.commands import run_worker
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

AS_A_SERVICE = {"CLIPQUEUE_LOG_FORMAT": "auto", "CLIPQUEUE_LOG_JOBS": "auto"}
JOBS = 400


class Reader:
    """Reads the output of a process like a log driver does, which can be stopped for a while."""

    def __init__(self, descriptor: int) -> None:
        self.content = b""
        self._descriptor = descriptor
        self._may_read = threading.Event()
        self._may_read.set()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def pause(self) -> None:
        self._may_read.clear()

    def resume(self) -> None:
        self._may_read.set()

    def to_the_end(self) -> list[dict[str, Any]]:
        """Return all lines, once the process has ended."""
        self.resume()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return [json.loads(line) for line in self.content.splitlines()]

    def _read(self) -> None:
        while self._may_read.wait() and (read := os.read(self._descriptor, 1024)):
            self.content += read


@pytest.fixture
def read_worker(own: Stack, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Reader]]:
    """A worker process of its own, whose output goes into a short pipe; and what reads it."""
    ours, theirs = os.pipe()
    fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
    env = {**own.environment(), **FAKE_MODEL, **AS_A_SERVICE}
    with (tmp_path / "errors").open("wb") as errors:
        worker = start_guarded(worker_command("logs"), env=env, stdout=theirs, stderr=errors)
    os.close(theirs)
    reader = Reader(ours)
    yield worker, reader
    reader.resume()
    worker.kill()
    worker.wait()
    os.close(ours)


def test_every_line_is_json_and_no_job_waits_for_who_reads_them(
    read_worker: tuple[subprocess.Popen[bytes], Reader],
    own: Stack,
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    images: ImageServer,
    tmp_path: Path,
) -> None:
    """From the start to SIGTERM. A log driver that is stopped, or a disk that is full, must not stop the jobs."""
    worker, reader = read_worker
    good = images.add("/good.jpg", small_jpeg()) + "?sig=deadbeef"
    gone = images.add("/gone.jpg", Answer(b"", 404)) + "?sig=deadbeef"
    wait_for(lambda: b" ready." in reader.content, "the worker to be ready")
    reader.pause()
    own_broker.lpush("images", hand_made_message({"image_id": "bad", "url": 7}))
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue_many([(f"job-{number}", gone if number % 10 == 0 else good) for number in range(JOBS)])
    ended = {"embedding_job.status": {"$in": ["done", "failed"]}}
    wait_for(lambda: own_collection.count_documents(ended) == JOBS + 1, "all jobs, although nobody reads the log")
    reader.resume()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    lines = reader.to_the_end()
    assert (tmp_path / "errors").read_text() == ""
    assert "deadbeef" not in str(lines)
    assert not [line for line in lines if line["message"].endswith("it was full")], "4,000 lines can wait"
    counts = [line.get("left_out", 1) for line in lines if "left_out" in line or "outcome" in line]
    assert sum(counts) == JOBS + 1
    failed = [line for line in lines if line.get("outcome") == "failed"]
    left_out = sum(line.get("failed", 0) for line in lines if "left_out" in line)
    assert len(failed) + left_out == JOBS / 10 + 1
    assert {line["code"] for line in failed} == {"http_404", "invalid_job"}
    [done, *_] = [line for line in lines if line.get("outcome") == "done"]
    stages = {"check_ms", "fetch_ms", "decode_ms", "encode_ms", "save_ms"}
    assert stages | {"queue_ms", "total_ms", "job", "task", "batch", "attempt", "url"} <= done.keys()
    assert "SIGTERM" in str(lines)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"CLIPQUEUE_LOG_FORMAT": "xml"}, "clipqueue: invalid settings\n  CLIPQUEUE_LOG_FORMAT: "),
        ({"MONGODB_URI": "mongodb://user:hunter2@host:port/"}, "MONGODB_URI is invalid"),
    ],
)
def test_a_worker_that_does_not_start_says_why_in_a_line(env: dict[str, str], message: str, stack: Stack) -> None:
    done = run_worker(**{**stack.environment(), **FAKE_MODEL, **AS_A_SERVICE, **env})
    assert (done.returncode, "hunter2" in done.stdout) == (1, False)
    last = [json.loads(line) for line in done.stdout.splitlines()][-1]
    assert last["level"] == "error"
    assert last["message"].startswith(message)
    assert done.stderr == ""
