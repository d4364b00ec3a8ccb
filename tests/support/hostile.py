"""A worker with short limits, given a whole table of hostile jobs at once, and what became of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo
import redis

from producer.contract.names import PARKED_LIST
from producer.local.stack import Stack
from tests.support.messages import hand_made_message
from tests.support.pictures import small_jpeg
from tests.support.servers import ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.dns import NameServer

FETCH_TOTAL_S, FETCH_CONNECT_S, FETCH_READ_S, DNS_S = 3.0, 1.5, 2.0, 1.8
DECODE_CPU_S, DECODE_S = 2, 30.0
MAX_BYTES = 20 * 1024 * 1024
# What a loaded machine may take beyond a limit until the thread runs again that notices it.
GRACE_S = 4.0

ENV = {
    "CLIPQUEUE_MAX_RETRIES": "0",
    "CLIPQUEUE_FETCH_TOTAL_S": str(FETCH_TOTAL_S),
    "CLIPQUEUE_FETCH_CONNECT_S": str(FETCH_CONNECT_S),
    "CLIPQUEUE_FETCH_READ_S": str(FETCH_READ_S),
    "CLIPQUEUE_FETCH_DNS_S": str(DNS_S),
    "CLIPQUEUE_FETCH_MAX_BYTES": str(MAX_BYTES),
    "CLIPQUEUE_DECODE_CPU_S": str(DECODE_CPU_S),
    "CLIPQUEUE_DECODE_S": str(DECODE_S),
    # One address of loopback and no other: the neighbours of it and ::1 stand for the operator's network.
    "CLIPQUEUE_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
    "CLIPQUEUE_FETCH_PORTS": "80,443,1024-65000",
}

_STAGES = re.compile(r"job=(\S+) (?:stopped at|done batch=\d+) (.*)")
_STAGE = re.compile(r"(\w+)=([\d.]+)ms")


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `done` or an error's code, in which stage, after how many seconds of each."""

    code: str
    stage: str
    message: str
    seconds: dict[str, float]

    def must_be(self, code: str, stage: str, limit_s: float) -> None:
        """Check the code, and that the stage ended within its limit, if the job came so far."""
        assert self.code == code, self.message
        if code != "invalid_job":
            assert self.seconds[stage] < limit_s + GRACE_S


class HostileWorker:
    """A worker that takes whole tables of jobs."""

    def __init__(self, folder: Path, names: NameServer) -> None:
        self.names = names
        self._folder = folder
        self._stack = Stack(folder)
        self._stack.start_servers()
        start_fake_worker(
            self._stack, folder, "worker", {**ENV, "CLIPQUEUE_FETCH_NAMESERVERS": f"127.0.0.1:{names.port}"}
        )
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
        """Return the outcome of one job for each URL, by the same names. All are enqueued at once."""
        self._runs += 1
        ids = {f"run{self._runs}-{number}": name for number, name in enumerate(urls)}
        self.push(*[hand_made_message({"image_id": image_id, "url": urls[name]}) for image_id, name in ids.items()])
        asked = {"_id": {"$in": list(ids)}, "embedding_job.status": {"$in": ["done", "failed"]}}
        # All one after another would need no longer: a job that hangs is what ends this wait.
        seconds = 60 + len(ids) * (FETCH_TOTAL_S + GRACE_S) / 4
        wait_for(lambda: self.collection.count_documents(asked) == len(ids), "every job to end", seconds)
        spent = self._spent()
        return {ids[found["_id"]]: _outcome(found, spent) for found in self.collection.find(asked)}

    def push(self, *items: str | bytes) -> None:
        """Put raw items on the queue."""
        self.broker.lpush("images", *items)

    def parked(self) -> list[bytes]:
        parked: Any = self.broker.lrange(PARKED_LIST, 0, -1)
        return list(parked)

    def embeds_a_good_image(self) -> bool:
        """Return whether the worker process of the start is there and does its work."""
        images = ImageServer()
        try:
            outcome = self.run({"good": images.add("/good.jpg", small_jpeg())})["good"]
        finally:
            images.close()
        self._stack.check()  # raises if a process has ended
        return outcome.code == "done"

    def _spent(self) -> dict[str, dict[str, float]]:
        return {
            image_id: {stage: float(ms) / 1e3 for stage, ms in _STAGE.findall(stages)}
            for image_id, stages in _STAGES.findall(self.log)
        }


def _outcome(found: dict[str, Any], spent: dict[str, dict[str, float]]) -> Outcome:
    job = found["embedding_job"]
    seconds = spent.get(found["_id"], {})
    if job["status"] == "done":
        return Outcome("done", "", "", seconds)
    error = job["error"]
    return Outcome(error["code"], error["stage"], error["message"], seconds)
