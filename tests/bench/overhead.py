"""The overhead of Celery and Redis, with a model small enough to show it; and the gain of a second worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.cli.model import SMALL_MODEL
from tests.bench.lines import Lines
from tests.bench.rows import in_turn, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_SIZE = (224, 224)
_IMAGES = 1_500
_ROUNDS = 3
# All images come from one host here.
_ONE_HOST = {"CLIPQUEUE_FETCH_PER_HOST": "64", "CLIPQUEUE_LOG_LEVEL": "WARNING"}


def rows(bench: Bench) -> Iterator[Row]:
    """Measure jobs/s of one worker against its pipeline alone, and of two workers against one."""
    url = bench.photos_at(_SIZE)
    settings = {**SMALL_MODEL, **_ONE_HOST}

    def worker() -> float:
        return _IMAGES / bench.run_jobs(url, _IMAGES)

    with (
        bench.worker(settings),
        Lines("tests.bench.bare_pipeline", {**bench.stack.environment(), **settings}) as bare,
    ):

        def alone() -> float:
            seconds: float = bare.ask(f"{url} {_IMAGES}")["wall_s"]
            return _IMAGES / seconds

        worker()
        alone()
        pairs = in_turn(_ROUNDS, worker, alone)
    yield row("a worker with the small model / its pipeline without Celery and Redis", "jobs/s", pairs)
    pairs = []
    for _ in range(_ROUNDS):
        with bench.worker(settings):
            worker()
            one = worker()
            with bench.worker(settings, "second"):
                worker()
                pairs.append((worker(), one))
    yield row("two worker processes / one, with the small model", "jobs/s", pairs)
