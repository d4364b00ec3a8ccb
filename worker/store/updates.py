"""Which fields a finished job sets in its document, and when the document must stay as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymongo import InsertOne, UpdateOne

from producer.contract.job import now_ms
from producer.contract.records import (
    BsonId,
    Document,
    bson_date,
    bson_id,
    supersedes,
    unchanged_filter,
    vector_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from producer.contract.fields import EmbeddingJob
    from producer.contract.job import ImageJob
    from producer.contract.queries import Save
    from worker.store.bulk import Operation
    from worker.store.results import Failure, Result


@dataclass(frozen=True)
class Update:
    """An update of one document, computed from the `embedding_job` that was read from it.

    Attributes:
        document_id: The document's `_id`.
        url: The field `url` of a document that the update creates; None creates it without one.
        enqueued_at: When the job was enqueued.
        task_id: The job's task id; None if it is unknown.
        change: Returns the fields to set; None leaves the document as it is.
    """

    document_id: BsonId
    url: str | None
    enqueued_at: datetime
    task_id: str | None
    change: Callable[[Document], Document | None]

    def fields(self, stored: Document | None) -> Document | None:
        """Return the fields to set; None if a job that was enqueued later is recorded, or nothing is to change.

        Python compares the dates, because nx-27017, the embedded server of `clipqueue up`, compares them only to the
        second.
        """
        stored = stored or {}
        return None if supersedes(stored, self.enqueued_at, self.task_id) else self.change(stored)

    def operation(self, stored: Document | None, fields: Document, *, upsert: bool) -> Operation:
        """Return the write operation. If the document has changed, it matches nothing or fails with a duplicate `_id`.

        `fields` must hold the whole `embedding_job`: nx-27017 stores a date as a string if it is set by a dotted name.
        """
        on_insert = {} if self.url is None else {"url": self.url}
        if stored is None:
            # Not an upsert: nx-27017 turns the ObjectId of an upsert into a string.
            return InsertOne({"_id": self.document_id, **on_insert, **fields})
        update = {"$set": fields, **({"$setOnInsert": on_insert} if on_insert and upsert else {})}
        return UpdateOne(unchanged_filter(self.document_id, stored), update, upsert=upsert)


def vector_update(job: ImageJob, result: Result, attempts: int) -> Update:
    """Return the update that writes a vector."""
    enqueued_at = bson_date(job.enqueued_at_ms)
    record = _done_record(result, enqueued_at, attempts)
    record["url"] = job.url
    fields = {"embedding": result.vector.tolist(), "embedding_job": record}
    return Update(bson_id(job.image_id), job.url, enqueued_at, job.task_id, lambda _: fields)


def upload_update(save: Save, result: Result) -> Update:
    """Return the update that writes the vector of an uploaded picture. Its `embedding_job` has no `url`."""
    enqueued_at = bson_date(save.enqueued_at_ms)
    fields = {"embedding": result.vector.tolist(), "embedding_job": _done_record(result, enqueued_at, attempts=1)}
    return Update(bson_id(save.image_id), None, enqueued_at, None, lambda _: fields)


def failure_update(failure: Failure) -> Update:
    """Return the update that records a failure. An earlier vector stays, with the fields that describe it."""
    enqueued_at = bson_date(failure.enqueued_at_ms)
    record: EmbeddingJob = {
        "status": "failed",
        "enqueued_at": enqueued_at,
        "finished_at": bson_date(now_ms()),
        "attempts": failure.attempts,
        "error": {
            "code": failure.error.code,
            "stage": failure.error.stage,
            "message": failure.message,
        },
    }
    if failure.url is not None:
        record["url"] = failure.url

    def change(stored: Document) -> Document | None:
        if (stored.get("status"), stored.get("url"), stored.get("enqueued_at")) == ("done", failure.url, enqueued_at):
            return None  # the same job ran twice, and the other run succeeded
        return {"embedding_job": {**vector_fields(stored), **record}}

    return Update(bson_id(failure.image_id), failure.url, enqueued_at, failure.task_id, change)


def _done_record(result: Result, enqueued_at: datetime, attempts: int) -> EmbeddingJob:
    return {
        "status": "done",
        "model": result.model,
        "dim": len(result.vector),
        "sha256": result.sha256,
        "width": result.width,
        "height": result.height,
        "format": result.format,
        "enqueued_at": enqueued_at,
        "finished_at": bson_date(now_ms()),
        "attempts": attempts,
    }
