"""What a worker is just taking off the queue: a list of its own on Redis, so that a killed worker loses nothing.

kombu's BRPOP takes a message before it notes it as unacked; in between it would be in the process alone (celery#4354,
kombu#1836). Here a message is moved to the list of the process, and leaves it in the transaction that notes it.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE

if TYPE_CHECKING:
    import redis

# With the name of a process behind it: what it takes at once, the youngest first.
_TAKEN_KEY = "clipqueue:taken:"
# A sorted set: names of processes by their last sign of life, in seconds since the epoch.
_TAKERS_KEY = "clipqueue:takers"
# Where kombu's producers put messages with a priority.
_PRIORITY_QUEUES = tuple(f"{IMAGE_QUEUE}\x06\x16{step}" for step in (3, 6, 9))
_MOST_AT_ONCE = 1000
_FORGOTTEN_AFTER_S = 3600.0


class ProcessingList:
    """One worker process that takes messages.

    Attributes:
        key: Its list on Redis.
    """

    def __init__(self) -> None:
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.key = _TAKEN_KEY + self._name

    def sign_in(self, redis: redis.Redis) -> None:
        """Show that the process lives, and put right what lost answers left behind. Only while it takes nothing."""
        redis.zadd(_TAKERS_KEY, {self._name: time.time()})
        _move(redis, self.key)
        for queue in _PRIORITY_QUEUES:
            _move(redis, queue, to_the_far_end=True)

    def sign_out(self, redis: redis.Redis) -> None:
        """Give back what it was taking. What Redis still moves for a question that is open, others find later."""
        _move(redis, self.key)


def rescue(redis: redis.Redis, silent_s: float) -> int:
    """Give back what processes were taking that have shown no life for `silent_s`; return how many messages."""
    rescued = 0
    now = time.time()
    lost: Any = redis.zrangebyscore(_TAKERS_KEY, 0, now - silent_s)
    for name in lost:
        rescued += _move(redis, _TAKEN_KEY + name.decode())
    # Much later, since one that wakes up may take something before it signs in again.
    redis.zremrangebyscore(_TAKERS_KEY, 0, now - silent_s - _FORGOTTEN_AFTER_S)
    return rescued


def _move(redis: redis.Redis, source: str, *, to_the_far_end: bool = False) -> int:
    """Move a list's messages to the queue, one at a time, so that two who do it at once do not double them."""
    for count in range(_MOST_AT_ONCE):
        # Where the oldest is to be taken next, it is moved last.
        ends = ("RIGHT", "LEFT") if to_the_far_end else ("LEFT", "RIGHT")
        if redis.lmove(source, IMAGE_QUEUE, *ends) is None:
            return count
    return _MOST_AT_ONCE
