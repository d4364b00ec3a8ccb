"""The log's lines about each attempt of a job, or one line for many of them when there are too many."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Literal

from worker.errors import JobError
from worker.telemetry.job_text import fields_of, level_of, text_of
from worker.telemetry.labels import code_of, reason_of
from worker.telemetry.left_out import LeftOut
from worker.telemetry.line_rate import LineRate

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.telemetry.job_end import JobEnd

logger = logging.getLogger(__name__)

SUMMARY_S = 10.0


class JobLog:
    """Writes how each attempt ended. Thread-safe.

    Args:
        jobs: `all` writes a line for each attempt; `failed` only for jobs that failed, were retried, or were requeued
            for a reason that is not normal; `auto` for each. Of the last two, lines above a rate are left out.
        summary_s: Seconds from the first line that is left out until the line that stands for all left out.
        clock: Returns seconds.
    """

    def __init__(
        self,
        jobs: Literal["auto", "all", "failed"] = "auto",
        *,
        summary_s: float = SUMMARY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._summary_s = summary_s
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = LineRate(clock)
        self._left_out: LeftOut | None = None

    def job_ended(self, end: JobEnd) -> None:
        """Log one end, or count it for the summary."""
        level = level_of(end)
        if logger.isEnabledFor(level) and self._has_line(end, level):
            logger.log(level, "%s", text_of(end), extra=fields_of(end))

    def summarize(self) -> None:
        """Write the line for the jobs that were left out so far, if there are any. Call it at the end, too."""
        with self._lock:
            left_out, self._left_out = self._left_out, None
        if left_out is not None:
            now = self._clock()
            level = logging.WARNING if left_out.has_errors else logging.INFO
            logger.log(level, "%s", left_out.text(now), extra=left_out.fields(now))

    def _has_line(self, end: JobEnd, level: int) -> bool:
        if self._jobs == "all":
            return True
        is_trouble = level >= logging.WARNING or end.outcome == "retried"
        is_wanted = is_trouble or self._jobs == "auto"
        code = _code(end)
        with self._lock:
            has_line = is_wanted and (self._rate.allows_failure(code) if is_trouble else self._rate.allows_job())
            if is_wanted and not has_line:
                self._leave_out(end, code)
            if self._left_out:
                self._left_out.ended += 1
        return has_line

    def _leave_out(self, end: JobEnd, code: str) -> None:
        if self._left_out is None:
            self._left_out = LeftOut(self._clock())
            timer = threading.Timer(self._summary_s, self.summarize)
            timer.daemon = True
            timer.start()
        self._left_out.add(end, code)


def _code(end: JobEnd) -> str:
    if end.error is None:
        return ""
    return code_of(end.error) if isinstance(end.error, JobError) else reason_of(end.error)
