"""Workers, a sweep, the API and two image hosts, all with metrics, and a load that a small shop would have."""

from __future__ import annotations

import sys
import threading
import urllib.request
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

from ephemeral_port_reserve import reserve

from producer.contract.errors import ClipqueueError
from tests.chaos.cluster import FAKE, MODELS, Cluster, _logs_ready
from tests.chaos.pictures import COUNT
from tests.support.fake_encoder import BLOCKED_BY, FORWARD_PASS_S
from tests.support.mongo_proxy import MongoProxy, error_answer
from tests.support.waiting import wait_for
from tests.support.workers import worker_command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.processes import ManagedProcess

_NOT_PRIMARY = error_answer(10107, "NotWritablePrimary", "not primary")
_TEXTS = ("a red bicycle", "two cats on a sofa", "a lighthouse at night")


class Fleet(Cluster):
    """A cluster with the settings of production but for the model, which sleeps instead of computing.

    Attributes:
        targets: The addresses with metrics, by the name of Prometheus' job.
        refuses: MongoDB answers every command of a worker with an error while this is set.
        other_url: The address of the second image host.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, app=FAKE)
        self.targets: dict[str, list[str]] = {}
        self.refuses = threading.Event()

    def __enter__(self) -> Self:
        super().__enter__()
        address = urlsplit(self.stack.mongodb_uri)
        proxy = MongoProxy((str(address.hostname), int(address.port or 0)), self._answer)
        uri = self._exit_stack.enter_context(proxy).uri
        self.env = {**self.stack.environment(), **MODELS[FAKE], "MONGODB_URI": uri, FORWARD_PASS_S: "0.05"}
        self.other_url = f"http://127.0.0.1:{reserve()}"
        serve = [sys.executable, "-m", "tests.chaos.image_server", self.other_url.rpartition(":")[2]]
        self.other_images = self._add("other-images", lambda: serve, lambda _: answers(f"{self.other_url}/control"))
        self.other_images.start()
        return self

    def start_all(self, workers: int) -> None:
        """Start everything at the same time, and wait until all are ready."""
        started = [self._add_worker(f"w{number}") for number in range(1, workers + 1)]
        started += [self._add_sweep(), self._add_api()]
        for process in started:
            process.start(wait=False)
        for process in started:
            process.await_ready()

    def target_of(self, worker: ManagedProcess) -> str:
        """Return the address of a worker's metrics."""
        return self.targets["clipqueue-worker"][self.workers.index(worker)]

    def blocker_of(self, worker: ManagedProcess) -> Path:
        """Return the file that blocks a worker's model while it exists."""
        return self.folder / f"block-{worker.name}"

    def slow_down(self, delay_s: float) -> None:
        """Let the second image host answer each request after this time."""
        control(self.other_url, mode="fine", min_ms=1e3 * delay_s, max_ms=1e3 * delay_s)

    def _add_worker(self, name: str) -> ManagedProcess:
        blocker = self.folder / f"block-worker-{name}"
        env = {**self.env, **self._metrics("clipqueue-worker"), BLOCKED_BY: str(blocker)}
        command = worker_command(name, app=self.app)
        worker = self._add(f"worker-{name}", lambda: command, _logs_ready, env)
        self.workers.append(worker)
        return worker

    def _add_sweep(self) -> ManagedProcess:
        env = {**self.env, **self._metrics("clipqueue-sweep")}
        self.targets["clipqueue-queue"] = self.targets["clipqueue-sweep"]
        command = [sys.executable, "-m", "producer", "sweep", "--every", "5"]
        url = f"http://{self.targets['clipqueue-sweep'][0]}/livez"
        return self._add("sweep", lambda: command, lambda _: answers(url), env)

    def _add_api(self) -> ManagedProcess:
        port = reserve()
        self.api_url = f"http://127.0.0.1:{port}"
        listen = {"CLIPQUEUE_API_HOST": "127.0.0.1", "CLIPQUEUE_API_PORT": str(port)}
        env = {**self.env, **self._metrics("clipqueue-api"), **listen}
        command = [sys.executable, "-m", "producer", "serve"]
        return self._add("api", lambda: command, lambda _: answers(f"{self.api_url}/healthz"), env)

    def _metrics(self, job: str) -> dict[str, str]:
        port = reserve()
        self.targets.setdefault(job, []).append(f"127.0.0.1:{port}")
        return {"CLIPQUEUE_METRICS_PORT": str(port)}

    def _answer(self, command: dict[str, Any]) -> dict[str, Any] | None:
        is_greeting = next(iter(command)).lower() in ("hello", "ismaster")
        return _NOT_PRIMARY if self.refuses.is_set() and not is_greeting else None


class Load:
    """Enqueues images and asks queries from its own threads, until the block ends.

    Of a hundred images, half are on each host; two do not exist, and the host of one answers 503.

    Args:
        fleet: Where to.
        rate: Jobs per second.
    """

    def __init__(self, fleet: Fleet, rate: float) -> None:
        self._fleet = fleet
        self._pause_s = 1 / rate
        self._numbers = count()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._enqueue, self._ask)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _enqueue(self) -> None:
        while not self._stopped.wait(self._pause_s):
            number = next(self._numbers)
            with suppress(ClipqueueError):
                self._fleet.client.enqueue(f"load-{number}", self._url(number))

    def _url(self, number: int) -> str:
        host = self._fleet.other_url if number % 2 else self._fleet.images_url
        route = {10: "gone", 50: "gone", 90: "broken"}.get(number % 100, str(number % COUNT))
        return f"{host}/{route}/{number}.jpg"

    def _ask(self) -> None:
        """Ask the API, which asks the workers: it is what users of a search do."""
        for number in count():
            if self._stopped.wait(0.5):
                return
            text = f"{_TEXTS[number % len(_TEXTS)]} {number}"
            answers(f"{self._fleet.api_url}/v1/search?{urlencode({'q': text})}", seconds=5)


def answers(url: str, seconds: float = 1.0) -> bool:
    """Return whether a server answers a request."""
    try:
        with urllib.request.urlopen(url, timeout=seconds):  # noqa: S310
            return True
    except OSError:
        return False


def control(url: str, **settings: object) -> None:
    """Change how an image host answers; see `tests.chaos.image_server`."""
    wait_for(lambda: answers(f"{url}/control?{urlencode(settings)}"), "the image host to take its orders")
