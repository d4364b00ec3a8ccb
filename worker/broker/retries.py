"""When a failed job is retried, and with which message: backoff with jitter, and the server's Retry-After."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.message import task_message
from producer.contract.text import compact_json
from worker.broker.scripts import LOST_HEADER

if TYPE_CHECKING:
    from celery.app.task import Context

    from producer.contract.job import ImageJob
    from worker.errors import TransientError

# A message's header: how many of its retries were after errors that have a maximum of their own.
OWN_RETRIES_HEADER = "clipqueue_own_retries"
_MAX_DOUBLINGS = 64  # a larger power of 2 may be no number any more


@dataclass(frozen=True)
class RetryPolicy:
    """How often a job is retried, and after how long.

    Attributes:
        max_retries: Retries after the first attempt.
        base_s: Maximum seconds before the first retry; doubles with each retry.
        cap_s: Maximum seconds before any retry, unless the server asks for more.
        retry_after_max_s: Maximum seconds that a server may ask for.
    """

    max_retries: int
    base_s: float
    cap_s: float
    retry_after_max_s: float

    def allows(self, error: TransientError, retries: int, own_retries: int) -> bool:
        """Return whether a job may be retried again.

        Args:
            error: Why it failed.
            retries: Retries so far.
            own_retries: How many of them were after errors that have a maximum of their own.
        """
        has_own_left = error.max_retries is None or own_retries < error.max_retries
        return retries < self.max_retries and has_own_left

    def wait_s(self, retries: int, error: TransientError, jitter: float | None = None) -> float:
        """Return the seconds to wait before the next retry.

        Follows "full jitter" (AWS Architecture Blog, Exponential Backoff And Jitter), but waits at least half of the
        backoff, so that no retry is immediate. What the server asks for makes the wait longer, never shorter.

        Args:
            retries: Retries so far.
            error: Why the job failed, with its `retry_after_s`.
            jitter: A number from 0 to 1; random by default.
        """
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(retries, _MAX_DOUBLINGS))
        share = 0.5 + 0.5 * (random.random() if jitter is None else jitter)  # noqa: S311  (not a secret)
        return max(backoff * share, min(error.retry_after_s or 0.0, self.retry_after_max_s))


def retry_message(job: ImageJob, request: Context, error: TransientError) -> bytes:
    """Return the message of a job's next attempt. It keeps the time of the first enqueue, and its trace.

    Args:
        job: The job.
        request: Celery's request of this attempt.
        error: Why it failed.
    """
    message = task_message(job.to_kwargs(), request.id, {})
    own_retries = request.get(OWN_RETRIES_HEADER, 0) + (error.max_retries is not None)
    message["headers"] |= {
        "retries": request.retries + 1,
        OWN_RETRIES_HEADER: own_retries,
        LOST_HEADER: request.get(LOST_HEADER, 0),
        **job.trace,
    }
    return compact_json(message).encode()
