"""When a job is tried again: exponential backoff with full jitter, capped, honouring what the server asked."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.errors import TransientError


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon.

    Attributes:
        max_retries: Retries after the first attempt.
        base_s: Seconds before the first retry, at most; doubles each time.
        cap_s: Most seconds before any retry. A countdown waits unacked in the worker's memory, so it must stay
            well below the visibility timeout, or Redis gives the job to a second worker (celery#5935).
    """

    max_retries: int
    base_s: float
    cap_s: float

    def allows(self, retries: int) -> bool:
        """Return whether a job that was retried `retries` times may be retried again."""
        return retries < self.max_retries

    def countdown_s(self, retries: int, error: TransientError, jitter: float | None = None) -> float:
        """Return the seconds to wait.

        Follows "full jitter" (AWS Architecture Blog, Exponential Backoff And Jitter), but never less than half,
        so that a retry is never at once. `jitter` is a number from 0 to 1, drawn anew if not given.
        """
        backoff = min(self.cap_s, self.base_s * 2.0**retries)
        spread = 0.5 + 0.5 * (random.random() if jitter is None else jitter)  # noqa: S311  (not a secret)
        return min(self.cap_s, max(backoff * spread, error.retry_after_s or 0.0))
