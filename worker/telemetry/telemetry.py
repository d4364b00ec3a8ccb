"""Where each attempt of a job is told to the operators, once it has ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from worker.telemetry.job_log import JobLog

if TYPE_CHECKING:
    from worker.telemetry.job_end import JobEnd

logger = logging.getLogger(__name__)


class Telemetry:
    """Tells operators of each attempt. Thread-safe."""

    def __init__(self) -> None:
        self._job_log = JobLog()

    def job_ended(self, end: JobEnd) -> None:
        """Tell how an attempt ended. Never raises: the job's result is stored, and must not fail because of this."""
        try:
            self._job_log.job_ended(end)
        except Exception:  # as above
            logger.exception("cannot tell the end of a job; the job itself is not affected")
