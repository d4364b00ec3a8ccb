"""Jobs that a lost worker had: whether one of them is what the workers die of.

A worker that dies had dozens of jobs, of which at most one is to blame. So these run one at a time in a process, each
start is noted on Redis before it and forgotten after it, and only a job that was running when workers died, again and
again, is given up. At its first delivery nothing is noted: there it was one of many.
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

# Of one job: at this one it is given up.
MAX_DELIVERIES = 3
_NOTED_FOR_S = 24 * 3600


class Quarantine:
    """Runs them one at a time; safe to share between threads.

    Args:
        broker: Where starts are noted.
        wait_s: Seconds that a job waits for another's end, before it goes back to the queue.
    """

    def __init__(self, broker: Broker, *, wait_s: float) -> None:
        self._broker = broker
        self._wait_s = wait_s
        self._running = threading.Lock()

    @contextmanager
    def trial(self, task_id: str, times_lost: int) -> Iterator[None]:
        """Run one job alone among its like.

        Args:
            task_id: The job's task.
            times_lost: How often its worker was lost. This number is what is noted, so that a start that is noted
                twice, or given back and started anew, counts once.

        Raises:
            WorkerLost: This is its third delivery, and it was running when the worker of the second was lost.
            IsolationBusy: Another one did not end in time.
            QueueUnavailable: Redis is away.
        """
        if not self._running.acquire(timeout=self._wait_s):
            raise IsolationBusy("another job whose worker was lost runs first")
        try:
            # A job that is given up stays noted: its failure may have to be recorded at another delivery.
            self._note_start(f"clipqueue:suspect:{task_id}", times_lost)
            try:
                yield
            finally:
                # If that fails: it is noted for a day only.
                with suppress(BrokerUnavailable), self._broker.commands("did not answer") as redis:
                    redis.delete(f"clipqueue:suspect:{task_id}")
        finally:
            self._running.release()

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()

    def _note_start(self, key: str, times_lost: int) -> None:
        try:
            with self._broker.commands("did not answer") as redis, redis.pipeline() as pipe:
                pipe.sadd(key, times_lost)
                pipe.expire(key, _NOTED_FOR_S)
                pipe.scard(key)
                starts = pipe.execute()[-1]
        except BrokerUnavailable as exc:
            raise QueueUnavailable(str(exc)) from None
        if starts >= MAX_DELIVERIES - 1:  # the first delivery was not noted
            raise WorkerLost(
                f"delivered {MAX_DELIVERIES} times; the {MAX_DELIVERIES - 1} workers that had it before were lost"
            )
