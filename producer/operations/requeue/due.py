"""Which of the documents that a sweep reads are due to be queued again. It reads and writes nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import ObjectId

from producer.contract.errors import InvalidJob
from producer.contract.records import job_record, to_ms
from producer.operations.requeue.selection import job_of

if TYPE_CHECKING:
    from producer.contract.job import ImageJob
    from producer.contract.records import Document

_SHOWN_ID_CHARS = 80


class Judgement:
    """The documents of one chunk, sorted by what is to be done with each.

    Attributes:
        due: What to queue, each with its member of the set of what sweeps have seen.
        noticed: The members that this set is to have from now on.
        complaints: What is wrong with documents that no sweep has seen before.
        not_due: Documents that have not been owed a vector for long enough.
        unusable: Documents whose id or URL no worker could use.
    """

    def __init__(self, url_field: str, age_ms: int, now_ms: int, read_ms: int) -> None:
        self.due: list[tuple[str, ImageJob]] = []
        self.noticed: list[str] = []
        self.complaints: list[str] = []
        self.not_due = 0
        self.unusable = 0
        self._url_field = url_field
        self._age_ms = age_ms
        self._now_ms = now_ms
        self._read_ms = read_ms

    def add(self, document: Document, seen_ms: float | None) -> None:
        """Judge one document; `seen_ms` is when a sweep queued it last, or else first saw it. No URL is no matter."""
        try:
            job = job_of(document, self._url_field, self._read_ms)
        except InvalidJob as exc:
            self._refuse(document, str(exc), is_new=seen_ms is None)
            return
        if job is not None:
            self._weigh(document, job, seen_ms)

    def _weigh(self, document: Document, job: ImageJob, seen_ms: float | None) -> None:
        # A time to come is a wrong clock's: it would keep the document waiting until then.
        known = [at for at in (_owed_since_ms(document), seen_ms) if at is not None and at <= self._now_ms]
        if self._now_ms - max(known, default=self._now_ms) >= self._age_ms:
            self.due.append((member_of(document), job))
            return
        self.not_due += 1
        if not known:
            self.noticed.append(member_of(document))

    def _refuse(self, document: Document, complaint: str, *, is_new: bool) -> None:
        self.unusable += 1
        if is_new:
            self.complaints.append(f"{shown_id(document)}: {complaint}")
            self.noticed.append(member_of(document))


def member_of(document: Document) -> str:
    """Return the document's id with its type, as the set of what sweeps have seen has it."""
    return f"{type(document['_id']).__name__}:{document['_id']}"


def shown_id(document: Document) -> str:
    """Return the document's id as a terminal may show it."""
    document_id = document["_id"]
    return str(document_id) if isinstance(document_id, ObjectId) else repr(document_id)[:_SHOWN_ID_CHARS]


def _owed_since_ms(document: Document) -> int | None:
    record = job_record(document)
    at_ms = to_ms(record.get("enqueued_at")) if record.get("status") == "pending" else None
    if at_ms is None and isinstance(document["_id"], ObjectId):
        return to_ms(document["_id"].generation_time)
    return at_ms
