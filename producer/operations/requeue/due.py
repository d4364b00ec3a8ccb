"""Decides which documents of a sweep are due. Nothing is read or written here."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from bson import ObjectId

from producer.contract.errors import InvalidJob
from producer.contract.records import job_record, to_ms
from producer.contract.urls import redact_text
from producer.operations.requeue.selection import job_of

if TYPE_CHECKING:
    from producer.contract.job import ImageJob
    from producer.contract.records import Document

_MAX_ID_CHARS = 80
_NAMESPACE = uuid.UUID("6f0d6c1e-9f6b-4c0c-8d53-0b0a6c6f3a51")  # any one, but never another


class SweepPlan:
    """Sorts the documents of one chunk by what the sweep does with each.

    Attributes:
        due: The jobs to enqueue, each with its document's key in the set of seen documents.
        newly_seen: The keys to add to that set.
        problems: The problems of documents that no sweep has seen before.
        not_due: Number of documents that have not waited long enough.
        unusable: Number of documents whose id or URL is not valid.
        now_ms: The time of the plan, by the clock of Redis, in milliseconds since the epoch.
    """

    def __init__(self, url_field: str, age_ms: int, now_ms: int, read_ms: int) -> None:
        self.due: list[tuple[str, ImageJob]] = []
        self.newly_seen: list[str] = []
        self.problems: list[str] = []
        self.not_due = 0
        self.unusable = 0
        self._url_field = url_field
        self._age_ms = age_ms
        self.now_ms = now_ms
        self._read_ms = read_ms

    def add(self, document: Document, seen_ms: float | None) -> None:
        """Classify one document; one without a URL is ignored.

        Args:
            document: The document as it was read.
            seen_ms: When a sweep last enqueued it, or first saw it; None if no sweep has seen it.
        """
        try:
            job = job_of(document, self._url_field, self._read_ms)
        except InvalidJob as exc:
            self._add_unusable(document, str(exc), is_new=seen_ms is None)
            return
        if job is not None:
            self._add_job(document, job, seen_ms)

    def _add_job(self, document: Document, job: ImageJob, seen_ms: float | None) -> None:
        # A time in the future comes from a wrong clock. It is ignored, or the document would wait until then.
        times = [at for at in (_waiting_since_ms(document), seen_ms) if at is not None and at <= self.now_ms]
        if self.now_ms - max(times, default=self.now_ms) >= self._age_ms:
            self.due.append((seen_key(document), _with_task_id(job, document)))
            return
        self.not_due += 1
        if not times:
            self.newly_seen.append(seen_key(document))

    def _add_unusable(self, document: Document, problem: str, *, is_new: bool) -> None:
        self.unusable += 1
        if is_new:
            self.problems.append(f"{printable_id(document)}: {problem}")
            self.newly_seen.append(seen_key(document))


def seen_key(document: Document) -> str:
    """Return the document's key in the set of seen documents: the type of its id and the id."""
    return f"{type(document['_id']).__name__}:{document['_id']}"


def printable_id(document: Document) -> str:
    """Return the document's id without control characters and the queries of URLs, truncated."""
    document_id = document["_id"]
    # An id may be a URL.
    return str(document_id) if isinstance(document_id, ObjectId) else redact_text(repr(document_id))[:_MAX_ID_CHARS]


def _with_task_id(job: ImageJob, document: Document) -> ImageJob:
    """Return the job with a task id that is the same in each sweep, so that a later one knows a delayed job again."""
    if job.task_id is not None:
        return job
    name = f"{seen_key(document)} {job_record(document).get('enqueued_at')} {job.url}"
    return replace(job, task_id=str(uuid.uuid5(_NAMESPACE, name)))


def _waiting_since_ms(document: Document) -> int | None:
    record = job_record(document)
    at_ms = to_ms(record.get("enqueued_at")) if record.get("status") == "pending" else None
    if at_ms is None and isinstance(document["_id"], ObjectId):
        return to_ms(document["_id"].generation_time)
    return at_ms
