"""Finds poison messages: jobs that kill every worker that runs them.

A worker that dies had dozens of jobs, and at most one of them killed it. So jobs of lost workers run one at a time in a
process. Redis records the start of each and forgets it at the end. A job that was running when two workers died has
failed: the first held it among many jobs, which is not recorded; the second ran it in isolation.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from worker.errors import IsolationBusy, QueueUnavailable, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.client.broker import Broker

# The earliest delivery at which a job fails instead of running again.
MAX_DELIVERIES = 3
_KEEP_S = 24 * 3600
_NO_ANSWER = "did not answer"


class Quarantine:
    """Runs jobs of lost workers one at a time. Thread-safe.

    Args:
        broker: Records the starts.
        wait_s: Seconds that a job waits for another one to end before it is requeued.
    """

    def __init__(self, broker: Broker, *, wait_s: float) -> None:
        self._broker = broker
        self._wait_s = wait_s
        self._running = threading.Lock()

    @contextmanager
    def isolate(self, task_id: str, times_lost: int) -> Iterator[None]:
        """Run one job while no other job of a lost worker runs.

        Args:
            task_id: The job's task.
            times_lost: How many workers died while they held the job. Redis keeps a set of these numbers, so a job that
                starts again before another worker has died is counted once.

        Raises:
            WorkerLost: This is at least the third delivery, and the job was running in isolation when a worker died.
            IsolationBusy: The other job did not end in time.
            QueueUnavailable: Redis is unavailable.
        """
        if not self._running.acquire(timeout=self._wait_s):
            raise IsolationBusy("another job of a lost worker is running")
        try:
            # Outside the inner `try`, so that WorkerLost keeps the record: if the failure cannot be saved now, the next
            # delivery must fail too.
            self._record_start(f"clipqueue:suspect:{task_id}", times_lost)
            try:
                yield
            finally:
                # If Redis is unavailable, the record expires after a day.
                with suppress(BrokerUnavailable), self._broker.commands(_NO_ANSWER) as redis:
                    redis.delete(f"clipqueue:suspect:{task_id}")
        finally:
            self._running.release()

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()

    def _record_start(self, key: str, times_lost: int) -> None:
        try:
            with self._broker.commands(_NO_ANSWER) as redis, redis.pipeline() as pipe:
                pipe.sadd(key, times_lost)
                pipe.expire(key, _KEEP_S)
                pipe.scard(key)
                starts = pipe.execute()[-1]
        except BrokerUnavailable as exc:
            raise QueueUnavailable(str(exc)) from None
        if starts >= MAX_DELIVERIES - 1:  # the first delivery was not recorded
            raise WorkerLost(
                f"delivered {MAX_DELIVERIES} times; the {MAX_DELIVERIES - 1} workers that had it before were lost"
            )
