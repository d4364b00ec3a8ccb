"""Checks the queue: how many jobs wait or are in flight, and for how long."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.job import MAX_TIME_MS
from producer.contract.names import IMAGE_QUEUE, UNACKED, UNACKED_INDEX
from producer.operations.doctor.findings import Finding
from producer.operations.text import count_of, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from producer.contract.fields import WorkerHeartbeat

_MAX_WAIT_S = 600
# Workers redeliver lost jobs every few seconds (CLIPQUEUE_RESTORE_INTERVAL_S).
_RESTORE_GRACE_S = 30


@dataclass(frozen=True)
class Queue:
    """The queue at one moment, by the clock of Redis.

    Attributes:
        waiting: Number of messages that no worker has taken.
        in_flight: Number of messages that were taken and not acked.
        oldest_s: Seconds since the oldest waiting job was enqueued; None if no waiting job has a time.
        longest_in_flight_s: Seconds since a worker took or last renewed a message in flight, for the one where this is
            longest; None if no message is in flight.
    """

    waiting: int
    in_flight: int
    oldest_s: float | None
    longest_in_flight_s: float | None


def read_queue(redis: Redis) -> Queue:
    """Read the state of the queue. Raises what redis-py raises."""
    pipeline: Any = redis.pipeline()
    pipeline.time().llen(IMAGE_QUEUE).hlen(UNACKED)
    # Workers pop from the right. Retries are pushed on the left, so the oldest job may be at either end.
    pipeline.lindex(IMAGE_QUEUE, -1).lindex(IMAGE_QUEUE, 0).zrange(UNACKED_INDEX, 0, 0, withscores=True)
    (seconds, _), waiting, in_flight, last, first, taken = pipeline.execute()
    ages = [seconds - at / 1e3 for at in map(_enqueued_at_ms, (last, first)) if at is not None]
    return Queue(waiting, in_flight, max(ages, default=None), seconds - taken[0][1] if taken else None)


def queue_findings(queue: Queue, heartbeats: Sequence[WorkerHeartbeat]) -> list[Finding]:
    """Check whether the workers consume the queue and finish their jobs."""
    return [_check_waiting(queue, len(heartbeats)), _check_in_flight(queue, heartbeats)]


def _check_waiting(queue: Queue, workers: int) -> Finding:
    shown = f"{count_of(queue.waiting, 'message')} {'waits' if queue.waiting == 1 else 'wait'} on {IMAGE_QUEUE!r}"
    if queue.oldest_s is None:
        return Finding.ok("queue", shown)
    shown += f"; the oldest job is {duration(queue.oldest_s)} old"
    if queue.oldest_s <= _MAX_WAIT_S:
        return Finding.ok("queue", shown)
    return Finding.problem("queue", shown, _advice(queue, workers))


def _advice(queue: Queue, workers: int) -> str:
    if not workers:
        return "No worker is alive: see the finding on workers."
    if not queue.in_flight:
        return "The workers do not consume them: check their logs, and restart those that log nothing."
    return "Jobs are enqueued faster than the workers finish them: start more workers, or wait if this is a backfill."


def _check_in_flight(queue: Queue, heartbeats: Sequence[WorkerHeartbeat]) -> Finding:
    shown = f"{count_of(queue.in_flight, 'message')} taken and not yet acked"
    if queue.longest_in_flight_s is None:
        return Finding.ok("in flight", shown)
    shown += f"; the longest-running one was last renewed {duration(queue.longest_in_flight_s)} ago"
    if not heartbeats:
        return Finding.ok(
            "in flight", f"{shown}; the next worker that starts redelivers them after the visibility timeout"
        )
    timeout_s = min(heartbeat["visibility_timeout_s"] for heartbeat in heartbeats)
    if queue.longest_in_flight_s <= timeout_s + _RESTORE_GRACE_S:
        return Finding.ok("in flight", shown)
    return Finding.problem(
        "in flight",
        f"{shown}, but the workers should have redelivered it after {timeout_s} s",
        "Check their logs, and restart those that log nothing.",
    )


def _enqueued_at_ms(content: bytes | None) -> float | None:
    """Return when a message's job was enqueued; None if the message has no valid time, or is not valid itself."""
    try:
        message: Any = json.loads(content or b"")
        at: Any = json.loads(base64.b64decode(message["body"]))[1]["enqueued_at"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    return at if type(at) in (int, float) and 0 < at <= MAX_TIME_MS else None
