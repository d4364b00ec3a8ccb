"""Records jobs as pending in their documents, before the client enqueues them.

`worker.store.mongo` records how a job ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError

from ..contract.errors import StoreUnavailable
from ..contract.mongodb import is_duplicate_id
from ..contract.records import MAX_SWAPS, Document, bson_id, pending_record, unchanged_filter
from .connection import connect_collection, store_errors
from .documents import ImageDocuments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.collection import Collection

    from ..contract.job import ImageJob
    from ..contract.records import BsonId

Operation = InsertOne[Document] | UpdateOne


class JobRecorder:
    """Records jobs in the documents of one collection. Safe to share between threads."""

    def __init__(self, collection: Collection[Document]) -> None:
        self._collection = collection
        self._documents = ImageDocuments(collection)

    @classmethod
    def connect(cls, mongodb_uri: str, collection: str, timeout_s: float) -> Self:
        """Return a recorder that connects on first use.

        Raises:
            ConfigurationError: The URI or the collection's name cannot be used.
        """
        return cls(connect_collection(mongodb_uri, collection, timeout_s))

    def close(self) -> None:
        """Close the connections."""
        self._documents.close()

    def record(self, jobs: Iterable[ImageJob]) -> None:
        """Set `embedding_job` in each job's document to `pending_record`; create documents that do not exist.

        This is a compare and swap: if a document has changed since it was read, it is read again and the write is
        repeated. If several jobs are for one document, the last one is recorded. All jobs share one read and one bulk
        write.

        Raises:
            StoreUnavailable: MongoDB cannot be reached, refuses a write, or a document changed in every attempt.
        """
        by_id = {bson_id(job.image_id): job for job in jobs}
        for _ in range(MAX_SWAPS):
            operations = self._operations(by_id)
            if not operations or self._write(operations):
                return
        raise StoreUnavailable("MongoDB did not record the jobs: other programs changed the documents in each attempt")

    def _operations(self, by_id: dict[BsonId, ImageJob]) -> list[Operation]:
        stored = self._documents.by_id(list(by_id))
        operations = (_operation(document_id, stored.get(document_id), job) for document_id, job in by_id.items())
        return [operation for operation in operations if operation]

    def _write(self, operations: list[Operation]) -> bool:
        """Return whether all documents were still as they were read."""
        try:
            with store_errors(self._collection):
                written = self._collection.bulk_write(operations, ordered=False)
        except BulkWriteError as exc:
            raise_unless_duplicates(exc.details)
            return False
        return written.inserted_count + written.matched_count == len(operations)


def raise_unless_duplicates(details: Mapping[str, Any]) -> None:
    """Raise StoreUnavailable, unless all errors of a bulk write are duplicate `_id`s.

    A duplicate means that another program has created the document in the meantime.
    """
    if details["writeConcernErrors"]:
        raise StoreUnavailable("a majority of MongoDB's replica set did not confirm the write in time")
    for error in details["writeErrors"]:
        if not is_duplicate_id(error):
            raise StoreUnavailable(f"MongoDB refused to record the job (code {error['code']})")


def _operation(document_id: BsonId, stored: Document | None, job: ImageJob) -> Operation | None:
    record = pending_record(stored or {}, job)
    if record is None:
        return None
    if stored is None:
        # Not an upsert: the embedded server turns the ObjectId of an upsert into a string.
        return InsertOne({"_id": document_id, "url": job.url, "embedding_job": record})
    return UpdateOne(unchanged_filter(document_id, stored), {"$set": {"embedding_job": record}})
