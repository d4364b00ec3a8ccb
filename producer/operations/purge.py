"""Deletes messages from Redis: the queue, with what backfills and sweeps have read, or the parked messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.client.watching import repeat_watched
from producer.contract.names import (
    BACKFILLS,
    DELAYED,
    IMAGE_QUEUE,
    PARKED_BYTES,
    PARKED_DROPPED,
    PARKED_LIST,
    PURGED_TTL_S,
    SWEEPS,
    WATCHED_SUFFIX,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis
    from redis.client import Pipeline

    from producer.client.broker import Broker


@dataclass(frozen=True)
class Purged:
    """What a purge of the queue deletes.

    Attributes:
        waiting: Number of messages on the queue.
        delayed: Number of messages that wait for their next attempt.
        backfills: Number of backfills and retries whose progress is deleted.
        has_sweeps: Whether sweeps have read or enqueued documents, which is deleted too.
    """

    waiting: int
    delayed: int = 0
    backfills: int = 0
    has_sweeps: bool = False


def count_queue(broker: Broker) -> Purged:
    """Return what `purge_queue` would delete now.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("did not answer") as redis, redis.pipeline() as pipe:
        backfills = sorted(_members(redis, BACKFILLS))
        _count(pipe, backfills)
        return _counted(pipe.execute(), backfills)


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
    """Delete the waiting and the delayed messages, and in the same step what backfills and sweeps have read.

    Otherwise the next backfill would continue behind documents whose jobs are gone. One that runs meanwhile finds its
    progress deleted, enqueues nothing more, and ends.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("failed during the purge") as redis, redis.pipeline() as pipe:
        return repeat_watched(lambda: _purge(pipe))  # a backfill or a sweep may start meanwhile


def _purge(pipe: Pipeline) -> Purged:
    pipe.watch(BACKFILLS, SWEEPS)  # type: ignore[no-untyped-call]
    backfills, sweeps = (sorted(_members(pipe, name)) for name in (BACKFILLS, SWEEPS))
    pipe.multi()
    _count(pipe, backfills)
    # None of these commands needs memory: a full Redis would refuse the others. UNLINK frees a long list without
    # blocking other clients, unlike DEL.
    jobs = [key + WATCHED_SUFFIX for key in backfills]
    pipe.unlink(IMAGE_QUEUE, DELAYED, BACKFILLS, SWEEPS, *jobs, *sweeps)
    for key in backfills:
        pipe.hdel(key, "owner", "progress", "model")  # what is left tells a backfill that it was purged
        pipe.expire(key, PURGED_TTL_S)
    return _counted(pipe.execute(), backfills)


def _count(pipe: Pipeline, backfills: Sequence[str]) -> None:
    pipe.llen(IMAGE_QUEUE)
    pipe.zcard(DELAYED)
    pipe.exists(SWEEPS)
    for key in backfills:
        pipe.hexists(key, "progress")


def _counted(answers: Sequence[Any], backfills: Sequence[str]) -> Purged:
    """Return what the commands of `_count` found; they were the first ones."""
    waiting, delayed, has_sweeps, *others = answers
    return Purged(int(waiting), int(delayed), sum(others[: len(backfills)]), bool(has_sweeps))


def _members(redis: Redis, name: str) -> list[str]:
    found: Any = redis.smembers(name)
    return [key.decode() for key in found]
