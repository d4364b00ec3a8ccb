"""Finds poison messages: jobs that kill every worker that runs them.

A worker that dies had dozens of jobs, and it may have been killed from outside. So the death of a worker is no evidence
against the jobs that it held. A job that two dead workers had held is a suspect, and runs with no other job in its
process. Redis records the start of each such run and forgets it at the end. A job that has killed two workers while it
ran alone has failed.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from worker.broker import scripts
from worker.errors import QueueUnavailable, WorkerLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.client.broker import Broker
    from worker.broker.isolation import Isolation

# How many workers died while they held a job that now runs alone.
SUSPECT_AFTER = 2
# How many workers died while they ran a job alone that now has failed.
MAX_DEATHS_ALONE = 2
_KEEP_S = 24 * 3600
_NO_ANSWER = "did not answer"


class Quarantine:
    """Runs suspects alone, and all other jobs side by side. Thread-safe.

    Args:
        broker: Records the starts of suspects.
        isolation: The lock that the jobs of this process share.
        check: Called while a job waits for its turn; what it raises ends the wait.
    """

    def __init__(self, broker: Broker, isolation: Isolation, check: Callable[[], None]) -> None:
        self._broker = broker
        self._isolation = isolation
        self._check = check

    @contextmanager
    def admit(self, task_id: str, times_lost: int) -> Iterator[None]:
        """Run one job, alone if it is a suspect.

        Args:
            task_id: The job's task.
            times_lost: How many workers died while they held the job. Redis keeps a set of these numbers, so a job that
                starts again before another worker has died is counted once.

        Raises:
            WorkerLost: Two workers have died while they ran this job alone.
            QueueUnavailable: Redis is unavailable.
        """
        if times_lost < SUSPECT_AFTER:
            with self._isolation.beside_others(self._check):
                yield
            return
        with self._isolation.alone(self._check):
            key = f"clipqueue:suspect:{task_id}"
            # Outside the inner `try`, so that WorkerLost keeps the record: if the failure cannot be saved now, the next
            # delivery must fail too.
            self._record_start(key, times_lost)
            try:
                yield
            finally:
                # If Redis is unavailable, the record expires after a day.
                with suppress(BrokerUnavailable), self._broker.commands(_NO_ANSWER) as redis:
                    redis.delete(key)

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()

    def _record_start(self, key: str, times_lost: int) -> None:
        try:
            with self._broker.commands(_NO_ANSWER) as redis:
                starts = scripts.start_alone(redis, key, times_lost, _KEEP_S)
        except BrokerUnavailable as exc:
            raise QueueUnavailable(str(exc)) from None
        if starts > MAX_DEATHS_ALONE:
            raise WorkerLost(f"{MAX_DEATHS_ALONE} workers were lost while each ran only this job")
