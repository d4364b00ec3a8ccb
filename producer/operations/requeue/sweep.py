"""Enqueues again the jobs that Redis may have lost: one sweep over a collection.

The documents that sweeps have seen or enqueued are stored on Redis in a sorted set, scored by milliseconds of Redis'
own clock, so that all sweepers agree. If Redis loses the set, the documents count as unseen. How far a sweep has read
is stored too: after a failure, the next one continues there, so that a slow collection is read to its end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.client.queue import count_jobs, push
from producer.contract.errors import BrokerUnavailable, ClipqueueError, ConfigurationError, StoreUnavailable
from producer.contract.job import now_ms
from producer.contract.names import SWEEPS
from producer.operations.delayed import DelayedTasks
from producer.operations.requeue.due import SweepPlan, seen_key
from producer.operations.requeue.lock import SweepLockLost, hold_lock
from producer.operations.requeue.parts import ODD, PENDING, UNRECORDED, Part, projection
from producer.operations.requeue.progress import Progress
from producer.operations.requeue.selection import RECORDED_URL
from producer.operations.requeue.sweep_record import SweepRecord
from producer.operations.workers import check_same_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from producer.client.broker import Broker
    from producer.contract.job import ImageJob
    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments

_KEY = "clipqueue:sweep:"
_LOCK_S = 60.0
_KEEP_MS = 24 * 3600 * 1000
_FULL_PAUSE_S = 2.0


@dataclass(frozen=True)
class SweepOptions:
    """How to sweep.

    Attributes:
        age_s: Seconds that a document must have waited for a vector, and minimum seconds between two enqueues of it.
        max_queued: Nothing is enqueued while this many jobs wait or are in flight, or ten times as many are delayed.
        adopt_field: Also enqueue the documents without a recorded job, with the URL in this field; None for no others.
    """

    age_s: float
    max_queued: int
    adopt_field: str | None = None


@dataclass(frozen=True)
class SweepResult:
    """The result of one sweep.

    Attributes:
        queued: Number of jobs that were enqueued again.
        not_due: Number of documents that have not waited long enough for a vector.
        delayed: Number of documents whose job is not lost, but waits for its next attempt.
        unusable: Number of documents whose id or URL is not valid.
        problems: The problems of those unusable documents that no sweep has seen before.
        is_full: The queue was full before all documents were read.
        slowest_s: Seconds that MongoDB needed for the slowest page.
    """

    queued: int = 0
    not_due: int = 0
    delayed: int = 0
    unusable: int = 0
    problems: tuple[str, ...] = ()
    is_full: bool = False
    slowest_s: float = field(default=0.0, compare=False)

    def __add__(self, other: SweepResult) -> SweepResult:
        return SweepResult(
            self.queued + other.queued,
            self.not_due + other.not_due,
            self.delayed + other.delayed,
            self.unusable + other.unusable,
            self.problems + other.problems,
            self.is_full or other.is_full,
            max(self.slowest_s, other.slowest_s),
        )


class Sweeper:
    """Sweeps one collection.

    Args:
        broker: The Redis of the queue.
        documents: The collection.
        options: How to sweep.
        lock_s: Seconds until the lock of a killed sweep expires.
        clock: Seconds; measures how long MongoDB takes.

    Attributes:
        record: What the sweeps have done.
    """

    def __init__(
        self,
        broker: Broker,
        documents: ImageDocuments,
        options: SweepOptions,
        lock_s: float = _LOCK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._documents = documents
        self._options = options
        self._url_field = options.adopt_field or RECORDED_URL
        self._lock_s = lock_s
        self._clock = clock
        self.record = SweepRecord()
        self._key = f"{_KEY}{documents.database}.{documents.name}"
        self._progress_key = f"{self._key}:progress"

    def sweep(self) -> SweepResult | None:
        """Sweep once, from where an earlier sweep stopped; return None if another sweep of the collection is running.

        Raises:
            ConfigurationError: All live workers write to another collection.
            SweepLockLost: The lock was lost, so another sweep may be running.
            BrokerUnavailable: Redis could not be reached.
            StoreUnavailable: MongoDB could not be reached, or did not answer in time.
        """
        check_same_collection(self._broker, self._documents)
        with hold_lock(self._broker, f"{self._key}:lock", self._lock_s) as renew:
            if renew is None:
                return None
            with self._broker.commands("failed during the sweep") as redis:
                return self._sweep(redis, renew)

    def sweep_forever(
        self,
        every_s: float,
        report: Callable[[SweepResult | None], object],
        report_outage: Callable[[ClipqueueError], object],
    ) -> None:
        """Sweep again and again with a pause of `every_s` seconds; a full queue shortens it.

        Args:
            every_s: Seconds between two sweeps.
            report: Called with each result of `sweep`.
            report_outage: Called once for each outage or wrong configuration; the sweeps continue.
        """
        outage: type[ClipqueueError] | None = None
        while True:
            pause_s = every_s
            self.record.step()
            try:
                result = self.sweep()
                self.record.succeeded(result)
                report(result)
                outage = None
                if result and result.is_full and result.queued:  # the rest of the lost jobs must not wait long
                    pause_s = min(every_s, _FULL_PAUSE_S)
            except (BrokerUnavailable, StoreUnavailable, ConfigurationError, SweepLockLost) as exc:
                self.record.failed(exc)
                if type(exc) is not outage:
                    report_outage(exc)
                outage = type(exc)
            self.record.pause(pause_s)
            time.sleep(pause_s)

    def _sweep(self, redis: Redis, renew: Callable[[], None]) -> SweepResult:
        result = SweepResult()
        self._delete_expired(redis)
        capacity = count_jobs(redis).room(self._options.max_queued)
        if not capacity:
            return SweepResult(is_full=True)
        delayed = DelayedTasks(redis)
        for part, documents, read_ms, seconds in self._pages(redis):
            self.record.step()
            renew()
            progress = Progress(part.name, documents[-1]["_id"])
            plan = self._plan(redis, documents, read_ms)
            page = self._enqueue_lost(redis, plan, delayed, capacity - result.queued, progress)
            result += page + SweepResult(slowest_s=seconds)
            if result.is_full:
                return result
        redis.delete(self._progress_key)
        return result

    def _pages(self, redis: Redis) -> Iterator[tuple[Part, list[Document], int, float]]:
        """Yield the pages of documents without a result, the time before each was read, and the seconds that took."""
        stored: Any = redis.get(self._progress_key)
        progress, parts = Progress.from_json(stored), list(self._parts())
        if progress.part > parts[-1].name:  # an earlier sweep adopted documents, and this one does not
            progress = Progress()
        for part in parts:
            if part.name < progress.part:
                continue
            after = progress.after if part.name == progress.part else None
            pages = self._documents.pages(part.query, part.fields, after)
            while True:
                read_ms, started_at = now_ms(), self._clock()
                if (documents := next(pages, None)) is None:
                    break
                yield part, documents, read_ms, self._clock() - started_at

    def _parts(self) -> Iterator[Part]:
        """Yield the parts to read, recorded jobs first."""
        fields, has_url = projection(self._url_field), {self._url_field: {"$type": "string"}}
        yield Part("1 pending", PENDING, fields)
        if self._options.adopt_field:
            yield Part("2 unrecorded", {**UNRECORDED, **has_url}, fields)
            yield Part("3 odd", {**ODD, **has_url}, fields)

    def _plan(self, redis: Redis, documents: list[Document], read_ms: int) -> SweepPlan:
        seen: Any = redis.zmscore(self._key, [seen_key(document) for document in documents])
        plan = SweepPlan(self._url_field, int(self._options.age_s * 1e3), _time_ms(redis), read_ms)
        for document, seen_ms in zip(documents, seen, strict=True):
            plan.add(document, seen_ms)
        return plan

    def _enqueue_lost(
        self, redis: Redis, plan: SweepPlan, delayed: DelayedTasks, capacity: int, progress: Progress
    ) -> SweepResult:
        waiting = [key for key, job in plan.due if job.task_id in delayed]
        lost = [(key, job) for key, job in plan.due if job.task_id not in delayed]
        due, is_full = lost[:capacity], len(lost) >= capacity
        # The rest of the page is still due: the next sweep reads the page again.
        self._store(redis, plan, waiting, due, None if is_full else progress)
        return SweepResult(len(due), plan.not_due, len(waiting), plan.unusable, tuple(plan.problems), is_full)

    def _store(
        self,
        redis: Redis,
        plan: SweepPlan,
        waiting: list[str],
        due: list[tuple[str, ImageJob]],
        progress: Progress | None,
    ) -> None:
        with redis.pipeline() as pipeline:
            if plan.newly_seen:
                pipeline.zadd(self._key, dict.fromkeys(plan.newly_seen, plan.now_ms), nx=True)
            if handled := [*waiting, *(key for key, _ in due)]:
                pipeline.zadd(self._key, dict.fromkeys(handled, plan.now_ms))
            if due:
                push(pipeline, [job for _, job in due])
            if progress:
                pipeline.set(self._progress_key, progress.to_json(), px=_KEEP_MS)
            pipeline.sadd(SWEEPS, self._key, self._progress_key)
            pipeline.execute()

    def _delete_expired(self, redis: Redis) -> None:
        keep_ms = max(_KEEP_MS, 10 * self._options.age_s * 1e3)
        redis.zremrangebyscore(self._key, 0, _time_ms(redis) - keep_ms)


def _time_ms(redis: Redis) -> int:
    now: Any = redis.time()
    return int(now[0]) * 1000 + int(now[1]) // 1000
