"""Queues again what is owed a vector and may have been lost by Redis: one sweep over the collection.

What sweeps saw and queued stands on Redis in one sorted set, by milliseconds of Redis' own clock, so that several
sweepers and their successors agree. If that is lost too, documents are just seen anew.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from redis.exceptions import LockError

from producer.client.queue import chunked, push, queued
from producer.contract.job import now_ms
from producer.operations.requeue.due import Judgement, member_of
from producer.operations.requeue.selection import ENDED, fields_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from redis.lock import Lock

    from producer.client.broker import Broker
    from producer.contract.job import ImageJob
    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments

_KEY = "clipqueue:sweep:"
# Longer than one chunk can take; after it a sweep that was killed no longer keeps others out.
_LOCK_S = 60
_KEEP_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class SweepOptions:
    """How to sweep.

    Attributes:
        age_s: Seconds that a document must have been owed a vector, and must lie between two times it is queued.
        max_queued: At this many jobs waiting and in flight nothing is queued.
        url_field: Where a document without a recorded job has its URL.
    """

    age_s: float
    max_queued: int
    url_field: str


@dataclass(frozen=True)
class Swept:
    """What one sweep did.

    Attributes:
        queued: Jobs that were queued again.
        not_due: Documents that are owed a vector, but not for long enough.
        unusable: Documents whose id or URL no worker could use.
        complaints: What is wrong with those of them that no sweep has seen before.
        is_full: The queue was full before all documents were seen.
    """

    queued: int = 0
    not_due: int = 0
    unusable: int = 0
    complaints: tuple[str, ...] = ()
    is_full: bool = False

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            self.queued + other.queued,
            self.not_due + other.not_due,
            self.unusable + other.unusable,
            self.complaints + other.complaints,
            self.is_full or other.is_full,
        )


class Sweeper:
    """Sweeps one collection."""

    def __init__(self, broker: Broker, documents: ImageDocuments, options: SweepOptions) -> None:
        self._broker = broker
        self._documents = documents
        self._options = options
        self._key = f"{_KEY}{documents.database}.{documents.name}"

    def sweep(self) -> Swept | None:
        """Sweep once; return None if another sweep of the collection is running.

        Raises:
            BrokerUnavailable: Redis did not answer.
            StoreUnavailable: MongoDB did not answer.
        """
        with self._broker.commands("did not answer the sweep") as redis:
            lock = redis.lock(f"{self._key}:lock", timeout=_LOCK_S)
            if not lock.acquire(blocking=False):
                return None
            try:
                return self._sweep(redis, lock)
            finally:
                with contextlib.suppress(LockError):  # it expired, and may be another's by now
                    lock.release()

    def _sweep(self, redis: Redis, lock: Lock) -> Swept:
        swept, read_ms = Swept(), now_ms()
        self._forget_old(redis)
        room = self._options.max_queued - queued(redis)
        if room <= 0:
            return Swept(is_full=True)
        for documents in chunked(self._owed()):
            lock.reacquire()
            swept += self._sweep_chunk(redis, documents, room - swept.queued, read_ms)
            if swept.is_full:
                break
        return swept

    def _owed(self) -> Iterator[Document]:
        """Yield documents that are owed a vector, recorded jobs first; an index on the status serves both queries."""
        url_field = self._options.url_field
        fields = fields_to_read(url_field)
        unrecorded = {"embedding_job.status": {"$nin": [*ENDED, "pending"]}}
        return chain(
            self._documents.stream({"embedding_job.status": "pending"}, fields),
            self._documents.stream({"$and": [unrecorded, {url_field: {"$type": "string"}}]}, fields),
        )

    def _sweep_chunk(self, redis: Redis, documents: list[Document], room: int, read_ms: int) -> Swept:
        at_ms = _time_ms(redis)
        seen: Any = redis.zmscore(self._key, [member_of(document) for document in documents])
        judged = Judgement(self._options.url_field, int(self._options.age_s * 1e3), at_ms, read_ms)
        for document, seen_ms in zip(documents, seen, strict=True):
            judged.add(document, seen_ms)
        due = judged.due[:room]
        self._queue(redis, due, judged.noticed, at_ms)
        return Swept(len(due), judged.not_due, judged.unusable, tuple(judged.complaints), len(judged.due) >= room)

    def _queue(self, redis: Redis, due: list[tuple[str, ImageJob]], noticed: list[str], at_ms: int) -> None:
        with redis.pipeline() as pipeline:
            if noticed:
                pipeline.zadd(self._key, dict.fromkeys(noticed, at_ms), nx=True)
            if due:
                pipeline.zadd(self._key, {member: at_ms for member, _ in due})
                push(pipeline, [job for _, job in due])
            pipeline.execute()

    def _forget_old(self, redis: Redis) -> None:
        keep_ms = max(_KEEP_MS, 10 * self._options.age_s * 1e3)
        redis.zremrangebyscore(self._key, 0, _time_ms(redis) - keep_ms)


def _time_ms(redis: Redis) -> int:
    now: Any = redis.time()
    return int(now[0]) * 1000 + int(now[1]) // 1000
