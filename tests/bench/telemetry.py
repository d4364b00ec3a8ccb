"""What a job's metrics and stage times cost: all calls of one job that is done, without its work and its log line."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from tests.bench.rows import Target, in_turn, row
from worker.telemetry.figures import Figures
from worker.telemetry.job_end import Attempt
from worker.telemetry.job_log import JobLog
from worker.telemetry.readings import Readings
from worker.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_JOBS = 20_000
_ROUNDS = 9
_STAGES = ("check", "fetch", "decode", "encode", "save")
# Processor time of one job, in microseconds.
_LIMIT_US = 30.0
_URL = "http://127.0.0.1/photo.jpg"


def rows(_: Bench) -> Iterator[Row]:
    """Measure the calls of a job against what they may cost; without them, the same loop is taken off."""
    facts: Any = {}
    figures = Figures()
    telemetry = Telemetry(figures, Readings(int, int, list, int, bool), facts, JobLog())

    def told() -> float:
        start = time.process_time()
        for number in range(_JOBS):
            attempt = Attempt(image_id=str(number), url=_URL, task_id="t", enqueued_at_ms=number, attempts=1)
            for stage in _STAGES:
                with attempt.times.stage(stage):
                    pass
            figures.fetched(number)
            figures.model_called(1, 0.1)  # as if each job had a batch of its own
            telemetry.job_ended(attempt.end("done", batch_size=1, verdict="needed"))
        return _us_each(start)

    def untold() -> float:
        start = time.process_time()
        for number in range(_JOBS):
            for _stage in _STAGES:
                str(number)
        return _us_each(start)

    logger = logging.getLogger("worker.telemetry")
    logger.setLevel(logging.WARNING)
    told()
    pairs = in_turn(_ROUNDS, told, untold)
    logger.setLevel(logging.NOTSET)
    costs = [(with_us - without_us, _LIMIT_US) for with_us, without_us in pairs]
    yield row("a job's metrics and stage times / the limit", "µs of CPU", costs, Target(most=1.0))


def _us_each(start: float) -> float:
    return (time.process_time() - start) / _JOBS * 1e6
