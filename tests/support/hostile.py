"""A worker with short limits, which runs tables of hostile jobs and reports how each job ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
import pymongo
import redis
from celery import Celery

from producer.contract.names import PARKED_LIST
from producer.local.stack import Stack
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.dns import NameServer

FETCH_TOTAL_S, FETCH_CONNECT_S, FETCH_READ_S, DNS_S = 6.0, 1.5, 2.0, 1.8
# On a busy machine, the files that are costly wait for each other and for the CPU.
DECODE_CPU_S, DECODE_S = 8, 120.0
MAX_BYTES = 20 * 1024 * 1024
# How late a thread on a loaded machine may enforce a limit.
GRACE_S = 4.0

SECRET = "s3cr3t-of-the-operator"

ENV = {
    "CLIPQUEUE_MAX_RETRIES": "0",
    "CLIPQUEUE_FETCH_TOTAL_S": str(FETCH_TOTAL_S),
    "CLIPQUEUE_FETCH_CONNECT_S": str(FETCH_CONNECT_S),
    "CLIPQUEUE_FETCH_READ_S": str(FETCH_READ_S),
    "CLIPQUEUE_FETCH_DNS_S": str(DNS_S),
    "CLIPQUEUE_FETCH_MAX_BYTES": str(MAX_BYTES),
    "CLIPQUEUE_DECODE_CPU_S": str(DECODE_CPU_S),
    "CLIPQUEUE_DECODE_S": str(DECODE_S),
    "CLIPQUEUE_DRAIN_S": str(DECODE_S),
    "CLIPQUEUE_VISIBILITY_TIMEOUT_S": "300",
    # Only one address of loopback is allowed. Its other addresses and ::1 stand for the operator's network.
    "CLIPQUEUE_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
    "CLIPQUEUE_FETCH_PORTS": "80,443,1024-65000",
    "CLIPQUEUE_FETCH_HEADERS": f"private.test: Authorization: Bearer {SECRET}",
}

_STAGES = re.compile(r"job=(\S+) (?:failed .*? after|done batch=\d+) (.*)")
_STAGE = re.compile(r"(\w+)=([\d.]+)ms")


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        code: `done`, or the error's code.
        stage: The stage that failed.
        message: The error's message.
        seconds: The duration of each stage.
    """

    code: str
    stage: str
    message: str
    seconds: dict[str, float]

    def must_be(self, code: str, stage: str, limit_s: float) -> None:
        """Check the code, and that the stage ended within its limit."""
        assert self.code == code, self.message
        if code != "invalid_job":
            assert self.seconds[stage] < limit_s + GRACE_S


class HostileWorker:
    """A worker with short limits, its servers, and the name server that it uses."""

    def __init__(self, folder: Path, names: NameServer) -> None:
        self.names = names
        self._folder = folder
        self._health = folder / "health"
        self._stack = Stack(folder)
        self._stack.start_servers()
        variables = {
            "CLIPQUEUE_FETCH_NAMESERVERS": f"127.0.0.1:{names.port}",
            "CLIPQUEUE_HEALTH_FILE": str(self._health),
        }
        self._process = start_fake_worker(self._stack, folder, "worker", {**ENV, **variables}).process
        self.redis_url = self._stack.redis_url
        self.broker = redis.Redis.from_url(self._stack.redis_url)
        self._mongo = pymongo.MongoClient[dict[str, Any]](self._stack.mongodb_uri)
        self.collection = self._mongo["clipqueue"]["images"]
        self._runs = 0

    def close(self) -> None:
        self.broker.close()
        self._mongo.close()
        self._stack.stop()

    @property
    def log(self) -> str:
        return (self._folder / "worker.log").read_text()

    def run(self, urls: Mapping[str, str]) -> dict[str, Outcome]:
        """Enqueue one job for each URL, all at once, and return the outcomes under the same names."""
        self._runs += 1
        ids = {f"run{self._runs}-{number}": name for number, name in enumerate(urls)}
        self.push(*[hand_made_message({"image_id": image_id, "url": urls[name]}) for image_id, name in ids.items()])
        ended = {"_id": {"$in": list(ids)}, "embedding_job.status": {"$in": ["done", "failed"]}}
        # Long enough for one job after another, so only a job that hangs can exceed it.
        seconds = 60 + len(ids) * (FETCH_TOTAL_S + GRACE_S) / 4
        wait_for(lambda: self.collection.count_documents(ended) == len(ids), "every job to end", seconds)
        documents = list(self.collection.find(ended))
        # The worker logs the stages of a job after it has saved the result. An invalid job has no stages.
        staged = {one["_id"] for one in documents if one["embedding_job"].get("error", {}).get("code") != "invalid_job"}
        wait_for(lambda: staged <= self._durations().keys(), "the line of each job in the log")
        durations = self._durations()
        return {ids[document["_id"]]: _outcome(document, durations) for document in documents}

    def push(self, *items: str | bytes) -> None:
        """Push raw messages to the queue."""
        self.broker.lpush("images", *items)

    def parked(self) -> list[bytes]:
        parked: Any = self.broker.lrange(PARKED_LIST, 0, -1)
        return list(parked)

    def everything_it_shows(self) -> str:
        """Return its log, what it writes and answers, and the environments of its decoding processes."""
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"string": self.broker.get,
            b"hash": self.broker.hgetall,
            b"set": self.broker.smembers,
            b"list": lambda key: self.broker.lrange(key, 0, -1),
            b"zset": lambda key: self.broker.zrange(key, 0, -1),
        }
        on_redis = [
            (key, read[kind](key)) for key in self.broker.scan_iter() if (kind := self.broker.type(key)) in read
        ]
        inspect = Celery(broker=self.redis_url, set_as_current=False).control.inspect(timeout=5.0, limit=1)
        answers = [inspect.report(), inspect.conf()]
        environments = [one.environ() for one in psutil.Process(self._process.pid).children(recursive=True)]
        assert all(answers)
        assert environments
        documents = list(self.collection.find({}))
        return self.log + self._health.read_text() + repr([on_redis, answers, environments, documents])

    def embeds_a_good_image(self) -> bool:
        """Return whether the worker process that was started first still runs and embeds images."""
        images = ImageServer()
        try:
            outcome = self.run({"good": images.add("/good.jpg", small_jpeg())})["good"]
        finally:
            images.close()
        self._stack.check()  # raises if a process has ended
        return outcome.code == "done"

    def _durations(self) -> dict[str, dict[str, float]]:
        return {
            image_id: {stage: float(ms) / 1e3 for stage, ms in _STAGE.findall(stages)}
            for image_id, stages in _STAGES.findall(self.log)
        }


def _outcome(document: dict[str, Any], durations: dict[str, dict[str, float]]) -> Outcome:
    job = document["embedding_job"]
    seconds = durations.get(document["_id"], {})
    if job["status"] == "done":
        return Outcome("done", "", "", seconds)
    error = job["error"]
    return Outcome(error["code"], error["stage"], error["message"], seconds)
