"""Pushes jobs on the queue, and counts the jobs that are there."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ..contract.message import image_message
from ..contract.names import IMAGE_QUEUE, UNACKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from ..contract.job import ImageJob

T = TypeVar("T")

# Messages in one LPUSH: enough to hide the round trip, and few enough (about 700 KB) not to block Redis for others.
PUSH_CHUNK = 500


def count_unfinished(redis: Redis) -> int:
    """Return how many jobs wait or are in flight.

    Raises:
        RedisError: Redis did not answer.
    """
    pipeline = redis.pipeline(transaction=False)
    pipeline.llen(IMAGE_QUEUE)
    pipeline.hlen(UNACKED)
    return sum(pipeline.execute())


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


def chunked(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists of at most PUSH_CHUNK, and read `items` lazily."""
    remaining = iter(items)
    while chunk := list(islice(remaining, PUSH_CHUNK)):
        yield chunk
