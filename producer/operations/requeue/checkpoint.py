"""Stores the progress of a backfill on Redis, in the same transaction that enqueues the jobs.

So Ctrl-C, SIGKILL or a lost connection neither enqueues a job twice nor skips one. A second run with the same options
claims the checkpoint and resumes; the first run fails at its next transaction and stops.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from producer.client.queue import push
from producer.contract.errors import ClipqueueError
from producer.operations.requeue.progress import Progress, WatchedJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.client.broker import Broker
    from producer.operations.requeue.progress import Batch

_KEY = "clipqueue:backfill:"
_TTL_S = 7 * 24 * 3600
_PAGE = 1000


class CheckpointLost(ClipqueueError):
    """Another run with the same options has claimed the checkpoint, or Redis has lost it."""


class Checkpoint:
    """The checkpoint of a backfill with certain options.

    Every method raises BrokerUnavailable if Redis cannot be reached.

    Args:
        broker: The Redis of the queue.
        options: The options that identify the backfill.
    """

    def __init__(self, broker: Broker, options: Sequence[str | None]) -> None:
        self._broker = broker
        self._key = _KEY + hashlib.sha256(json.dumps(options).encode()).hexdigest()[:32]
        self._jobs_key = f"{self._key}:jobs"
        self._owner = uuid.uuid4().hex

    def claim(self, *, restart: bool) -> Progress:
        """Become the owner of the checkpoint and return its progress; `restart` deletes it first."""
        with self._broker.commands("did not return the backfill's checkpoint") as redis:
            if restart:
                redis.delete(self._key, self._jobs_key)
            with redis.pipeline() as pipe:
                pipe.hset(self._key, "owner", self._owner)
                pipe.expire(self._key, _TTL_S)
                pipe.hget(self._key, "progress")
                return Progress.from_json(pipe.execute()[-1])

    def save(self, progress: Progress, batch: Batch) -> None:
        """Enqueue the batch and store the progress, in one transaction.

        Raises:
            CheckpointLost: Another run owns the checkpoint, or Redis has lost it. Nothing was enqueued.
        """
        with self._broker.commands("did not accept the jobs") as redis, redis.pipeline() as pipe:
            # After WATCH redis-py does not send the transaction again when the connection is lost.
            pipe.watch(self._key)  # type: ignore[no-untyped-call]
            self._check_owner(pipe.hget(self._key, "owner"))
            pipe.multi()
            if batch.jobs:
                push(pipe, batch.jobs)
            if batch.watched:
                pipe.rpush(self._jobs_key, *map(WatchedJob.to_json, batch.watched))
            pipe.hset(self._key, "progress", progress.to_json())
            for key in (self._key, self._jobs_key):
                pipe.expire(key, _TTL_S)
            pipe.execute()

    def watched_jobs(self) -> Iterator[list[WatchedJob]]:
        """Yield the watched jobs in pages, in the order in which they were enqueued."""
        start = 0
        while entries := self._read_page(start):
            yield [WatchedJob.from_json(entry) for entry in entries]
            start += len(entries)

    def count_watched_jobs(self) -> int:
        """Return the number of watched jobs."""
        with self._broker.commands("did not return the watched jobs") as redis:
            count: Any = redis.llen(self._jobs_key)
        return int(count)

    def check_owner(self) -> None:
        """Check that this run still owns the checkpoint.

        Raises:
            CheckpointLost: Another run owns it, or Redis has lost it.
        """
        with self._broker.commands("did not return the backfill's checkpoint") as redis:
            self._check_owner(redis.hget(self._key, "owner"))

    def delete_watched_jobs(self) -> None:
        """Delete the watched jobs; the progress stays."""
        with self._broker.commands("did not delete the watched jobs") as redis:
            redis.delete(self._jobs_key)

    def delete(self) -> None:
        """Delete the progress and the watched jobs."""
        with self._broker.commands("did not delete the backfill's checkpoint") as redis:
            redis.delete(self._key, self._jobs_key)

    def _read_page(self, start: int) -> list[bytes]:
        self.check_owner()
        with self._broker.commands("did not return the watched jobs") as redis:
            entries: Any = redis.lrange(self._jobs_key, start, start + _PAGE - 1)
        return list(entries)

    def _check_owner(self, owner: Any) -> None:
        if owner is None:
            raise CheckpointLost("Redis has lost this backfill's progress, and perhaps its jobs too; start it again")
        if owner.decode() != self._owner:
            raise CheckpointLost("another backfill with the same options was started, and continues from here")
