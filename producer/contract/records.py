"""The record of a job, `embedding_job`, as MongoDB keeps it: what the client and the workers both must agree on.

Pure functions on documents that were read; whoever calls them reads and writes. Needs bson, which pymongo brings.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from producer.contract.job import ImageId, ImageJob, ObjectIdRef

Document = dict[str, Any]
BsonId = str | ObjectId

# What describes the vector and not the last job: kept when a later job waits or fails.
VECTOR_FIELDS = ("model", "dim", "sha256", "width", "height", "format")
# What no two writes of a job have in common.
VERSION = ("status", "url", "sha256", "enqueued_at", "finished_at")
DUPLICATE_KEY = 11000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bson_id(image_id: ImageId) -> BsonId:
    """Return the `_id` of the document."""
    return ObjectId(image_id.hex) if isinstance(image_id, ObjectIdRef) else image_id


def bson_date(ms: int) -> datetime:
    """Return milliseconds since the epoch as the date that MongoDB stores."""
    return _EPOCH + timedelta(milliseconds=ms)


def to_ms(date: object) -> int | None:
    """Return a stored date in milliseconds since the epoch; None for what is no date."""
    return (date - _EPOCH) // timedelta(milliseconds=1) if isinstance(date, datetime) else None


def job_record(document: Document) -> Document:
    """Return a document's `embedding_job`, empty if it has none."""
    stored = document.get("embedding_job")
    return stored if isinstance(stored, dict) else {}


def is_enqueued_later(stored: Document, enqueued_at: datetime) -> bool:
    """Return whether the stored job was enqueued after this time."""
    at = stored.get("enqueued_at")
    return isinstance(at, datetime) and at > enqueued_at


def vector_fields(stored: Document) -> Document:
    """Return the fields that stay with an earlier vector."""
    return {key: stored[key] for key in VECTOR_FIELDS if key in stored}


def unchanged(document_id: BsonId, stored: Document) -> Document:
    """Return a filter that matches the document only while its job is the one that was read."""
    same = {f"embedding_job.{key}": stored.get(key, {"$exists": False}) for key in VERSION}
    return {"_id": document_id, **same}


def pending_record(stored: Document, job: ImageJob) -> Document | None:
    """Return what is to stand in place of `stored` while the job waits; None if that stays as it is.

    It stays if it is of a later job, and if a worker would find the vector there already.
    """
    enqueued_at = bson_date(job.enqueued_at_ms)
    is_there = not job.force and (stored.get("status"), stored.get("url")) == ("done", job.url)
    if is_there or is_enqueued_later(stored, enqueued_at):
        return None
    record = {**vector_fields(stored), "status": "pending", "url": job.url, "enqueued_at": enqueued_at}
    if job.force:
        record["force"] = True  # whoever queues the job again must ask for the same
    return None if record == stored else record


def describe_error(exc: PyMongoError) -> str:
    """Return what may be said of an error of MongoDB's, whose text may repeat a document, and with it a signed URL."""
    if isinstance(exc, ConnectionFailure):
        # What follows describes the settings and the whole topology.
        return str(exc).partition(" (configured timeouts")[0].partition(", Timeout: ")[0]
    if isinstance(exc, OperationFailure):
        return str((exc.details or {}).get("codeName") or f"error {exc.code}")
    return type(exc).__name__
