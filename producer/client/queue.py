"""Pushes jobs on the queue, and counts the jobs that are there."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..contract.message import image_message
from ..contract.names import DELAYED, IMAGE_QUEUE, UNACKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from ..contract.job import ImageJob

# Messages in one LPUSH: enough to hide the round trip, and few enough (about 700 KB) not to block Redis for others.
PUSH_CHUNK = 500
# Characters of all their URLs. 500 of the longest would make 6 MB, which a slow line does not send within the timeout,
# and beyond ASCII 90 MB, of which Upstash takes 10 in one command.
_PUSH_URL_CHARS = 400_000
# Delayed jobs wait for a host, and hold up no other job. But without a limit, a backfill of images whose host is down
# would put the whole collection on Redis.
_DELAYED_FACTOR = 10


@dataclass(frozen=True)
class JobCounts:
    """How many jobs have no result yet.

    Attributes:
        waiting: On the queue.
        in_flight: Taken by a worker and not yet acked.
        delayed: Waiting for their next attempt.
    """

    waiting: int
    in_flight: int
    delayed: int

    def room(self, max_queued: int) -> int:
        """Return how many jobs may be enqueued, so that at most `max_queued` wait or are in flight.

        It is 0 if ten times as many are delayed.
        """
        return max(0, min(max_queued - self.waiting - self.in_flight, _DELAYED_FACTOR * max_queued - self.delayed))


def count_jobs(redis: Redis) -> JobCounts:
    """Return how many jobs there are.

    Raises:
        RedisError: Redis did not answer.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.llen(IMAGE_QUEUE)
    pipeline.hlen(UNACKED)
    pipeline.zcard(DELAYED)
    return JobCounts(*pipeline.execute())


def push(redis: Redis, jobs: Sequence[ImageJob]) -> None:
    """Push jobs on the queue with one command.

    Args:
        redis: A client or a pipeline.
        jobs: At least one job. One without a task id gets a new one.

    Raises:
        RedisError: Redis did not accept them.
    """
    messages: list[Any] = [image_message(job, job.task_id or str(uuid.uuid4())) for job in jobs]
    redis.lpush(IMAGE_QUEUE, *messages)


def chunked(jobs: Iterable[ImageJob]) -> Iterator[list[ImageJob]]:
    """Yield the jobs in lists, each for one `push`, and read `jobs` lazily."""
    chunk: list[ImageJob] = []
    url_chars = 0
    for job in jobs:
        chunk.append(job)
        url_chars += len(job.url) + sum(map(len, job.trace.values()))
        if is_full_chunk(len(chunk), url_chars):
            yield chunk
            chunk, url_chars = [], 0
    if chunk:
        yield chunk


def is_full_chunk(jobs: int, url_chars: int) -> bool:
    """Return whether so many jobs, with so many characters in their URLs, are enough for one `push`."""
    return jobs >= PUSH_CHUNK or url_chars >= _PUSH_URL_CHARS
