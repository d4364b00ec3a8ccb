"""Deletes messages from Redis: the queue, with what backfills and sweeps have read, or the parked messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.client.watching import repeat_watched
from producer.contract.names import (
    BACKFILLS,
    IMAGE_QUEUE,
    PARKED_BYTES,
    PARKED_DROPPED,
    PARKED_LIST,
    PURGED_TTL_S,
    SWEEPS,
    WATCHED_SUFFIX,
)

if TYPE_CHECKING:
    from redis.client import Pipeline

    from producer.client.broker import Broker


@dataclass(frozen=True)
class Purged:
    """What a purge of the queue has deleted.

    Attributes:
        messages: Number of messages.
        backfills: Number of backfills and retries whose progress was deleted.
        has_sweeps: Whether the documents that sweeps had read or enqueued were deleted.
    """

    messages: int
    backfills: int
    has_sweeps: bool


def count_messages(broker: Broker, key: str) -> int:
    """Return the length of the list `key`.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("did not answer") as redis:
        count: Any = redis.llen(key)
    return int(count)


def delete_parked(broker: Broker) -> int:
    """Delete the parked messages and the keys that count them; return how many there were.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("failed during the purge") as redis:
        pipe = redis.pipeline()
        pipe.llen(PARKED_LIST)
        pipe.unlink(PARKED_LIST, PARKED_BYTES, PARKED_DROPPED)
        return int(pipe.execute()[0])


def purge_queue(broker: Broker) -> Purged:
    """Delete the waiting messages, and in the same step what backfills and sweeps have read.

    Otherwise the next backfill would continue behind documents whose jobs are gone. One that runs meanwhile finds its
    progress deleted, enqueues nothing more, and ends.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("failed during the purge") as redis, redis.pipeline() as pipe:
        return repeat_watched(lambda: _purge(pipe))  # a backfill or a sweep may start meanwhile


def _purge(pipe: Pipeline) -> Purged:
    pipe.watch(BACKFILLS, SWEEPS)  # type: ignore[no-untyped-call]
    backfills, sweeps = (sorted(key.decode() for key in _members(pipe, name)) for name in (BACKFILLS, SWEEPS))
    pipe.multi()
    for key in backfills:
        pipe.hexists(key, "progress")
    pipe.exists(SWEEPS)
    pipe.llen(IMAGE_QUEUE)
    # None of these commands needs memory: a full Redis would refuse the others. UNLINK frees a long list without
    # blocking other clients, unlike DEL.
    jobs = [key + WATCHED_SUFFIX for key in backfills]
    pipe.unlink(IMAGE_QUEUE, BACKFILLS, SWEEPS, *jobs, *sweeps)
    for key in backfills:
        pipe.hdel(key, "owner", "progress", "model")  # what is left tells a backfill that it was purged
        pipe.expire(key, PURGED_TTL_S)
    answers = pipe.execute()
    *known, has_sweeps, messages = answers[: len(backfills) + 2]
    return Purged(int(messages), sum(known), bool(has_sweeps))


def _members(pipe: Pipeline, name: str) -> Any:
    return pipe.smembers(name)
