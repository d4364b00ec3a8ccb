"""Stores the progress of a backfill on Redis, in the same transaction that enqueues the jobs.

So Ctrl-C, SIGKILL or a lost connection neither enqueues a job twice nor skips one. A second run with the same options
claims the checkpoint and resumes; the first run fails at its next transaction and stops. A purge of the queue deletes
all checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import WatchError

from producer.client.queue import push
from producer.client.watching import repeat_watched
from producer.contract.errors import ClipqueueError
from producer.contract.names import BACKFILLS, PURGED, WATCHED_SUFFIX
from producer.operations.requeue.progress import Progress, WatchedJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis.client import Pipeline

    from producer.client.broker import Broker
    from producer.operations.requeue.progress import Batch

_KEY = "clipqueue:backfill:"
_TTL_S = 7 * 24 * 3600
_PAGE = 1000


class CheckpointLost(ClipqueueError):
    """Another run with the same options has claimed the checkpoint, or it is gone: purged, or lost by Redis."""


@dataclass(frozen=True)
class Stored:
    """What an earlier run has stored.

    Attributes:
        progress: Its progress.
        model: The model that it compares vectors with; None if it compares only URLs.
    """

    progress: Progress
    model: str | None


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
        self._jobs_key = self._key + WATCHED_SUFFIX
        self._owner = uuid.uuid4().hex

    def read(self) -> Stored | None:
        """Return what an earlier run has stored; None if there is nothing to continue."""
        with self._broker.commands("did not return the backfill's checkpoint") as redis, redis.pipeline() as pipe:
            pipe.sismember(BACKFILLS, self._key)
            pipe.hmget(self._key, "progress", "model")
            is_known, (progress, model) = pipe.execute()
        if not is_known or progress is None:
            return None
        return Stored(Progress.from_json(progress), model.decode() if model else None)

    def claim(self, *, restart: bool, model: str | None = None) -> Progress:
        """Become the owner of the checkpoint, store the model, and return the progress.

        Args:
            restart: Delete an earlier run's progress first. A checkpoint that is not among BACKFILLS is deleted too: a
                purge would not have found it.
            model: The model that the backfill compares vectors with.
        """

        def start() -> Progress:
            pipe.watch(BACKFILLS)  # type: ignore[no-untyped-call]
            is_known = pipe.sismember(BACKFILLS, self._key)
            pipe.multi()
            if restart or not is_known:
                pipe.delete(self._key, self._jobs_key)
            pipe.hset(self._key, mapping={"owner": self._owner, "model": model or "", PURGED: 1})
            self._keep(pipe)
            pipe.hget(self._key, "progress")
            return Progress.from_json(pipe.execute()[-1])

        with self._broker.commands("did not return the backfill's checkpoint") as redis, redis.pipeline() as pipe:
            return repeat_watched(start)

    def save(self, progress: Progress, batch: Batch) -> None:
        """Enqueue the batch and store the progress, in one transaction.

        Raises:
            CheckpointLost: Another run owns the checkpoint, or it is gone. Nothing was enqueued.
        """
        with self._broker.commands("did not accept the jobs") as redis, redis.pipeline() as pipe:
            # After WATCH redis-py does not send the transaction again when the connection is lost.
            pipe.watch(self._key)  # type: ignore[no-untyped-call]
            self._check_owner(pipe.hmget(self._key, "owner", PURGED))
            pipe.multi()
            if batch.jobs:
                push(pipe, batch.jobs)
            if batch.watched:
                pipe.rpush(self._jobs_key, *map(WatchedJob.to_json, batch.watched))
            pipe.hset(self._key, "progress", progress.to_json())
            self._keep(pipe)
            try:
                pipe.execute()
            except WatchError:
                self.check_owner()
                raise

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
            CheckpointLost: Another run owns it, or it is gone.
        """
        with self._broker.commands("did not return the backfill's checkpoint") as redis:
            self._check_owner(redis.hmget(self._key, ["owner", PURGED]))

    def delete_watched_jobs(self) -> None:
        """Delete the watched jobs; the progress stays."""
        with self._broker.commands("did not delete the watched jobs") as redis:
            redis.delete(self._jobs_key)

    def delete(self) -> None:
        """Delete the progress and the watched jobs."""
        with self._broker.commands("did not delete the backfill's checkpoint") as redis, redis.pipeline() as pipe:
            pipe.delete(self._key, self._jobs_key)
            pipe.srem(BACKFILLS, self._key)
            pipe.execute()

    def _keep(self, pipe: Pipeline) -> None:
        pipe.sadd(BACKFILLS, self._key)
        for key in (BACKFILLS, self._key, self._jobs_key):
            pipe.expire(key, _TTL_S)

    def _read_page(self, start: int) -> list[bytes]:
        self.check_owner()
        with self._broker.commands("did not return the watched jobs") as redis:
            entries: Any = redis.lrange(self._jobs_key, start, start + _PAGE - 1)
        return list(entries)

    def _check_owner(self, stored: Any) -> None:
        owner, is_purged = stored
        if owner is not None and owner.decode() == self._owner:
            return
        if owner is not None:
            raise CheckpointLost("another backfill with the same options was started, and continues from here")
        if is_purged:
            raise CheckpointLost(
                "the queue was purged while this backfill ran, so its jobs and its progress are gone; start it again "
                "to enqueue them"
            )
        raise CheckpointLost("Redis has lost this backfill's progress, and perhaps its jobs too; start it again")
