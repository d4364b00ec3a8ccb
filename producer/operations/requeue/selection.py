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
# The fields of `embedding_job` that tell whether a vector is current, and the time that its next job must exceed.
COMPARED = ("status", "model", "url", "enqueued_at")
# The field of the URL that a job was recorded with.
RECORDED_URL = "embedding_job.url"
# The client writes a UUID. Other programs may write anything, and the id becomes a part of a JSON text.
_TASK_ID = re.compile(r"[0-9A-Za-z-]{1,255}")

_STATES = {
    MISSING_OR_STALE: {MISSING, STALE},
    MISSING: {MISSING},
    FAILED: {FAILED},
    STALE: {STALE},
    ALL: {MISSING, FAILED, STALE, CURRENT},
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

    @property
    def states(self) -> set[str]:
        """The states of the selected documents."""
        return _STATES[self.only]

    def includes(self, document: Document) -> bool:
        """Return whether the document is selected, provided that it has a URL."""
        return self.state_of(document) in self.states

    def state_of(self, document: Document) -> str:
        """Return `MISSING`, `FAILED`, `STALE` or `CURRENT`."""
        record = _record(document)
        if record.get("status") not in FINISHED:
            return MISSING
        if record["status"] == "failed":
            return FAILED
        is_same_model = self.model is None or record.get("model") == self.model
        # A picture that was uploaded has no URL (an index says null then). It is not replaced by the one that the
        # document's field names.
        url = record.get("url")
        is_same_picture = url is None or url == read_url(document, self.url_field)
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
    record = _record(document)
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
    value = _read_field(document, url_field)
    return value if isinstance(value, str) and value else None


def _record(document: Document) -> Document:
    """Return the document's `embedding_job`, as far as it was read."""
    return job_record(document) or {
        name: value for name in COMPARED if (value := _read_field(document, f"embedding_job.{name}")) is not None
    }


def _read_field(document: Document, field: str) -> Any:
    # The embedded MongoDB server returns a dotted field under its whole name, not as sub-documents.
    value: Any = document.get(field)
    if value is None:
        value = document
        for name in field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    return value
