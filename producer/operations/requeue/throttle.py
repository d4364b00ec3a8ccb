"""Limits how many jobs a backfill enqueues: by rate, and by the length of the queue."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.client.queue import PUSH_CHUNK, count_jobs

if TYPE_CHECKING:
    from producer.client.broker import Broker


class Throttle:
    """Tells how many jobs may be enqueued now.

    Args:
        broker: The Redis of the queue.
        max_queued: Maximum number of jobs that wait or are in flight, from all producers. Ten times as many may be
            delayed.
        rate: Maximum number of jobs per second; None is no limit.

    Attributes:
        is_queue_full: The last call of `available` returned 0 because of `max_queued`.
    """

    def __init__(self, broker: Broker, max_queued: int, rate: float | None) -> None:
        self._broker = broker
        self._max_queued = max_queued
        self._rate = rate
        self._next_at = 0.0
        self.is_queue_full = False
        self._max_batch = PUSH_CHUNK if rate is None else min(PUSH_CHUNK, max(1, int(rate)))

    def available(self) -> int:
        """Return how many jobs may be enqueued now; it may be 0.

        Raises:
            BrokerUnavailable: Redis could not be reached.
        """
        if time.monotonic() < self._next_at:
            return 0
        with self._broker.commands("did not return the length of the queue") as redis:
            available = min(self._max_batch, count_jobs(redis).room(self._max_queued))
        self.is_queue_full = not available
        return available

    def consume(self, jobs: int) -> None:
        """Count `jobs` enqueued jobs against the rate."""
        if self._rate is not None:
            self._next_at = max(self._next_at, time.monotonic()) + jobs / self._rate
