"""Where a backfill stands, on Redis: it moves in the transaction that queues the jobs, so that both happen or neither.

So Ctrl-C, kill -9 and a lost connection neither double a job nor skip one. A second start with the same options takes
the bookmark over and goes on; whoever had it before is told at its next move, and ends.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from producer.client.queue import push
from producer.contract.errors import ClipqueueError
from producer.operations.requeue.progress import Followed, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producer.client.broker import Broker
    from producer.operations.requeue.progress import Page

_KEY = "clipqueue:backfill:"
_KEEP_S = 7 * 24 * 3600
_READ = 1000


class BackfillElsewhere(ClipqueueError):
    """Another backfill with the same options has gone on from here, or Redis has lost the bookmark."""


class Bookmark:
    """The bookmark of a backfill with certain options. Every method raises BrokerUnavailable if Redis does not answer.

    Args:
        broker: The Redis of the queue.
        options: What makes it this backfill and no other.
    """

    def __init__(self, broker: Broker, options: Sequence[str | None]) -> None:
        self._broker = broker
        self._key = _KEY + hashlib.sha256(json.dumps(options).encode()).hexdigest()[:32]
        self._jobs_key = f"{self._key}:jobs"
        self._owner = uuid.uuid4().hex

    def take(self, *, anew: bool) -> Progress:
        """Take the bookmark over and return how far it has come; `anew` throws it away first."""
        with self._broker.commands("did not give the backfill's bookmark") as redis:
            if anew:
                redis.delete(self._key, self._jobs_key)
            with redis.pipeline() as pipe:
                pipe.hset(self._key, "owner", self._owner)
                pipe.expire(self._key, _KEEP_S)
                pipe.hget(self._key, "progress")
                return Progress.read_from(pipe.execute()[-1])

    def move(self, progress: Progress, page: Page) -> None:
        """Queue the jobs and move the bookmark, at once.

        Raises:
            BackfillElsewhere: The bookmark is another's by now. Nothing was queued.
        """
        with self._broker.commands("did not take the jobs") as redis, redis.pipeline() as pipe:
            # Watched, so that a lost connection ends the transaction: redis-py would else send it a second time.
            pipe.watch(self._key)  # type: ignore[no-untyped-call]
            self._check_owner(pipe.hget(self._key, "owner"))
            pipe.multi()
            if page.jobs:
                push(pipe, page.jobs)
            if page.followed:
                pipe.rpush(self._jobs_key, *map(Followed.written, page.followed))
            pipe.hset(self._key, "progress", progress.written())
            for key in (self._key, self._jobs_key):
                pipe.expire(key, _KEEP_S)
            pipe.execute()

    def followed(self) -> Iterator[list[Followed]]:
        """Yield the jobs to follow, in the order they were queued."""
        start = 0
        while entries := self._entries(start):
            yield [Followed.read_from(entry) for entry in entries]
            start += len(entries)

    def followed_count(self) -> int:
        """Return how many jobs there are to follow."""
        with self._broker.commands("did not give the jobs to follow") as redis:
            count: Any = redis.llen(self._jobs_key)
        return int(count)

    def check(self) -> None:
        """Check that the bookmark is still this backfill's.

        Raises:
            BackfillElsewhere: It is not.
        """
        with self._broker.commands("did not give the backfill's bookmark") as redis:
            self._check_owner(redis.hget(self._key, "owner"))

    def forget_jobs(self) -> None:
        """Throw away the jobs to follow."""
        with self._broker.commands("did not forget the followed jobs") as redis:
            redis.delete(self._jobs_key)

    def forget(self) -> None:
        """Throw the bookmark away."""
        with self._broker.commands("did not forget the backfill's bookmark") as redis:
            redis.delete(self._key, self._jobs_key)

    def _entries(self, start: int) -> list[bytes]:
        self.check()
        with self._broker.commands("did not give the jobs to follow") as redis:
            entries: Any = redis.lrange(self._jobs_key, start, start + _READ - 1)
        return list(entries)

    def _check_owner(self, owner: Any) -> None:
        if owner is None:
            raise BackfillElsewhere(
                "Redis has lost how far this backfill was, and perhaps its jobs too; start it again"
            )
        if owner.decode() != self._owner:
            raise BackfillElsewhere("another backfill with the same options was started, and goes on from here")
