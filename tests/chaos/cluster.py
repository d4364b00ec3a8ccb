"""Redis, MongoDB, an image server, workers and a sweep as real processes, each of which may be killed."""

from __future__ import annotations

import re
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
from producer.contract.names import DELAYED, IMAGE_QUEUE
from producer.local import servers
from producer.local.stack import Stack
from tests.chaos.failover import Failover
from tests.chaos.processes import ManagedProcess
from tests.support.waiting import wait_for
from tests.support.workers import EVERY_LINE, FAKE_ENCODER_APP, worker_command

if TYPE_CHECKING:
    from pathlib import Path

# The Celery applications that the workers may run: the real one, and the one with the fake encoder.
REAL = "worker.app"
FAKE = FAKE_ENCODER_APP
NEW_MODEL = "fake/new"
MODELS = {REAL: SMALL_MODEL, FAKE: {"CLIP_MODEL": NEW_MODEL}}

VISIBILITY_S = 12
# Short limits, so that the jobs of a killed worker are redelivered soon; and enough retries to outlast every fault.
WORKER_ENV = {
    **EVERY_LINE,
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
    # Many processes start here at the same time.
    "OMP_NUM_THREADS": "1",
}

Document = dict[str, Any]


class Cluster:
    """All processes of a scenario, on free ports and with their own files. They end with the block.

    Args:
        folder: The folder of data and logs.
        app: The Celery application of the workers: REAL, or FAKE for the encoder without torch.
        replicated: Run a replica of Redis, so that there can be a failover.

    Attributes:
        workers: The workers that were added.
        known_ids: Every image id that was enqueued since the last reset.
    """

    def __init__(self, folder: Path, *, app: str = FAKE, replicated: bool = False) -> None:
        self.folder = folder
        self.app = app
        self._replicated = replicated
        self.workers: list[ManagedProcess] = []
        self.known_ids: set[str] = set()
        self._processes: list[ManagedProcess] = []
        self._sweep: ManagedProcess | None = None
        self._failover: Failover | None = None
        self._exit_stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            # Only its commands and its environment: the processes of a Stack cannot be killed and started again.
            self.stack = self._exit_stack.enter_context(Stack(self.folder))
            self.env = {**self.stack.environment(), **MODELS[self.app], **WORKER_ENV}
            self.redis_url = self.stack.redis_url
            self._start_servers()
            if self._replicated:
                self._replicate()
            self._connect()
        except BaseException:
            self._exit_stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def add_worker(self, name: str, **env: str) -> ManagedProcess:
        """Add a worker without starting it; `env` overrides the settings of the cluster."""
        command = worker_command(name, app=self.app)
        worker = self._add(f"worker-{name}", lambda: command, _logs_ready, {**self.env, **env})
        self.workers.append(worker)
        return worker

    def start_workers(self, *names: str) -> None:
        """Add workers, start them at the same time, and wait until all are ready."""
        workers = [self.add_worker(name) for name in names]
        for worker in workers:
            worker.start(wait=False)
        for worker in workers:
            worker.await_ready()

    def reset(self) -> None:
        """Undo what a scenario left behind: all processes run, images are served, and no job or document is left."""
        self._end_sweep()
        self.start_exited()
        self.control_images(mode="fine", min_ms=30, max_ms=100)
        if any(self.queued().values()):  # a scenario failed, and the workers still hold its jobs
            for worker in self.workers:
                worker.kill()
            self.broker.flushall()
            self.start_exited()
        self.collection.delete_many({})
        self.known_ids.clear()

    def start_exited(self) -> list[str]:
        """Start every process that has exited; return their names."""
        exited = [process for process in self._processes if not process.is_running]
        for process in exited:
            process.start(wait=False)
        for process in exited:
            process.await_ready()
        return [process.name for process in exited]

    def start_sweep(self, age_s: float = VISIBILITY_S + 3) -> None:
        """Start `clipqueue sweep`: every second it requeues the jobs that have had no result for `age_s` seconds.

        By default that leaves time for the jobs of a killed worker to be redelivered, as in production.
        """
        command = [sys.executable, "-m", "producer", "sweep", "--every", "1", "--age", str(age_s)]
        self._sweep = self._add("sweep", lambda: command, lambda _: True)
        self._sweep.start()

    def requeued_by_sweep(self) -> int:
        """Return how many jobs the sweep has requeued."""
        logs = "".join(path.read_text() for path in self.folder.glob("sweep.*.log"))
        return sum(map(int, re.findall(r"queued again: (\d+)", logs)))

    def fail_over(self) -> None:
        """Make the replica of Redis the primary, and the primary a replica that keeps its connections open."""
        assert self._failover is not None, "the cluster has no replica"
        self._failover.run()
        self.redis = self._failover.primary
        self.broker.connection_pool.disconnect()

    def control_images(self, **settings: object) -> None:
        """Change how the image server answers; see `tests.chaos.image_server`."""
        with urllib.request.urlopen(f"{self.images_url}/control?{urlencode(settings)}", timeout=5):  # noqa: S310
            pass

    def queued(self) -> dict[str, int]:
        """Return the number of messages on Redis: waiting, delayed, popped but not yet recorded as unacked, unacked."""
        unacked: Any = self.broker.hlen("unacked")
        index: Any = self.broker.zcard("unacked_index")
        waiting: Any = self.broker.llen(IMAGE_QUEUE)
        delayed: Any = self.broker.zcard(DELAYED)
        popped: Any = sum(self.broker.llen(key) for key in self.broker.scan_iter("clipqueue:taken:*"))
        return {
            IMAGE_QUEUE: waiting,
            "delayed": delayed,
            "popped": popped,
            "unacked": unacked,
            "unacked_index": index,
        }

    def make_due(self) -> None:
        """Make all delayed messages due now."""
        members: Any = self.broker.zrange(DELAYED, 0, -1)
        self.broker.zadd(DELAYED, dict.fromkeys(members, 1.0), xx=True)

    def await_pending_pop(self) -> None:
        """Wait until a worker's command is pending at Redis: the next message is popped as soon as it is enqueued."""

        def is_pending() -> bool:
            clients: Any = self.broker.client_list()
            return any(client["cmd"] == "blmove" and "b" in client["flags"] for client in clients)

        wait_for(is_pending, "a worker to wait for a message")

    def worker_logs(self) -> str:
        """Return the logs of all workers and of all their starts."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("worker-*.log")))

    def _start_servers(self) -> None:
        self.redis = self._add("redis", self.stack._redis_command, lambda _: self.stack._redis_answers())
        self.mongo = self._add("mongo", self.stack._mongo_command, lambda _: self.stack._mongo_answers())
        self.images_url = f"http://127.0.0.1:{reserve()}"
        serve = [sys.executable, "-m", "tests.chaos.image_server", self.images_url.rpartition(":")[2]]
        self.images = self._add("image-server", lambda: serve, lambda _: self._images_answer())
        self.start_exited()

    def _replicate(self) -> None:
        """Start a replica of Redis. From now on, `redis_url` leads to the primary, whichever that is."""
        port, folder = reserve(), self.folder / "replica"
        folder.mkdir()
        command = servers.redis_command(folder, port)
        answers = f"redis://{servers.HOST}:{port}/0"
        replica = self._add("replica", lambda: command, lambda _: servers.redis_answers(answers))
        replica.start()
        self._failover = Failover([(self.redis, self.stack._redis_port), (replica, port)])
        self.redis_url = self._exit_stack.enter_context(self._failover.relayed_url())
        self.env["REDIS_URL"] = self.redis_url

    def _connect(self) -> None:
        """Connect to the servers. The connections close before the servers end, because drivers wait for an answer."""
        self.broker = self._exit_stack.enter_context(redis.Redis.from_url(self.redis_url, socket_timeout=30))
        mongo = pymongo.MongoClient[Document](self.stack.mongodb_uri, tz_aware=True, timeoutMS=300_000)
        self.collection = self._exit_stack.enter_context(mongo)["clipqueue"]["images"]
        client = EmbeddingClient(self.redis_url, mongodb_uri=self.stack.mongodb_uri)
        self.client = self._exit_stack.enter_context(client)

    def _add(self, name: str, command: Any, is_ready: Any, env: dict[str, str] | None = None) -> ManagedProcess:
        process = ManagedProcess(name, command, self.folder, is_ready=is_ready, env=env or self.env)
        self._processes.append(process)
        self._exit_stack.callback(process.end)
        return process

    def _end_sweep(self) -> None:
        if self._sweep is not None:
            self._sweep.end()
            self._processes.remove(self._sweep)
            self._sweep = None
        for path in self.folder.glob("sweep.*.log"):
            path.unlink()

    def _images_answer(self) -> bool:
        try:
            self.control_images()
        except OSError:
            return False
        return True


def _logs_ready(log: Path) -> bool:
    return " ready." in log.read_text(errors="replace")
