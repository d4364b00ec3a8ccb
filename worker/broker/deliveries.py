"""Records on Redis which messages this process has popped or holds unacked, so that none is ever lost.

kombu's BRPOP pops a message before it records it as unacked; a process that is killed in between loses it (celery#4354,
kombu#1836). Here a message moves to a list of the process and leaves it in the transaction that records it as unacked.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE, UNACKED, UNACKED_INDEX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import redis

# A list for each process: messages that it has popped and not yet recorded as unacked, the newest first.
_PROCESSING_KEY = "clipqueue:taken:"
# A sorted set of process names, scored by their last heartbeat in seconds since the epoch.
_PROCESSES_KEY = "clipqueue:takers"
# kombu's producers put messages with a priority on these lists.
_PRIORITY_QUEUES = tuple(f"{IMAGE_QUEUE}\x06\x16{step}" for step in (3, 6, 9))
_MAX_MOVED = 1000
_FORGET_AFTER_S = 3600.0


class ProcessingList:
    """The messages that one process has popped and not yet recorded as unacked.

    Attributes:
        key: The list's key on Redis.
    """

    def __init__(self) -> None:
        self._process = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.key = _PROCESSING_KEY + self._process

    def heartbeat_and_reclaim(self, redis: redis.Redis) -> None:
        """Show that the process is alive, and requeue its list.

        A message stays on the list if the connection broke before Redis's reply to the pop arrived. Call this
        method only while no pop is in progress. Messages on priority queues move to the end of the queue.
        """
        redis.zadd(_PROCESSES_KEY, {self._process: time.time()})
        self.reclaim(redis)
        for queue in _PRIORITY_QUEUES:
            _move(redis, queue, to_end_of_queue=True)

    def reclaim(self, redis: redis.Redis) -> None:
        """Requeue the list.

        If Redis executes a pending pop later, `reclaim_lost` of another process requeues that message.
        """
        _move(redis, self.key)


def reclaim_lost(redis: redis.Redis, timeout_s: float) -> int:
    """Requeue the lists of processes without a heartbeat for `timeout_s`; return the number of messages."""
    now = time.time()
    lost: Any = redis.zrangebyscore(_PROCESSES_KEY, 0, now - timeout_s)
    count = sum(_move(redis, _PROCESSING_KEY + process.decode()) for process in lost)
    # Forgotten much later: a frozen process may wake up and pop a message before its next heartbeat.
    redis.zremrangebyscore(_PROCESSES_KEY, 0, now - timeout_s - _FORGET_AFTER_S)
    return count


def _move(redis: redis.Redis, source: str, *, to_end_of_queue: bool = False) -> int:
    """Move a list to the queue, one message at a time, so that no message is duplicated if two processes do this."""
    for count in range(_MAX_MOVED):
        # LEFT, RIGHT moves the newest first, so the oldest is the next to be consumed.
        ends = ("RIGHT", "LEFT") if to_end_of_queue else ("LEFT", "RIGHT")
        if redis.lmove(source, IMAGE_QUEUE, *ends) is None:
            return count
    return _MAX_MOVED


class Deliveries:
    """The delivery tags that this process holds unacked, across reconnects. Thread-safe.

    Attributes:
        has_pending: Whether an ack or a requeue was deferred since the last `flush` started.
    """

    def __init__(self) -> None:
        self.has_pending = False
        self._lock = threading.Lock()
        self._unacked: set[str] = set()
        self._acks: set[str] = set()
        self._requeues: set[str] = set()

    @property
    def tags(self) -> list[str]:
        """The tags of jobs that have not ended."""
        with self._lock:
            return list(self._unacked)

    def __contains__(self, tag: str) -> bool:
        with self._lock:
            return tag in self._unacked

    def add(self, tag: str) -> None:
        """Add a delivery that Redis has recorded as unacked."""
        with self._lock:
            self._unacked.add(tag)

    def discard(self, tag: str) -> None:
        """Remove a delivery that Redis has acked or requeued."""
        with self._lock:
            self._unacked.discard(tag)

    def defer_ack(self, tag: str) -> None:
        """Ack a delivery with the next `flush`."""
        self._defer(tag, self._acks)

    def defer_requeue(self, tag: str) -> None:
        """Requeue a delivery with the next `flush`."""
        self._defer(tag, self._requeues)

    def flush(self, redis: redis.Redis) -> None:
        """Send the deferred acks and requeues.

        Raises:
            RedisError: Redis did not answer or refused a command. What may not have been sent stays deferred.
        """
        with self._lock:
            self.has_pending = False
            acks, requeues = list(self._acks), list(self._requeues)
        # Acks first: a full Redis still accepts commands that only delete.
        if acks:
            with redis.pipeline() as pipe:
                pipe.zrem(UNACKED_INDEX, *acks)
                pipe.hdel(UNACKED, *acks)
                pipe.execute()
            with self._lock:
                self._acks.difference_update(acks)
        requeue_unacked(redis, requeues)
        with self._lock:
            self._requeues.difference_update(requeues)

    def extend_visibility(self, redis: redis.Redis) -> None:
        """Restart the visibility timeout of every delivery; drop those that were redelivered to another worker."""
        if not (tags := self.tags):
            return
        redis.zadd(UNACKED_INDEX, dict.fromkeys(tags, time.time()), xx=True)
        scores: Any = redis.zmscore(UNACKED_INDEX, tags)
        for tag, score in zip(tags, scores, strict=True):
            if score is None:
                self.discard(tag)

    def _defer(self, tag: str, pending: set[str]) -> None:
        with self._lock:
            self.has_pending = True
            self._unacked.discard(tag)
            pending.add(tag)


def requeue_unacked(redis: redis.Redis, tags: Iterable[str]) -> int:
    """Put unacked messages at the head of the queue; return how many were still unacked."""
    return sum(_requeue(redis, tag) for tag in tags)


def _requeue(redis: redis.Redis, tag: str) -> bool:
    was_unacked = False

    def move(pipe: Any) -> None:
        nonlocal was_unacked
        recorded = pipe.hget(UNACKED, tag)
        was_unacked = recorded is not None
        pipe.multi()
        pipe.zrem(UNACKED_INDEX, tag)
        pipe.hdel(UNACKED, tag)
        if recorded:
            pipe.rpush(IMAGE_QUEUE, json.dumps(json.loads(recorded)[0]))

    redis.transaction(move, UNACKED)
    return was_unacked


@dataclass(frozen=True, repr=False)
class ConsumerState:
    """State that the channels of one process share; kombu creates a new channel at each reconnect.

    Attributes:
        is_paused: Returns whether consumption is paused.
    """

    is_paused: Callable[[], bool] = lambda: False
    deliveries: Deliveries = field(default_factory=Deliveries)
    processing: ProcessingList = field(default_factory=ProcessingList)
