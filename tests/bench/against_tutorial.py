"""A worker against the one that a tutorial leads to: `tests.bench.tutorial`."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from celery import Celery

from tests.bench.rows import Target, in_turn, row
from tests.bench.tutorial import QUEUE, TASK
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_SIZE = (640, 480)
_OURS, _THEIRS = 480, 160
_ROUNDS = 3


def rows(bench: Bench) -> Iterator[Row]:
    """Measure images/s of one worker against the tutorial's worker. Both use all CPUs."""
    url = bench.photos_at(_SIZE)
    celery = Celery(broker=bench.stack.redis_url, set_as_current=False)
    with bench.worker(bench.model), _tutorial(bench, celery):

        def theirs() -> float:
            return _THEIRS / bench.run(QUEUE, _THEIRS, partial(_send, celery, url))

        bench.run_jobs(url, 100)
        theirs()
        pairs = in_turn(_ROUNDS, lambda: _OURS / bench.run_jobs(url, _OURS), theirs)
    yield row("640x480 JPEGs end to end / a tutorial's worker", "images/s", pairs, Target(least=2.5))


def _send(celery: Celery, url: str, run: str) -> None:
    for number in range(_THEIRS):
        kwargs = {"image_id": f"{run}-{number}", "url": f"{url}/{number}/photo.jpg"}
        celery.send_task(TASK, kwargs=kwargs, queue=QUEUE)


@contextmanager
def _tutorial(bench: Bench, celery: Celery) -> Iterator[None]:
    node = f"tutorial@{socket.gethostname()}"
    command = [sys.executable, "-m", "celery", "-A", "tests.bench.tutorial", "worker", "-n", node]
    count = len(os.sched_getaffinity(0))
    process = bench.stack.start(
        "tutorial",
        [*command, "--pool", "prefork", "--concurrency", str(count)],
        env={**bench.stack.environment(), **bench.model},
    )
    wait_for(lambda: celery.control.ping(destination=[node], timeout=0.5), "the tutorial's worker to answer", 120)
    try:
        yield
    finally:
        bench.stack.stop_one(process)
