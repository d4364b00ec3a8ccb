"""Enqueueing many images, against Celery's producer and against Redis alone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis
from celery import Celery

from producer.client.client import EmbeddingClient
from producer.contract.names import IMAGE_QUEUE, IMAGE_TASK
from tests.bench.rows import Target, in_turn, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_JOBS = 50_000
# Celery's loop runs with fewer jobs, because all of them would take a minute. All results are in jobs/s.
_LOOPED = 5_000
_CHUNK = 500
_ROUNDS = 5
_URL = "https://cdn.example.com/images/{}.jpg"


def rows(bench: Bench) -> Iterator[Row]:
    """Measure jobs/s into a Redis database without a worker."""
    url = bench.stack.redis_url.removesuffix("0") + "9"
    with redis.Redis.from_url(url) as server, EmbeddingClient(url) as client:

        def many() -> None:
            client.enqueue_many((f"img-{number}", _URL.format(number)) for number in range(_JOBS))

        def send_task() -> None:
            for number in range(_LOOPED):
                kwargs = {"image_id": f"img-{number}", "url": _URL.format(number)}
                celery.send_task(IMAGE_TASK, kwargs=kwargs, queue=IMAGE_QUEUE)

        def push() -> None:
            for start in range(0, _JOBS, _CHUNK):
                with server.pipeline(transaction=False) as pipe:
                    for message in messages[start : start + _CHUNK]:
                        pipe.lpush(IMAGE_QUEUE, message)
                    pipe.execute()

        celery = Celery(broker=url, set_as_current=False)
        many()
        messages = server.lrange(IMAGE_QUEUE, 0, -1)
        pairs = in_turn(_ROUNDS, _rate(server, many, _JOBS), _rate(server, send_task, _LOOPED))
        yield row("enqueue_many of 50,000 / a loop of Celery's send_task", "jobs/s", pairs, Target(least=20))
        pairs = in_turn(_ROUNDS, _rate(server, many, _JOBS), _rate(server, push, _JOBS))
        yield row("enqueue_many of 50,000 / pipelined LPUSH of ready bytes", "jobs/s", pairs, Target(least=0.10))
        server.flushdb()


def _rate(server: redis.Redis, run: Callable[[], None], jobs: int) -> Callable[[], float]:
    def per_s() -> float:
        server.flushdb()
        start = time.perf_counter()
        run()
        return jobs / (time.perf_counter() - start)

    return per_s
