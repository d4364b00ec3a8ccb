"""How fast a backfill may go: no faster than its rate, and only while the queue is short."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.client.queue import PUSH_CHUNK, queued

if TYPE_CHECKING:
    from producer.client.broker import Broker


class Pace:
    """Says how many jobs may be queued now.

    Args:
        broker: The Redis of the queue.
        max_queued: Most jobs that may wait or be in flight, whoever queued them.
        rate: Most jobs a second; None is as fast as it goes.

    Attributes:
        is_queue_full: The queue, and not the rate, left no room when it was last asked for.
    """

    def __init__(self, broker: Broker, max_queued: int, rate: float | None) -> None:
        self._broker = broker
        self._max_queued = max_queued
        self._rate = rate
        self._next_at = 0.0
        self.is_queue_full = False
        self._most = PUSH_CHUNK if rate is None else min(PUSH_CHUNK, max(1, int(rate)))

    def room(self) -> int:
        """Return how many jobs may be queued now; 0 is none yet.

        Raises:
            BrokerUnavailable: Redis did not answer.
        """
        if time.monotonic() < self._next_at:
            return 0
        with self._broker.commands("did not tell how many jobs wait") as redis:
            room = max(0, min(self._most, self._max_queued - queued(redis)))
        self.is_queue_full = not room
        return room

    def spend(self, jobs: int) -> None:
        """Note that so many jobs were queued."""
        if self._rate is not None:
            self._next_at = max(self._next_at, time.monotonic()) + jobs / self._rate
