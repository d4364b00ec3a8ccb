"""Follows the jobs of a backfill until each has ended, and counts how they did."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from producer.contract.records import to_ms
from producer.operations.requeue.selection import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.progress import Followed

DONE, DELETED = "done", "deleted"
_POLL_S = 0.5
# A worker takes a time to come for its own present, so the time that it records may be before the job's, by as much
# as its clock is behind ours.
_CLOCKS_APART_MS = 60_000


def follow(
    jobs: Iterable[list[Followed]],
    documents: ImageDocuments,
    report: Callable[[int], object],
    wait: Callable[[], None],
) -> Counter[str]:
    """Wait until all jobs have ended; return how many are `done`, `deleted`, or failed with which code.

    Args:
        jobs: The jobs, in chunks, in the order they were queued.
        documents: Where they end.
        report: Is told of each number of jobs that have ended.
        wait: Is called between two looks.

    Raises:
        StoreUnavailable: MongoDB did not answer.
    """
    ends: Counter[str] = Counter()
    for chunk in jobs:
        left = chunk
        while left:
            found = documents.by_id([job.document_id for job in left])
            looked = [(job, end_of(job, found.get(job.document_id))) for job in left]
            ended = Counter(end for _, end in looked if end)
            ends += ended
            report(ended.total())
            left = [job for job, end in looked if end is None]
            if left:
                wait()
    return ends


def pause() -> None:
    """Wait between two looks at the documents."""
    time.sleep(_POLL_S)


def end_of(job: Followed, record: Document | None) -> str | None:
    """Return how the job ended, None if it has not. A job enqueued later ends it too.

    Args:
        job: The job.
        record: The document's `embedding_job`; None if there is no such document.
    """
    if record is None:
        return DELETED
    at_ms = to_ms(record.get("enqueued_at"))
    if record.get("status") not in ENDED or at_ms is None:
        return None
    if at_ms < job.enqueued_at_ms and (at_ms == job.before_ms or at_ms < job.enqueued_at_ms - _CLOCKS_APART_MS):
        return None
    return DONE if record["status"] == "done" else _code_of(record)


def _code_of(record: Document) -> str:
    error = record.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and code.isprintable() and code not in (DONE, DELETED) else "unknown"
