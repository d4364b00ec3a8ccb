"""Watches the jobs of a backfill until each is done, failed or deleted, and counts the results."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from producer.contract.records import to_ms
from producer.operations.requeue.selection import FINISHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from producer.contract.records import Document
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.progress import WatchedJob

DONE, DELETED = "done", "deleted"


def watch_jobs(
    pages: Iterable[list[WatchedJob]],
    documents: ImageDocuments,
    report: Callable[[int], object],
    wait: Callable[[], None],
) -> Counter[str]:
    """Wait until all jobs have finished; return how many are `done`, `deleted`, or failed with each error code.

    Args:
        pages: The jobs, in the order in which they were enqueued.
        documents: The documents that get the results.
        report: Called with the number of jobs that have finished since the last call.
        wait: Called between two polls.

    Raises:
        StoreUnavailable: MongoDB could not be reached.
    """
    results: Counter[str] = Counter()
    for page in pages:
        unfinished = page
        while unfinished:
            records = documents.by_id([job.document_id for job in unfinished])
            polled = [(job, result_of(job, records.get(job.document_id))) for job in unfinished]
            finished = Counter(result for _, result in polled if result)
            results += finished
            report(finished.total())
            unfinished = [job for job, result in polled if result is None]
            if unfinished:
                wait()
    return results


def result_of(job: WatchedJob, record: Document | None) -> str | None:
    """Return `done`, `deleted` or an error code; None if the job is unfinished.

    The result of a job that was enqueued later counts too.

    Args:
        job: The job.
        record: The document's `embedding_job`; None if the document does not exist.
    """
    if record is None:
        return DELETED
    at_ms = to_ms(record.get("enqueued_at"))
    if record.get("status") not in FINISHED or at_ms is None or at_ms < job.enqueued_at_ms:
        return None
    return DONE if record["status"] == "done" else _error_code(record)


def _error_code(record: Document) -> str:
    error = record.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and code.isprintable() and code not in (DONE, DELETED) else "unknown"
