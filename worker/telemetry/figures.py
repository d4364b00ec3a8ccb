"""Counts what a worker process has done since its start. The metrics and the heartbeat read the same figures.

These are plain numbers behind one lock, since each costs every job a fraction of a microsecond. prometheus_client's own
counters and histograms have a lock each, which took three times as long.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Literal

from producer.contract.job import now_ms
from worker.errors import JobError, Requeue
from worker.telemetry.labels import REASONS, code_of, reason_of
from worker.telemetry.never_raises import never_raises

if TYPE_CHECKING:
    from worker.telemetry.job_end import JobEnd

QueryKind = Literal["text", "image", "unknown"]
QueryOutcome = Literal["answered", "failed", "late"]

_STORE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# Upper bounds of the buckets, in seconds. Each ends near the stage's default timeout.
_STAGES_S = {
    "check": _STORE_S,
    "fetch": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
    "decode": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 12),
    "encode": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 12),
    "save": _STORE_S,
}
# A queue may be empty or hold the work of a day.
_WAITS_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400)
_QUERY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# A job that seems older has the time of something else, such as seconds instead of milliseconds. One such job would
# spoil every average.
_MAX_AGE_S = 30 * 86_400


class Histogram:
    """Counts values in buckets.

    Args:
        bounds: The upper bounds of the buckets but the last one, rising.

    Attributes:
        counts: How many values each bucket has; a value on a bound is in the lower bucket.
        sum: Of all values.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Figures:
    """The figures of one process. Hold `lock` to read them; all methods are thread-safe, and none raises.

    Attributes:
        outcomes: Ends of attempts by their outcome.
        failures: Final failures by code and stage.
        retries: The same of attempts that are followed by another.
        requeues: By reason.
        stages: The durations of each stage in seconds, also of those that failed.
        queue_wait: The seconds from a job's enqueue until its first attempt is taken, of those that were not requeued.
        latency: The seconds from a job's enqueue to its vector.
        batch_sizes: The images of each forward pass that gave vectors.
        model_busy_s: The seconds of all forward passes with images, also of those that failed.
        fetched_bytes: The bytes of bodies that were downloaded, also of those that were refused.
        queries: By kind and outcome.
        query_durations: The seconds from the taking of a query to its end, by kind.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.outcomes = Counter[str](dict.fromkeys(("done", "skipped", "failed", "retried", "requeued"), 0))
        self.failures, self.retries = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        self.requeues = Counter[str](dict.fromkeys(REASONS.values(), 0))
        self.stages = {stage: Histogram(bounds) for stage, bounds in _STAGES_S.items()}
        self.queue_wait, self.latency = Histogram(_WAITS_S), Histogram(_WAITS_S)
        self.batch_sizes = Histogram(_BATCH_SIZES)
        self.model_busy_s = 0.0
        self.fetched_bytes = 0
        kinds, ends = ("text", "image"), ("answered", "failed", "late")
        self.queries = Counter[tuple[str, str]]({(kind, end): 0 for kind in kinds for end in ends})
        self.query_durations = {kind: Histogram(_QUERY_S) for kind in kinds}

    @never_raises
    def job_ended(self, end: JobEnd) -> None:
        """Count the end of an attempt."""
        with self.lock:
            self.outcomes[end.outcome] += 1
            for stage, seconds in end.times.seconds.items():
                self.stages[stage].add(seconds)
            if end.outcome == "done":
                _add_age(self.latency, end.enqueued_at_ms, now_ms())
            if isinstance(end.error, Requeue):
                self.requeues[reason_of(end.error)] += 1
                return
            if end.attempts == 1:
                _add_age(self.queue_wait, end.enqueued_at_ms, end.taken_at_ms)
            if isinstance(end.error, JobError):
                errors = self.retries if end.outcome == "retried" else self.failures
                errors[code_of(end.error), end.error.stage] += 1

    @never_raises
    def model_called(self, images: int, seconds: float) -> None:
        """Count a forward pass, of 0 images if it failed."""
        with self.lock:
            self.model_busy_s += seconds
            if images:
                self.batch_sizes.add(images)

    @never_raises
    def fetched(self, size: int) -> None:
        """Count the bytes of a body."""
        with self.lock:
            self.fetched_bytes += size

    @never_raises
    def query_ended(self, kind: QueryKind, outcome: QueryOutcome, seconds: float = 0.0) -> None:
        """Count a query. The kind of one whose text is gone is unknown, and its duration is not counted."""
        with self.lock:
            self.queries[kind, outcome] += 1
            if durations := self.query_durations.get(kind):
                durations.add(seconds)


def _add_age(histogram: Histogram, from_ms: int, to_ms: int) -> None:
    """Add the seconds between two clocks, which may differ a little."""
    seconds = max(0, to_ms - from_ms) / 1e3
    if seconds <= _MAX_AGE_S:
        histogram.add(seconds)
