"""The cluster: Redis, MongoDB, an image server, workers and a sweep as real processes, each of which may be killed."""

from __future__ import annotations

import re
import socket
import sys
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import pymongo
import redis
from ephemeral_port_reserve import reserve

from producer.cli.model import SMALL_MODEL
from producer.client.client import EmbeddingClient
from producer.contract.names import IMAGE_QUEUE
from producer.local.stack import Stack
from tests.chaos.processes import ManagedProcess

if TYPE_CHECKING:
    from pathlib import Path

REAL = "worker.app"
FAKE = "tests.support.fake_encoder_app"
NEW_MODEL = "stand-in/new"
MODELS = {REAL: SMALL_MODEL, FAKE: {"CLIP_MODEL": NEW_MODEL}}

VISIBILITY_S = 12
# Short limits, so that a killed worker's jobs are given to another soon; and enough retries for any storm that passes.
WORKER_ENV = {
    "CLIPQUEUE_PRECISION": "fp32",
    "CLIPQUEUE_FETCH_TOTAL_S": "2",
    "CLIPQUEUE_FETCH_READ_S": "2",
    "CLIPQUEUE_FETCH_PER_HOST": "64",
    "CLIPQUEUE_DECODE_S": "2",
    "CLIPQUEUE_ENCODE_S": "2",
    "CLIPQUEUE_STORE_S": "0.8",
    "CLIPQUEUE_MAX_RETRIES": "12",
    "CLIPQUEUE_RETRY_BASE_S": "0.1",
    "CLIPQUEUE_RETRY_CAP_S": "0.5",
    "CLIPQUEUE_VISIBILITY_TIMEOUT_S": str(VISIBILITY_S),
    "CLIPQUEUE_RESTORE_INTERVAL_S": "1",
    # What a job may cost at most is another test's matter; here processes are started by the dozen.
    "OMP_NUM_THREADS": "1",
}

Document = dict[str, Any]


class Cluster:
    """Everything a run needs, on free ports and files of its own; all of it ends with the block, whatever happened.

    Args:
        folder: For data and logs.
        app: The Celery application of the workers: REAL, or FAKE for the encoder without torch.

    Attributes:
        workers: Those that were added.
        known_ids: Every image id that was enqueued here.
    """

    def __init__(self, folder: Path, *, app: str = FAKE) -> None:
        self.folder = folder
        self.app = app
        self.workers: list[ManagedProcess] = []
        self.known_ids: set[str] = set()
        self._parts: list[ManagedProcess] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.stack = self._closing.enter_context(Stack(self.folder))
            # Its commands and its environment alone: its own parts cannot be killed and started again.
            self.env = {**self.stack.environment(), **MODELS[self.app], **WORKER_ENV}
            self._start_servers()
            self._connect()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def add_worker(self, name: str, **env: str) -> ManagedProcess:
        """Add a worker, not started yet; `env` on top of the cluster's own settings."""
        node = f"{name}@{socket.gethostname()}"
        command = [sys.executable, "-m", "celery", "-A", self.app, "worker", "-n", node]
        worker = self._add(f"worker-{name}", lambda: command, _says_ready, {**self.env, **env})
        self.workers.append(worker)
        return worker

    def start_workers(self, *names: str) -> None:
        """Add workers, start them side by side, and wait until all are ready."""
        workers = [self.add_worker(name) for name in names]
        for worker in workers:
            worker.start(wait=False)
        for worker in workers:
            worker.await_ready()

    def reset(self) -> None:
        """Let the image server answer as it should, and start what does not run."""
        self.start_exited()
        self.control_images(mode="fine", least_ms=30, most_ms=100)

    def start_exited(self) -> list[str]:
        """Start every part that runs no more; return their names."""
        ended = [part for part in self._parts if not part.runs]
        for part in ended:
            part.start()
        return [part.name for part in ended]

    def start_sweep(self, age_s: float = VISIBILITY_S + 3) -> None:
        """Start `clipqueue sweep`, which every second queues again what has been owed a vector for `age_s` seconds.

        By default long enough for a killed worker's jobs to be given to another, as in production.
        """
        command = [sys.executable, "-m", "producer", "sweep", "--every", "1", "--age", str(age_s)]
        self._add("sweep", lambda: command, lambda _: True).start()

    def requeued_by_sweep(self) -> int:
        """Return how many jobs the sweep has queued again."""
        logs = "".join(path.read_text() for path in self.folder.glob("sweep.*.log"))
        return sum(map(int, re.findall(r"queued again: (\d+)", logs)))

    def control_images(self, **settings: object) -> None:
        """Change how the image server answers; see `tests.chaos.image_server`."""
        with urllib.request.urlopen(f"{self.images_url}/control?{urlencode(settings)}", timeout=5):  # noqa: S310
            pass

    def queued(self) -> dict[str, int]:
        """Return how much Redis holds: what waits, what is being taken, and what is with the workers."""
        unacked: Any = self.broker.hlen("unacked")
        index: Any = self.broker.zcard("unacked_index")
        waiting: Any = self.broker.llen(IMAGE_QUEUE)
        taken: Any = sum(self.broker.llen(key) for key in self.broker.scan_iter("clipqueue:taken:*"))
        return {IMAGE_QUEUE: waiting, "taken": taken, "unacked": unacked, "unacked_index": index}

    def worker_logs(self) -> str:
        """Return what all workers of all starts have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("worker-*.log")))

    def _start_servers(self) -> None:
        self.redis = self._add("redis", self.stack._redis_command, lambda _: self.stack._redis_answers())
        self.mongo = self._add("mongo", self.stack._mongo_command, lambda _: self.stack._mongo_answers())
        self.images_url = f"http://127.0.0.1:{reserve()}"
        serve = [sys.executable, "-m", "tests.chaos.image_server", self.images_url.rpartition(":")[2]]
        self.images = self._add("image-server", lambda: serve, lambda _: self._images_answer())
        for part in self._parts:
            part.start(wait=False)
        for part in self._parts:
            part.await_ready()

    def _connect(self) -> None:
        """Connect to the servers; closed before they end, since a driver takes its time to say goodbye to no one."""
        self.broker = self._closing.enter_context(redis.Redis.from_url(self.stack.redis_url, socket_timeout=30))
        mongo = pymongo.MongoClient[Document](self.stack.mongodb_uri, tz_aware=True, timeoutMS=300_000)
        self.collection = self._closing.enter_context(mongo)["clipqueue"]["images"]
        client = EmbeddingClient(self.stack.redis_url, mongodb_uri=self.stack.mongodb_uri)
        self.client = self._closing.enter_context(client)

    def _add(self, name: str, command: Any, is_ready: Any, env: dict[str, str] | None = None) -> ManagedProcess:
        part = ManagedProcess(name, command, self.folder, is_ready=is_ready, env=env or self.env)
        self._parts.append(part)
        self._closing.callback(part.end)
        return part

    def _images_answer(self) -> bool:
        try:
            self.control_images()
        except OSError:
            return False
        return True


def _says_ready(log: Path) -> bool:
    return " ready." in log.read_text(errors="replace")
