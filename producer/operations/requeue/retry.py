"""Says what a retry enqueues: the failed jobs, each with the URL that failed. `clipqueue retry` and `top` share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.operations.requeue.backfill import BackfillOptions
from producer.operations.requeue.parts import both
from producer.operations.requeue.selection import FAILED, RECORDED_URL, Selection

if TYPE_CHECKING:
    from producer.contract.records import Document


def retry_options(
    query: Document, code: Any = None, limit: int | None = None, *, watch: bool = False
) -> BackfillOptions:
    """Return the options of a backfill that enqueues failed jobs.

    Args:
        query: Only documents that match this query.
        code: Only jobs that failed with this error code; None is any.
        limit: Maximum number of jobs.
        watch: Wait for the results.
    """
    has_code = {} if code is None else {"embedding_job.error.code": code}
    return BackfillOptions(Selection(RECORDED_URL, FAILED), both(query, has_code), limit, watch)
