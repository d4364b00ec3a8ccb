"""The log's lines about each attempt of a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import JobError, QueueUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from worker.errors import Requeue
    from worker.telemetry.job_end import JobEnd

logger = logging.getLogger(__name__)


class JobLog:
    """Writes how each attempt ended. Thread-safe."""

    def job_ended(self, end: JobEnd) -> None:
        """Log one end."""
        if isinstance(end.error, JobError):
            _log_error(end, end.error)
        elif end.error is not None:
            logger.log(_level(end.error), "task=%s requeued: %s", end.task_id, end.error)
        else:
            outcome = f"skipped ({end.verdict})" if end.outcome == "skipped" else f"done batch={end.batch_size}"
            logger.info("job=%s %s %s url=%s", end.image_id, outcome, end.times, redact_url(end.url or ""))


def _log_error(end: JobEnd, error: JobError) -> None:
    if end.times.seconds:
        logger.warning("job=%s error after %s: %s", end.image_id, end.times, error)
    if end.outcome == "retried":
        logger.info("job=%s runs again in %g s: retry %d (%s)", end.image_id, end.retry_in_s, end.attempts, error.code)
    else:
        logger.warning("job=%s failed stage=%s code=%s", end.image_id, error.stage, error.code)


def _level(error: Requeue) -> int:
    # A busy host or decoder is normal and may requeue dozens of jobs a second.
    return logging.WARNING if isinstance(error, StoreUnavailable | QueueUnavailable) else logging.DEBUG
