"""Where each attempt of a job is told to the operators, once it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.telemetry.never_raises import never_raises
from worker.telemetry.spans import describe_run
from worker.telemetry.stats import worker_stats

if TYPE_CHECKING:
    from producer.contract.fields import WorkerHeartbeat, WorkerStats
    from worker.telemetry.figures import Figures
    from worker.telemetry.job_end import JobEnd
    from worker.telemetry.job_log import JobLog
    from worker.telemetry.readings import Readings


class Telemetry:
    """What a worker process tells its operators. Thread-safe.

    Args:
        figures: Counts what the process does; its parts have them too.
        readings: How the process is now.
        facts: What does not change while it runs.
        job_log: Writes the lines about jobs.
    """

    def __init__(self, figures: Figures, readings: Readings, facts: WorkerHeartbeat, job_log: JobLog) -> None:
        self.figures = figures
        self.readings = readings
        self.facts = facts
        self._job_log = job_log

    def job_ended(self, end: JobEnd) -> None:
        """Tell how an attempt ended. Never raises: the job's result is stored, and must not fail because of this."""
        self.figures.job_ended(end)
        describe_run(end)
        self._log(end)

    @never_raises
    def stats(self) -> WorkerStats:
        """Return what the process has done, for its heartbeat; None after an error."""
        return worker_stats(self.figures, self.readings)

    def close(self) -> None:
        """Log what is not logged yet. Call it before the process ends."""
        self._job_log.summarize()

    @never_raises
    def _log(self, end: JobEnd) -> None:
        self._job_log.job_ended(end)
