"""Decides which documents need a vector, and makes the job of each. Pure functions: nothing is read or written here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from producer.contract.ids import parse_image_id
from producer.contract.job import ImageJob, believable_ms
from producer.contract.records import Document, job_record, to_ms

MISSING, FAILED, STALE, CURRENT = "missing", "failed", "stale", "current"
ALL = "all"
# The default: documents that lack a current vector and have not failed.
MISSING_OR_STALE = "missing or stale"
FINISHED = ("done", "failed")
# The client writes a UUID. Other programs may write anything, and the id becomes a part of a JSON text.
_TASK_ID = re.compile(r"[0-9A-Za-z-]{1,255}")

_STATES = {
    MISSING_OR_STALE: {MISSING, STALE},
    MISSING: {MISSING},
    FAILED: {FAILED},
    STALE: {STALE},
    ALL: {MISSING, FAILED, STALE, CURRENT},
}
_QUERIES: dict[str, Document] = {
    MISSING_OR_STALE: {"embedding_job.status": {"$ne": "failed"}},
    MISSING: {"embedding_job.status": {"$nin": list(FINISHED)}},
    FAILED: {"embedding_job.status": "failed"},
    STALE: {"embedding_job.status": "done"},
    ALL: {},
}


@dataclass(frozen=True)
class Selection:
    """The documents to enqueue.

    Attributes:
        url_field: The field of a document's URL; a dotted name reaches into sub-documents.
        only: `MISSING`, `FAILED`, `STALE`, `MISSING_OR_STALE`, or `ALL`, which also forces a new vector.
        model: A vector of another model is stale. With None the model is not compared.
    """

    url_field: str
    only: str = MISSING_OR_STALE
    model: str | None = None

    def query(self) -> Document:
        """Return the part of the selection that MongoDB can evaluate."""
        return _QUERIES[self.only]

    def includes(self, document: Document) -> bool:
        """Return whether the document is selected, provided that it has a URL."""
        return self.state_of(document) in _STATES[self.only]

    def state_of(self, document: Document) -> str:
        """Return `MISSING`, `FAILED`, `STALE` or `CURRENT`."""
        record = job_record(document)
        if record.get("status") not in FINISHED:
            return MISSING
        if record["status"] == "failed":
            return FAILED
        is_same_model = self.model is None or record.get("model") == self.model
        # A picture that was uploaded has no URL. It is not replaced by the one that the document's field names.
        is_same_picture = "url" not in record or record["url"] == read_url(document, self.url_field)
        return CURRENT if is_same_model and is_same_picture else STALE

    def job_of(self, document: Document, read_ms: int) -> ImageJob | None:
        """Return the document's job as the module's function `job_of` does; with `ALL` it is forced."""
        return job_of(document, self.url_field, read_ms, force=self.only == ALL)


def job_of(document: Document, url_field: str, read_ms: int, *, force: bool = False) -> ImageJob | None:
    """Return the job for the document, or None if it has no URL.

    A pending job is returned as it was recorded, with its original time and task id. Otherwise the URL comes from the
    field, and the job's time is `read_ms`, so that a job which a backend enqueues after the document was read wins. If
    the backend's clock is ahead of this machine's, the job's time is just after the recorded one, or it would lose.

    Args:
        document: The document as it was read.
        url_field: The field of its URL.
        read_ms: A time at or before the read of the document, in milliseconds since the epoch.
        force: Embed again even if the vector is current.

    Raises:
        InvalidJob: The id or the URL is not valid.
    """
    record = job_record(document)
    stored_ms = to_ms(record.get("enqueued_at"))
    recorded_ms = None if stored_ms is None else believable_ms(stored_ms, read_ms)
    if record.get("status") == "pending" and isinstance(record.get("url"), str):
        url, at_ms, task_id = record["url"], recorded_ms, _task_id(record)
        force = force or record.get("force") is True
    else:
        url, at_ms, task_id = read_url(document, url_field), max(read_ms, (recorded_ms or 0) + 1), None
    if not url:
        return None
    return ImageJob(parse_image_id(document["_id"]), url, read_ms if at_ms is None else at_ms, force, task_id)


def _task_id(record: Document) -> str | None:
    value = record.get("task_id")
    return value if isinstance(value, str) and _TASK_ID.fullmatch(value) else None


def read_url(document: Document, url_field: str) -> str | None:
    """Return the string in the document's field, or None."""
    # The embedded MongoDB server returns a dotted field under its whole name, not as sub-documents.
    value: Any = document.get(url_field)
    if value is None:
        value = document
        for name in url_field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def projection(url_field: str) -> dict[str, int]:
    """Return the projection of the fields that a selection reads; the vector is not among them."""
    # MongoDB rejects a projection with a field and its parent.
    is_in_record = url_field.partition(".")[0] == "embedding_job"
    return {"embedding_job": 1} if is_in_record else {"embedding_job": 1, url_field: 1}
