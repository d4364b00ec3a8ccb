"""The processes that the benchmarks share: the embedded servers, workers and image servers."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from urllib.request import urlopen

import open_clip
import psutil
import pymongo
import redis
import torch
from ephemeral_port_reserve import reserve

from producer.client.client import EmbeddingClient
from producer.contract.names import DEFAULT_COLLECTION, IMAGE_QUEUE, UNACKED
from producer.local.stack import Stack
from tests.bench.pictures import write_photos
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pymongo.collection import Collection

MODEL = "ViT-B-32"
_SEED = 7
# Distinct images of a server; its URLs repeat them.
_PICTURES = 64
_POLL_S = 0.05


class Worker:
    """A running worker with its decoding processes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """Return the CPU seconds that all its processes have used."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._processes()))

    def rss_bytes(self) -> int:
        """Return the resident memory of all its processes in bytes."""
        return sum(int(one.memory_info().rss) for one in self._processes())

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


class Bench:
    """Redis, MongoDB and image servers for one run of the benchmarks. They end with the block.

    Args:
        folder: An empty folder for all files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._on_exit = ExitStack()
        (folder / "stack").mkdir()
        self.stack = self._on_exit.enter_context(Stack(folder / "stack"))
        self.stack.start_servers()
        self.mongo: pymongo.MongoClient[dict[str, Any]] = self._on_exit.enter_context(
            pymongo.MongoClient(self.stack.mongodb_uri)
        )
        self.broker = self._on_exit.enter_context(redis.Redis.from_url(self.stack.redis_url))
        self.client = EmbeddingClient(self.stack.redis_url)
        self._on_exit.callback(self.client.close)
        self._servers: dict[tuple[int, int], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._on_exit.close()

    @cached_property
    def model(self) -> dict[str, str]:
        """The settings of a ViT-B-32 with seeded random weights, which need no download."""
        torch.manual_seed(_SEED)
        path = self.folder / "seeded.pt"
        torch.save(open_clip.create_model(MODEL).state_dict(), path)
        return {"CLIP_MODEL": MODEL, "CLIP_PRETRAINED": str(path)}

    @property
    def collection(self) -> Collection[dict[str, Any]]:
        """The collection that the workers write to."""
        return self.mongo["clipqueue"][DEFAULT_COLLECTION]

    def photos_at(self, size: tuple[int, int]) -> str:
        """Return the URL of an image server with JPEGs of this size; `/7/photo.jpg` is image 7."""
        if size not in self._servers:
            folder = write_photos(self._folder(size), _PICTURES, size)
            self._servers[size] = self._serve(folder)
        return self._servers[size]

    def largest_file(self, size: tuple[int, int]) -> int:
        """Return the size in bytes of the largest JPEG of this size."""
        self.photos_at(size)
        return max(path.stat().st_size for path in self._folder(size).iterdir())

    def _folder(self, size: tuple[int, int]) -> Path:
        return self.folder / "{}x{}".format(*size)

    def _serve(self, folder: Path) -> str:
        port = reserve()
        self.stack.start(f"images-{port}", [sys.executable, "-m", "tests.bench.image_server", str(port), str(folder)])
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                with urlopen(f"{url}/0/photo.jpg") as answer:  # noqa: S310  (our own server)
                    return bool(answer.read())
            except OSError:
                return False

        wait_for(answers, "the image server to answer")
        return url

    @contextmanager
    def worker(self, env: Mapping[str, str], name: str = "worker") -> Iterator[Worker]:
        """Run a worker until the block ends. All images come from one host here, so its limit for one host is high."""
        process = self.stack.start_worker({"CLIPQUEUE_FETCH_PER_HOST": "64", **env}, name)
        try:
            yield Worker(process)
        finally:
            self.stack.stop_one(process)

    def run_jobs(self, base_url: str, count: int) -> float:
        """Enqueue this many images, wait for all vectors, and return the seconds that this took."""
        return self.run(
            IMAGE_QUEUE,
            count,
            lambda run: self.client.enqueue_many(
                (f"{run}-{number}", f"{base_url}/{number}/photo.jpg") for number in range(count)
            ),
        )

    def run(self, queue: str, count: int, enqueue: Callable[[str], object]) -> float:
        """Like `run_jobs`, with another queue and producer: `enqueue` gets the prefix of the ids."""
        self.empty_collection()
        start = time.perf_counter()
        enqueue("image")
        self.wait_until_idle(queue)
        took_s = time.perf_counter() - start
        # One count at the end: repeated counts would slow MongoDB down.
        done = self.collection.count_documents({"embedding_job.status": "done"})
        assert done == count, f"{done} of {count} images are done"
        return took_s

    def empty_collection(self) -> None:
        """Delete all documents, because the embedded MongoDB is slower with more documents."""
        self.collection.delete_many({})

    def wait_until_idle(self, queue: str = IMAGE_QUEUE) -> None:
        """Wait until nothing is queued or unacked; check twice, because a message may move from one to the other."""
        while any(self.queued(queue) or self.broker.hlen(UNACKED) for _ in range(2)):
            time.sleep(_POLL_S)

    def queued(self, queue: str = IMAGE_QUEUE) -> int:
        """Return the length of the queue."""
        return int(self.broker.llen(queue))
