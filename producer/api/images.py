"""The images that the API enqueues, shows and forgets: jobs on Redis, and documents in MongoDB."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.api.failures import ApiError
from producer.client.queue import chunked, push
from producer.contract.ids import image_name
from producer.contract.job import next_enqueue_ms
from producer.contract.records import (
    MAX_SWAPS,
    bson_date,
    bson_id,
    image_id_of,
    job_record,
    to_ms,
    unchanged_filter,
)
from producer.documents.connection import store_errors
from producer.documents.recording import JobRecorder
from producer.search.vectors import parse_stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pymongo.collection import Collection

    from producer.client.broker import Broker
    from producer.contract.ids import ImageId
    from producer.contract.job import ImageJob
    from producer.contract.records import BsonId, Document

FINISHED = ("done", "failed")
_DELETED = "deleted"
_SHOWN = ("url", "model", "dim", "sha256", "width", "height", "format", "enqueued_at", "finished_at", "attempts")
_ENQUEUE_S = 10.0


class Images:
    """The images of one collection. Safe to share between threads. All methods may raise StoreUnavailable."""

    def __init__(self, collection: Collection[Document], broker: Broker) -> None:
        self._collection = collection
        self._recorder = JobRecorder(collection)
        self._broker = broker

    def enqueue(self, jobs: Sequence[ImageJob]) -> None:
        """Record the jobs as pending in their documents, then enqueue them.

        Raises:
            BrokerUnavailable: The jobs are recorded but not enqueued. A sweep will enqueue them.
        """
        self._recorder.record(jobs)
        note = " (the jobs are recorded; clipqueue sweep will enqueue them)"
        with self._broker.commands("did not accept the jobs", note, within_s=_ENQUEUE_S) as redis:
            for chunk in chunked(jobs):
                push(redis, chunk)

    def find(self, image_id: BsonId, *, with_vector: bool = False) -> Document | None:
        """Return the image's document; None if there is none, or its vector was deleted."""
        fields = {"embedding_job": 1, **({"embedding": 1} if with_vector else {})}
        with store_errors(self._collection):
            document = self._collection.find_one({"_id": image_id}, fields)
        return None if document is None or _is_deleted(document) else document

    def finished(self, image_ids: Iterable[BsonId]) -> list[BsonId]:
        """Return the ids of those images whose jobs have ended."""
        query = {"_id": {"$in": list(image_ids)}, "embedding_job.status": {"$in": list(FINISHED)}}
        with store_errors(self._collection):
            return [document["_id"] for document in self._collection.find(query, {"_id": 1})]

    def delete(self, image_id: ImageId) -> bool:
        """Take the vector away; return False if there is no document, or it was done before.

        The document keeps a record that says so. Without it, a job that runs now would write the vector again, and so
        would the next sweep. A job that is enqueued later embeds the image again.
        """
        key = bson_id(image_id)
        for _ in range(MAX_SWAPS):
            document = self.find(key)
            if document is None:
                return False
            stored = job_record(document)
            record = _deletion(stored, next_enqueue_ms(image_id))
            changes: Document = {"$set": {"embedding_job": record}, "$unset": {"embedding": ""}}
            with store_errors(self._collection):
                if self._collection.update_one(unchanged_filter(key, stored), changes).matched_count:
                    return True
        raise ApiError(503, "changed", "the document changed during each attempt to delete its vector", retry_after_s=1)

    def ping(self) -> None:
        """Raise StoreUnavailable if MongoDB does not answer."""
        with store_errors(self._collection):
            self._collection.database.command("ping")

    def close(self) -> None:
        """Close the connections."""
        self._recorder.close()


def image_state(document: Document, vector: str | None = None) -> dict[str, Any]:
    """Return what the API shows of a document.

    Args:
        document: Its `_id` and `embedding_job`, and its `embedding` if that is to be shown.
        vector: `float` or `base64` to add the vector in this form; None to leave it out.
    """
    record = job_record(document)
    state = {**image_name(image_id_of(document["_id"])), "status": record.get("status", "pending")}
    state |= {name: _shown(record[name]) for name in _SHOWN if record.get(name) is not None}
    if record.get("status") == "failed" and isinstance(record.get("error"), dict):
        state["error"] = {name: str(record["error"].get(name, "")) for name in ("code", "stage", "message")}
    if vector and (stored := parse_stored(document.get("embedding"))) is not None:
        state["vector"] = base64.b64encode(stored.tobytes()).decode() if vector == "base64" else stored.tolist()
    return state


def is_finished(document: Document) -> bool:
    """Return whether the image's last job has ended."""
    return job_record(document).get("status") in FINISHED


def _is_deleted(document: Document) -> bool:
    record = job_record(document)
    error = record.get("error")
    return record.get("status") == "failed" and isinstance(error, dict) and error.get("code") == _DELETED


def _deletion(stored: Document, now_ms: int) -> Document:
    """Return the record of a deletion. It is later than the job that was recorded, whatever that one's clock says.

    It has no URL, so `clipqueue retry` does not enqueue it.
    """
    stored_ms = to_ms(stored.get("enqueued_at")) or 0
    at_ms = max(now_ms, stored_ms + 1)
    message = "the vector was deleted through the API"
    return {
        "status": "failed",
        "enqueued_at": bson_date(at_ms),
        "finished_at": bson_date(now_ms),
        "attempts": 1,
        "error": {"code": _DELETED, "stage": "receive", "message": message},
    }


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value if isinstance(value, str | int) else str(value)
