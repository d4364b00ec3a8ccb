"""What waits on Redis: how much it is, and how more is put there."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from producer.contract.message import image_message
from producer.contract.names import IMAGE_QUEUE, UNACKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from redis import Redis

    from producer.contract.job import ImageJob

T = TypeVar("T")

# One LPUSH carries this many messages: large enough to hide the round trip, small enough (about 700 KB)
# to leave Redis responsive to others.
PUSH_CHUNK = 500


def queued(redis: Redis) -> int:
    """Return how many jobs wait or are in flight. Raises what redis-py raises."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.llen(IMAGE_QUEUE)
    pipeline.hlen(UNACKED)
    return sum(pipeline.execute())


def push(redis: Redis, jobs: Sequence[ImageJob], task_ids: Sequence[str] | None = None) -> None:
    """Put jobs on the queue with one command; `redis` may be a pipeline. Raises what redis-py raises."""
    ids = task_ids or [str(uuid.uuid4()) for _ in jobs]
    messages: list[Any] = [image_message(job, task_id) for job, task_id in zip(jobs, ids, strict=True)]
    redis.lpush(IMAGE_QUEUE, *messages)


def chunked(things: Iterable[T]) -> Iterator[list[T]]:
    """Yield lists of at most PUSH_CHUNK, read lazily."""
    left = iter(things)
    while chunk := list(islice(left, PUSH_CHUNK)):
        yield chunk
