"""What the benchmarks run on: the embedded stack, workers, an image server, and processes that answer line by line."""

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
# Distinct pictures that a server holds; its URLs go round them.
_PICTURES = 64
_LOOK_S = 0.05


class Worker:
    """A running worker, with its decoding processes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """Return the processor seconds that all of them have used."""
        return sum(times.user + times.system for times in (one.cpu_times() for one in self._everyone()))

    def rss_bytes(self) -> int:
        """Return the resident bytes of all of them."""
        return sum(int(one.memory_info().rss) for one in self._everyone())

    def _everyone(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


class Bench:
    """Servers that are started for one run of the benchmarks, and what it shares.

    Args:
        folder: An empty folder for everything that is written.
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
        """Settings of a ViT-B-32 with seeded weights, since pretrained ones cannot be had everywhere."""
        torch.manual_seed(_SEED)
        path = self.folder / "seeded.pt"
        torch.save(open_clip.create_model(MODEL).state_dict(), path)
        return {"CLIP_MODEL": MODEL, "CLIP_PRETRAINED": str(path)}

    @property
    def collection(self) -> Collection[dict[str, Any]]:
        """Where the workers write."""
        return self.mongo["clipqueue"][DEFAULT_COLLECTION]

    def photos_at(self, size: tuple[int, int]) -> str:
        """Return the URL of a server in a process of its own with JPEGs of this size; `/7/photo.jpg` is picture 7."""
        if size not in self._servers:
            folder = write_photos(self._folder(size), _PICTURES, size)
            self._servers[size] = self._serve(folder)
        return self._servers[size]

    def largest_file(self, size: tuple[int, int]) -> int:
        """Return the bytes of the largest of these JPEGs."""
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

        wait_for(answers, "the image server answers")
        return url

    @contextmanager
    def worker(self, env: Mapping[str, str], name: str = "worker") -> Iterator[Worker]:
        """Run a worker for as long as the block lasts. All pictures come from one host here, so it may have as many."""
        process = self.stack.start_worker({"CLIPQUEUE_FETCH_PER_HOST": "64", **env}, name)
        try:
            yield Worker(process)
        finally:
            self.stack.stop_one(process)

    def run_jobs(self, base_url: str, count: int) -> float:
        """Enqueue so many images, wait for all of their vectors, and return the seconds that it took."""
        return self.run(
            IMAGE_QUEUE,
            count,
            lambda run: self.client.enqueue_many(
                (f"{run}-{number}", f"{base_url}/{number}/photo.jpg") for number in range(count)
            ),
        )

    def run(self, queue: str, count: int, enqueue: Callable[[str], object]) -> float:
        """Let `enqueue` put so many images on a queue, and wait as `run_jobs` does; it is told how ids are to begin."""
        self.empty_collection()
        start = time.perf_counter()
        enqueue("image")
        self.wait_until_idle(queue)
        took_s = time.perf_counter() - start
        # One count at the end and not one each moment: it would be MongoDB's work, and no job's.
        done = self.collection.count_documents({"embedding_job.status": "done"})
        assert done == count, f"{done} of {count} images are done"
        return took_s

    def empty_collection(self) -> None:
        """Delete all documents: the embedded MongoDB grows slower with what it holds."""
        self.collection.delete_many({})

    def wait_until_idle(self, queue: str = IMAGE_QUEUE) -> None:
        """Wait until nothing is queued or in flight; asked twice, since a message may be between the two."""
        while any(self.queued(queue) or self.broker.hlen(UNACKED) for _ in range(2)):
            time.sleep(_LOOK_S)

    def queued(self, queue: str = IMAGE_QUEUE) -> int:
        """Return how many messages wait."""
        return int(self.broker.llen(queue))
