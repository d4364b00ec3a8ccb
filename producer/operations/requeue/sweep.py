"""Enqueues again the jobs that Redis may have lost: one sweep over a collection.

The documents that sweeps have seen or enqueued are stored on Redis in a sorted set, scored by milliseconds of Redis'
own clock, so that all sweepers agree. If Redis loses the set, the documents count as unseen.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from redis.exceptions import LockError

from producer.client.queue import chunked, count_unfinished, push
from producer.contract.errors import BrokerUnavailable, ClipqueueError, ConfigurationError, StoreUnavailable
from producer.contract.job import now_ms
from producer.operations.requeue.due import SweepPlan, seen_key
from producer.operations.requeue.parts import projection
from producer.operations.requeue.selection import FINISHED
from producer.operations.workers import check_same_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis
    from redis.lock import Lock

    from producer.client.broker import Broker
    from producer.contract.job import ImageJob
    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments

_KEY = "clipqueue:sweep:"
# Must be longer than one chunk takes. The lock of a killed sweep expires after this time.
_LOCK_S = 60
_KEEP_MS = 24 * 3600 * 1000
_FULL_PAUSE_S = 2.0


@dataclass(frozen=True)
class SweepOptions:
    """How to sweep.

    Attributes:
        age_s: Seconds that a document must have waited for a vector, and minimum seconds between two enqueues of it.
        max_queued: Nothing is enqueued while this many jobs wait or are in flight.
        url_field: The field of the URL in a document without a recorded job.
    """

    age_s: float
    max_queued: int
    url_field: str


@dataclass(frozen=True)
class SweepResult:
    """The result of one sweep.

    Attributes:
        queued: Number of jobs that were enqueued again.
        not_due: Number of documents that have not waited long enough for a vector.
        unusable: Number of documents whose id or URL is not valid.
        problems: The problems of those unusable documents that no sweep has seen before.
        is_full: The queue was full before all documents were read.
    """

    queued: int = 0
    not_due: int = 0
    unusable: int = 0
    problems: tuple[str, ...] = ()
    is_full: bool = False

    def __add__(self, other: SweepResult) -> SweepResult:
        return SweepResult(
            self.queued + other.queued,
            self.not_due + other.not_due,
            self.unusable + other.unusable,
            self.problems + other.problems,
            self.is_full or other.is_full,
        )


class Sweeper:
    """Sweeps one collection."""

    def __init__(self, broker: Broker, documents: ImageDocuments, options: SweepOptions) -> None:
        self._broker = broker
        self._documents = documents
        self._options = options
        self._key = f"{_KEY}{documents.database}.{documents.name}"

    def sweep(self) -> SweepResult | None:
        """Sweep once; return None if another sweep of the collection is running.

        Raises:
            ConfigurationError: All live workers write to another collection.
            BrokerUnavailable: Redis could not be reached.
            StoreUnavailable: MongoDB could not be reached.
        """
        check_same_collection(self._broker, self._documents)
        with self._broker.commands("failed during the sweep") as redis:
            lock = redis.lock(f"{self._key}:lock", timeout=_LOCK_S)
            if not lock.acquire(blocking=False):
                return None
            try:
                return self._sweep(redis, lock)
            finally:
                with contextlib.suppress(LockError):  # it has expired, and another sweep may hold it
                    lock.release()

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
            try:
                result = self.sweep()
                report(result)
                outage = None
                if result and result.is_full and result.queued:  # the rest of the lost jobs must not wait long
                    pause_s = min(every_s, _FULL_PAUSE_S)
            except (BrokerUnavailable, StoreUnavailable, ConfigurationError) as exc:
                if type(exc) is not outage:
                    report_outage(exc)
                outage = type(exc)
            time.sleep(pause_s)

    def _sweep(self, redis: Redis, lock: Lock) -> SweepResult:
        result, read_ms = SweepResult(), now_ms()
        self._delete_expired(redis)
        capacity = self._options.max_queued - count_unfinished(redis)
        if capacity <= 0:
            return SweepResult(is_full=True)
        for documents in chunked(self._candidates()):
            lock.reacquire()
            result += self._sweep_chunk(redis, documents, capacity - result.queued, read_ms)
            if result.is_full:
                break
        return result

    def _candidates(self) -> Iterator[Document]:
        """Yield the documents without a result, recorded jobs first; an index on the status serves both queries."""
        url_field = self._options.url_field
        fields = projection(url_field)
        unrecorded = {"embedding_job.status": {"$nin": [*FINISHED, "pending"]}}
        return chain(
            self._documents.stream({"embedding_job.status": "pending"}, fields),
            self._documents.stream({"$and": [unrecorded, {url_field: {"$type": "string"}}]}, fields),
        )

    def _sweep_chunk(self, redis: Redis, documents: list[Document], capacity: int, read_ms: int) -> SweepResult:
        at_ms = _time_ms(redis)
        seen: Any = redis.zmscore(self._key, [seen_key(document) for document in documents])
        plan = SweepPlan(self._options.url_field, int(self._options.age_s * 1e3), at_ms, read_ms)
        for document, seen_ms in zip(documents, seen, strict=True):
            plan.add(document, seen_ms)
        due = plan.due[:capacity]
        self._enqueue(redis, due, plan.newly_seen, at_ms)
        return SweepResult(len(due), plan.not_due, plan.unusable, tuple(plan.problems), len(plan.due) >= capacity)

    def _enqueue(self, redis: Redis, due: list[tuple[str, ImageJob]], newly_seen: list[str], at_ms: int) -> None:
        with redis.pipeline() as pipeline:
            if newly_seen:
                pipeline.zadd(self._key, dict.fromkeys(newly_seen, at_ms), nx=True)
            if due:
                pipeline.zadd(self._key, {key: at_ms for key, _ in due})
                push(pipeline, [job for _, job in due])
            pipeline.execute()

    def _delete_expired(self, redis: Redis) -> None:
        keep_ms = max(_KEEP_MS, 10 * self._options.age_s * 1e3)
        redis.zremrangebyscore(self._key, 0, _time_ms(redis) - keep_ms)


def _time_ms(redis: Redis) -> int:
    now: Any = redis.time()
    return int(now[0]) * 1000 + int(now[1]) // 1000
