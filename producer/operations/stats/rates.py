"""How quickly the workers work: from two heartbeats of each, or its average since it started."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from producer.operations.stats.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from producer.contract.fields import WorkerHeartbeat
    from producer.operations.stats.reading import Reading

# Two heartbeats of a worker, the later one second. Without an earlier one, the worker's start counts.
Pair = tuple["WorkerHeartbeat | None", "WorkerHeartbeat"]
_MAX_SIZE = 1_000_000


@dataclass(frozen=True)
class Rates:
    """What some workers do together.

    Attributes:
        is_recent: The rates are those between two heartbeats of each worker, and not averages since they started.
        span_s: The longest time between two heartbeats, or since a worker's start. All counts are of this time.
        workers: How many workers tell what they have done. Those of earlier versions do not.
        sums: What they did in this time.
        done: Jobs a second that got a vector.
        skipped: Jobs a second that needed none any more.
        failed: Jobs a second that failed finally.
        retried: Attempts a second that failed, and are made again later.
        requeued: Jobs a second that were put back on the queue.
        queries: Queries a second.
        fetched_bytes: Bytes a second.
        cpus: Processors in use.
        latency_s: Mean seconds from a job's enqueue to its vector; None if no job ended so.
        stages_s: Mean seconds of each stage; a stage that did not run is missing.
        batch_images: Mean number of images in a batch; None if there was none.
        batch_fill: The same as a part of the largest batches, from 0 to 1; None if unknown.
        model_busy: The part of the time in which the models computed, from 0 to 1; None if unknown.
        errors: Number of failed and retried attempts by code, of `span_s`. Codes without any are missing.
    """

    is_recent: bool = False
    span_s: float = 0.0
    workers: int = 0
    sums: Sums = field(default_factory=Sums)
    done: float = 0.0
    skipped: float = 0.0
    failed: float = 0.0
    retried: float = 0.0
    requeued: float = 0.0
    queries: float = 0.0
    fetched_bytes: float = 0.0
    cpus: float = 0.0
    latency_s: float | None = None
    stages_s: Mapping[str, float] = field(default_factory=dict)
    batch_images: float | None = None
    batch_fill: float | None = None
    model_busy: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> float:
        """Jobs a second that need no worker any more."""
        return self.done + self.skipped + self.failed

    def eta_s(self, reading: Reading) -> float | None:
        """Return the seconds until no job waits or is in flight, if nobody enqueues more; None if that is unknown.

        Averages since the workers' start tell nothing about it: they may have had nothing to do.
        """
        left = reading.waiting + reading.in_flight
        if not left:
            return 0.0
        return left / self.ended if self.is_recent and self.ended else None

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Rates:
        """Return what the workers of these heartbeats do together."""
        spans = [span for span in map(_Span.of, pairs) if span]
        total = reduce(Sums.plus, (span.sums for span in spans), Sums())
        means = {stage: times.mean_s for stage, times in total.stages.items()}
        return cls(
            is_recent=bool(spans) and all(span.is_recent for span in spans),
            span_s=max((span.seconds for span in spans), default=0.0),
            workers=len(spans),
            sums=total,
            **{name: sum((getattr(span.sums, name) / span.seconds for span in spans), 0.0) for name in _RATES},
            cpus=sum((span.sums.cpu_s / span.seconds for span in spans), 0.0),
            latency_s=total.latency.mean_s,
            stages_s={stage: mean_s for stage, mean_s in means.items() if mean_s is not None},
            batch_images=total.images / total.batches if total.batches else None,
            batch_fill=_share((span.sums.images, span.sums.batches * span.batch_size) for span in spans),
            model_busy=_share((span.sums.model_busy_s, span.seconds * span.model_threads) for span in spans),
            errors={code: round(count) for code, count in total.errors.items() if count},
        )


_RATES = ("done", "skipped", "failed", "retried", "requeued", "queries", "fetched_bytes")


def _share(parts: Iterable[tuple[float, float]]) -> float | None:
    """Return the sum of some parts divided by that of their wholes, at most 1. A whole of 0 is unknown."""
    known = [(part, whole) for part, whole in parts if whole]
    return min(sum(part for part, _ in known) / sum(whole for _, whole in known), 1.0) if known else None


@dataclass(frozen=True)
class _Span:
    """What one worker did in some time."""

    is_recent: bool
    seconds: float
    sums: Sums
    batch_size: int
    model_threads: int

    @classmethod
    def of(cls, pair: Pair) -> _Span | None:
        before, after = pair
        sums, earlier = Sums.of(after), Sums.of(before) if before else Sums()
        if sums is None or earlier is None:
            return None
        since_ms = before["at"] if before else after["started_at"]
        seconds = (after["at"] - since_ms) / 1e3
        if seconds <= 0:
            return None
        sizes = (min(max(size, 0), _MAX_SIZE) for size in (after.get("batch_size", 0), after.get("model_threads", 0)))
        return cls(before is not None, seconds, sums.since(earlier), *sizes)


class History:
    """Remembers the last two heartbeats of each live worker, and the last two readings.

    Workers write a heartbeat every ten seconds, so a reading may have the same ones as the reading before it.
    """

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, int], Pair] = {}
        self._readings: tuple[Reading | None, Reading | None] = (None, None)

    def add(self, reading: Reading) -> Rates:
        """Note a reading, and return what all workers that consume or answer do together."""
        self._pairs = dict(self._pair(heartbeat) for heartbeat in reading.heartbeats)
        self._readings = (self._readings[1], reading)
        return Rates.of(self._pairs.values())

    @property
    def growth(self) -> float | None:
        """How many jobs more there are each second, by the last two readings; None after the first."""
        earlier, latest = self._readings
        if not earlier or not latest or latest.at_s <= earlier.at_s:
            return None
        return (latest.jobs - earlier.jobs) / (latest.at_s - earlier.at_s)

    def _pair(self, heartbeat: WorkerHeartbeat) -> tuple[tuple[str, int], Pair]:
        # A node that has started again is another worker, whose sums begin at 0.
        key = (heartbeat["node"], heartbeat["started_at"])
        before, latest = self._pairs.get(key, (None, heartbeat))
        if latest["at"] == heartbeat["at"]:
            return key, (before, heartbeat)
        return key, (latest if latest["at"] < heartbeat["at"] else None, heartbeat)  # its clock may be set back
