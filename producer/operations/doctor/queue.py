"""Checks the queue: how many jobs wait, are in flight or delayed, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE, UNACKED, UNACKED_INDEX
from producer.operations.delayed import read_delays
from producer.operations.doctor.findings import Finding
from producer.operations.oldest import NEXT, oldest_age_s
from producer.operations.text import count_of, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from producer.contract.fields import WorkerHeartbeat

_MAX_WAIT_S = 600
# Workers redeliver lost jobs every few seconds (CLIPQUEUE_RESTORE_INTERVAL_S).
_RESTORE_GRACE_S = 30


def waiting_finding(redis: Redis, consumers: Sequence[WorkerHeartbeat] | None, now_s: float) -> Finding:
    """Check whether the workers consume the queue. Raises what redis-py raises.

    Args:
        redis: The client.
        consumers: The live workers that consume the queue; None if they are unknown.
        now_s: Seconds since the epoch, by the clock of Redis.
    """
    pipeline: Any = redis.pipeline()
    pipeline.llen(IMAGE_QUEUE).hlen(UNACKED).lrange(IMAGE_QUEUE, -NEXT, -1).lindex(IMAGE_QUEUE, 0)
    waiting, in_flight, following, newest = pipeline.execute()
    shown = f"{count_of(waiting, 'message')} {'waits' if waiting == 1 else 'wait'} on {IMAGE_QUEUE!r}"
    age_s = oldest_age_s((*following, newest), now_s)
    if age_s is None:
        return Finding.ok("queue", shown)
    shown += f"; the oldest job is {duration(age_s)} old"
    if age_s <= _MAX_WAIT_S:
        return Finding.ok("queue", shown)
    return Finding.problem("queue", shown, _advice(in_flight, consumers))


def in_flight_finding(redis: Redis, consumers: Sequence[WorkerHeartbeat] | None, now_s: float) -> Finding:
    """Check whether the workers finish their jobs. The arguments are those of `waiting_finding`."""
    pipeline: Any = redis.pipeline()
    pipeline.hlen(UNACKED).zrange(UNACKED_INDEX, 0, 0, withscores=True)
    count, taken = pipeline.execute()
    shown = f"{count_of(count, 'message')} taken and not yet acked"
    if not taken:
        return Finding.ok("in flight", shown)
    longest_s = now_s - taken[0][1]  # since a worker took it or last renewed it
    shown += f"; the longest-running one was last renewed {duration(longest_s)} ago"
    if consumers is None:
        return Finding.unknown("in flight", shown, "Whether that is too long, only the workers' heartbeats tell.")
    if not consumers:
        return Finding.ok(
            "in flight", f"{shown}; the next worker that starts redelivers them after the visibility timeout"
        )
    timeout_s = min(heartbeat["visibility_timeout_s"] for heartbeat in consumers)
    if longest_s <= timeout_s + _RESTORE_GRACE_S:
        return Finding.ok("in flight", shown)
    return Finding.problem(
        "in flight",
        f"{shown}, but the workers should have redelivered it after {timeout_s} s",
        "Check their logs, and restart those that log nothing.",
    )


def delayed_finding(redis: Redis, consumers: Sequence[WorkerHeartbeat] | None, now_s: float) -> Finding:
    """Check whether the workers take the messages that were delayed and are due.

    The arguments are those of `waiting_finding`.
    """
    delays = read_delays(redis, now_s)
    if not delays.count:
        return Finding.ok("delayed", "no message waits for its next attempt")
    verb = "waits" if delays.count == 1 else "wait"
    shown = f"{count_of(delays.count, 'message')} {verb} for the next attempt: {delays.described()}"
    late_s = delays.now_s - delays.first_s
    if late_s <= _MAX_WAIT_S:
        return Finding.ok("delayed", shown)
    if consumers is None:
        return Finding.unknown("delayed", shown, "Whether a worker takes them, only the workers' heartbeats tell.")
    if not consumers:
        return Finding.ok("delayed", f"{shown}; the next worker that starts takes those that are due")
    return Finding.problem(
        "delayed",
        f"{shown}; no worker has taken the first one for {duration(late_s)}",
        "Workers of earlier versions leave these messages alone: upgrade them. If there are none, start more workers.",
    )


def _advice(in_flight: int, consumers: Sequence[WorkerHeartbeat] | None) -> str:
    if consumers is not None and not consumers:
        return "No worker is alive: see the finding on workers."
    if not in_flight:
        return "The workers do not consume them: check their logs, and restart those that log nothing."
    return "Jobs are enqueued faster than the workers finish them: start more workers, or wait if this is a backfill."
