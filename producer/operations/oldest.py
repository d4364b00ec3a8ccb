"""Finds how long the oldest waiting job has waited, from the messages at the two ends of the queue."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from producer.contract.job import MAX_TIME_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Workers pop from the right. Jobs that a worker gives back may be pushed on the left, so the oldest job may be at
# either end. Of the jobs that are consumed next, the age of this many is looked at.
NEXT = 20


def oldest_age_s(messages: Iterable[bytes | None], now_s: float) -> float | None:
    """Return the seconds since the oldest job of some messages was enqueued; None if that is known of none of them.

    Args:
        messages: The last `NEXT` messages of the queue and the first one.
        now_s: Seconds since the epoch, by the clock of Redis.
    """
    times_ms = [at_ms for at_ms in map(_waiting_since_ms, messages) if at_ms is not None]
    return now_s - min(times_ms) / 1e3 if times_ms else None


def _waiting_since_ms(content: bytes | None) -> float | None:
    """Return when a message's job was enqueued; None if that is not known, or the job has waited for a retry since."""
    try:
        message: Any = json.loads(content or b"")
        at: Any = None if message["headers"].get("retries") else _arguments(message)["enqueued_at"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    return at if type(at) in (int, float) and 0 < at <= MAX_TIME_MS else None


def _arguments(message: Any) -> Any:
    return json.loads(base64.b64decode(message["body"]))[1]
