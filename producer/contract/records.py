"""How a job is recorded in its document's field `embedding_job`. The client and the workers follow the same rules.

Contains pure functions on documents that the caller has read. Needs the package bson, which pymongo installs.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bson import ObjectId

from .errors import InvalidJob
from .ids import ID_TYPES, ObjectIdRef, image_id_of_text
from .job import MAX_AHEAD_MS, now_ms

if TYPE_CHECKING:
    from .ids import ImageId
    from .job import ImageJob

Document = dict[str, Any]
BsonId = str | int | UUID | ObjectId

# These describe the vector, not the last job. They stay when a later job is pending or fails.
VECTOR_FIELDS = ("model", "dim", "sha256", "width", "height", "format")
# Together these fields identify one version of `embedding_job`: every write changes at least one of them.
VERSION_FIELDS = ("status", "url", "sha256", "enqueued_at", "finished_at", "task_id")
# How often a compare and swap is tried before it is an error.
MAX_SWAPS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bson_id(image_id: ImageId) -> BsonId:
    """Return the `_id` of the document."""
    return ObjectId(image_id.hex) if isinstance(image_id, ObjectIdRef) else image_id


def image_id_of(document_id: BsonId) -> ImageId:
    """Return the id of a document's image, the reverse of `bson_id`. A whole float in MongoDB is an integer."""
    if isinstance(document_id, ObjectId):
        return ObjectIdRef(str(document_id))
    return int(document_id) if isinstance(document_id, int | float) else document_id


def possible_ids(text: str) -> list[BsonId]:
    """Return the `_id`s that a text may stand for: the UUID, integer or ObjectId that it spells, then the string."""
    found = []
    for id_type in reversed(ID_TYPES):
        with suppress(InvalidJob):
            found.append(bson_id(image_id_of_text(text, id_type)))
    return found


def bson_date(ms: int) -> datetime:
    """Return a time in milliseconds since the epoch as the date that MongoDB stores."""
    return _EPOCH + timedelta(milliseconds=ms)


def to_ms(date: object) -> int | None:
    """Return a stored date in milliseconds since the epoch; None if the value is not a date."""
    return (date - _EPOCH) // timedelta(milliseconds=1) if isinstance(date, datetime) else None


def job_record(document: Document) -> Document:
    """Return a document's `embedding_job`; an empty one if the document has none."""
    stored = document.get("embedding_job")
    return stored if isinstance(stored, dict) else {}


def supersedes(stored: Document, enqueued_at: datetime, task_id: str | None) -> bool:
    """Return whether the stored job is another one that was enqueued later.

    A job's own record never supersedes it, although the worker may have replaced the time of the message. A time that
    is too far ahead of this machine's clock is not later: workers do not believe it either.

    Args:
        stored: The document's `embedding_job`.
        enqueued_at: When the job was enqueued.
        task_id: The job's task id; None if it is unknown.
    """
    stored_ms = to_ms(stored.get("enqueued_at"))
    is_own = task_id is not None and stored.get("task_id") == task_id
    if is_own or stored_ms is None or stored_ms > now_ms() + MAX_AHEAD_MS:
        return False
    return bson_date(stored_ms) > enqueued_at


def vector_fields(stored: Document) -> Document:
    """Return the fields of a stored job that describe its vector."""
    return {key: stored[key] for key in VECTOR_FIELDS if key in stored}


def unchanged_filter(document_id: BsonId, stored: Document) -> Document:
    """Return the compare part of a compare and swap.

    Returns:
        A filter that matches the document only while its `embedding_job` is still `stored`.
    """
    same = {f"embedding_job.{key}": stored.get(key, {"$exists": False}) for key in VERSION_FIELDS}
    return {"_id": document_id, **same}


def pending_record(stored: Document, job: ImageJob) -> Document | None:
    """Return the `embedding_job` that records a job as pending.

    Returns:
        None if nothing is to be written: the stored job was enqueued later, is done for the same URL (and the new job
        is not forced), or is this job.
    """
    enqueued_at = bson_date(job.enqueued_at_ms)
    is_done = not job.force and (stored.get("status"), stored.get("url")) == ("done", job.url)
    if is_done or supersedes(stored, enqueued_at, job.task_id):
        return None
    record = {**vector_fields(stored), "status": "pending", "url": job.url, "enqueued_at": enqueued_at}
    if job.task_id is not None:
        record["task_id"] = job.task_id
    if job.force:
        record["force"] = True  # a sweep that enqueues the job again must pass it on
    return None if record == stored else record
