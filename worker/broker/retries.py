"""When a failed job is retried: exponential backoff with jitter, a cap, and the server's Retry-After."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.errors import TransientError


@dataclass(frozen=True)
class RetryPolicy:
    """How often a job is retried, and after how long.

    Attributes:
        max_retries: Retries after the first attempt.
        base_s: Maximum seconds before the first retry; doubles with each retry.
        cap_s: Maximum seconds before any retry. A retry waits unacked in the worker's memory, so this must stay well
            below the visibility timeout, or Redis redelivers the job to a second worker (celery#5935).
    """

    max_retries: int
    base_s: float
    cap_s: float

    def allows(self, retries: int) -> bool:
        """Return whether a job with `retries` retries may be retried again."""
        return retries < self.max_retries

    def countdown_s(self, retries: int, error: TransientError, jitter: float | None = None) -> float:
        """Return the seconds to wait before the next retry.

        Follows "full jitter" (AWS Architecture Blog, Exponential Backoff And Jitter), but waits at least half of the
        backoff, so that no retry is immediate.

        Args:
            retries: Retries so far.
            error: Why the job failed; its `retry_after_s` is honoured up to the cap.
            jitter: A number from 0 to 1; random by default.
        """
        backoff = min(self.cap_s, self.base_s * 2.0**retries)
        share = 0.5 + 0.5 * (random.random() if jitter is None else jitter)  # noqa: S311  (not a secret)
        return min(self.cap_s, max(backoff * share, error.retry_after_s or 0.0))
