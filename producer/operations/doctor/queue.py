"""How many jobs wait, how many are in flight, for how long, and what came off the queue that was no job."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.contract.job import MAX_TIME_MS
from producer.contract.names import IMAGE_QUEUE, PARKED_LIST, UNACKED, UNACKED_INDEX
from producer.contract.text import printable
from producer.operations.doctor.findings import Finding, count_of, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from producer.contract.fields import WorkerHeartbeat

_MOST_WAIT_S = 600
# Workers look for lost jobs every few seconds (CLIPQUEUE_RESTORE_INTERVAL_S).
_RESTORE_GRACE_S = 30
# A query in any spelling to the item's end, and what may hide one: the item is not of our making.
_SECRET = re.compile(r"(\?|%3f|\\u003f).*|[A-Za-z0-9+/=_-]{40,}", re.IGNORECASE | re.DOTALL)
_SHOWN_PARKED = 5


@dataclass(frozen=True)
class Queue:
    """The queue at one moment, by the clock of Redis.

    Attributes:
        waiting: Messages that nobody has taken.
        in_flight: Messages that were taken and are not acked.
        oldest_s: Seconds since the oldest waiting job was enqueued; None if there is none, or it does not say.
        longest_in_flight_s: Of the messages in flight, the most seconds since its worker took it or said that it holds
            it still; None if there is none.
    """

    waiting: int
    in_flight: int
    oldest_s: float | None
    longest_in_flight_s: float | None


def read_queue(redis: Redis) -> Queue:
    """Look at the queue. Raises what redis-py raises."""
    pipeline: Any = redis.pipeline()
    pipeline.time().llen(IMAGE_QUEUE).hlen(UNACKED)
    # The last one is the next to be taken; retries are put in behind, so that either may be the oldest.
    pipeline.lindex(IMAGE_QUEUE, -1).lindex(IMAGE_QUEUE, 0).zrange(UNACKED_INDEX, 0, 0, withscores=True)
    (seconds, _), waiting, in_flight, last, first, taken = pipeline.execute()
    ages = [seconds - at / 1e3 for at in map(_enqueued_at_ms, (last, first)) if at is not None]
    return Queue(waiting, in_flight, max(ages, default=None), seconds - taken[0][1] if taken else None)


def queue_findings(queue: Queue, notes: Sequence[WorkerHeartbeat]) -> list[Finding]:
    """Return whether the queue moves."""
    return [_waiting(queue, len(notes)), _in_flight(queue, notes)]


def parked_finding(redis: Redis) -> Finding:
    """Return what came off the queue that was no job. Raises what redis-py raises."""
    count: Any = redis.llen(PARKED_LIST)
    newest: Any = redis.lrange(PARKED_LIST, 0, _SHOWN_PARKED - 1)
    if not count:
        return Finding.well("parked", "nothing came off the queue that was no job")
    what = (
        f"{count} items came off the queue that were no jobs"
        if count > 1
        else "1 item came off the queue that was no job"
    )
    return Finding.look(
        "parked",
        f"{what}; the newest:",
        *map(_describe, newest),
        "Find the program that puts them there, then forget them: clipqueue purge --parked",
    )


def _waiting(queue: Queue, workers: int) -> Finding:
    shown = f"{count_of(queue.waiting, 'message')} {'waits' if queue.waiting == 1 else 'wait'} on {IMAGE_QUEUE!r}"
    if queue.oldest_s is None:
        return Finding.well("queue", shown)
    shown += f"; the oldest job is {duration(queue.oldest_s)} old"
    if queue.oldest_s <= _MOST_WAIT_S:
        return Finding.well("queue", shown)
    if not workers:
        return Finding.look("queue", shown, "No worker takes them: see there.")
    if not queue.in_flight:
        return Finding.look(
            "queue",
            shown,
            "The workers take none of them: look into their logs, and start them anew if they are silent.",
        )
    return Finding.look(
        "queue", shown, "More is enqueued than the workers do: start more of them, or wait if this is a backfill."
    )


def _in_flight(queue: Queue, notes: Sequence[WorkerHeartbeat]) -> Finding:
    shown = f"{count_of(queue.in_flight, 'message')} taken and not yet acked"
    if queue.longest_in_flight_s is None:
        return Finding.well("in flight", shown)
    shown += f"; the one that was longest not heard of, {duration(queue.longest_in_flight_s)} ago"
    if not notes:
        return Finding.well("in flight", f"{shown}; the next worker to start gives them back to the queue in time")
    timeout_s = min(note["visibility_timeout_s"] for note in notes)
    if queue.longest_in_flight_s <= timeout_s + _RESTORE_GRACE_S:
        return Finding.well("in flight", shown)
    return Finding.look(
        "in flight",
        f"{shown}, but after {timeout_s} s the workers should have given it to another",
        "Look into their logs, and start them anew if they are silent.",
    )


def _enqueued_at_ms(content: bytes | None) -> float | None:
    """Return when a message's job was enqueued; None for whatever does not say so, or is no message at all."""
    try:
        message: Any = json.loads(content or b"")
        at: Any = json.loads(base64.b64decode(message["body"]))[1]["enqueued_at"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    return at if type(at) in (int, float) and 0 < at <= MAX_TIME_MS else None


def _describe(entry: bytes) -> str:
    try:
        parked = json.loads(entry)
        at = datetime.fromtimestamp(parked["parked_at"] / 1e3, UTC)
        content = base64.b64decode(parked["item"]).decode("utf-8", "replace")
        size, reason = int(parked["bytes"]), str(parked["reason"])
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return "an entry that no worker wrote"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {size} bytes, {printable(reason)}: {printable(_SECRET.sub('...', content))}"
