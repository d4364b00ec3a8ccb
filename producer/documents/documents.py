"""The backend's documents as the producer's side reads them, and records jobs in them. Needs the extra `mongo`.

The worker's own writes are in `worker.store.mongo`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from bson.errors import BSONError
from pymongo import InsertOne, ReadPreference, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError

from producer.contract.errors import ConfigurationError, StoreUnavailable
from producer.contract.records import (
    DUPLICATE_KEY,
    BsonId,
    Document,
    bson_id,
    describe_error,
    job_record,
    pending_record,
    unchanged,
)
from producer.documents.connection import Client, collection_of, connect_client

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from producer.contract.job import ImageJob

Operation = InsertOne[Document] | UpdateOne

PAGE = 500
_RECORD = {"embedding_job": 1}
_HEX_CHARS = 24
_LONG_ANSWER_S = 300.0
_SWAP_TRIES = 20
_WRITE_CONCERN = WriteConcern(w="majority", wtimeout=5000)
# Of each type that an id may have, the least. MongoDB compares within one type only, so each is read by itself.
_LEAST_IDS: tuple[BsonId, ...] = ("", ObjectId("0" * _HEX_CHARS))


@dataclass(frozen=True)
class ImageStatus:
    """How one image stands.

    Attributes:
        image_id: The id that was asked for.
        status: `done`, `failed`, `pending` (a document without a result) or `unknown` (no document).
        job: The document's `embedding_job`, empty if there is none.
    """

    image_id: str
    status: str
    job: dict[str, Any]


class ImageDocuments:
    """The documents of one collection. Safe to share between threads; connects on first use.

    Each method raises StoreUnavailable when MongoDB does not answer as it should.
    """

    def __init__(self, client: Client, collection: Collection[Document]) -> None:
        self._client = client
        self._collection = collection
        self.database = collection.database.name
        self.name = collection.name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def status(self, image_ids: Sequence[str]) -> list[ImageStatus]:
        """Return the status of each id, in order. 24 hex digits match an ObjectId as well as a string."""
        found = self.by_id([key for image_id in image_ids for key in _keys(image_id)])
        return [_read(image_id, found) for image_id in image_ids]

    def by_id(self, document_ids: Sequence[Any]) -> dict[Any, Document]:
        """Return the `embedding_job` of those of the documents that exist, by `_id`; empty where there is none."""
        query = {"_id": {"$in": list(document_ids)}}
        with _answers():
            return {document["_id"]: job_record(document) for document in self._collection.find(query, _RECORD)}

    def stream(self, query: Document, fields: Mapping[str, int]) -> Iterator[Document]:
        """Yield the documents that match, in no order, a batch at a time from the server."""
        with _answers():
            yield from self._collection.find(query, fields, batch_size=PAGE)

    def pages(
        self, query: Document, fields: Mapping[str, int], after: BsonId | None = None
    ) -> Iterator[list[Document]]:
        """Yield the documents that match in pages by `_id`, strings first, then ObjectIds.

        Each page is a query of its own, since the server forgets a cursor that is left for ten minutes.

        Args:
            query: What they must match.
            fields: What to read of each.
            after: The `_id` of the last document that is not wanted.
        """
        for least in _LEAST_IDS:
            if isinstance(after, ObjectId) and isinstance(least, str):
                continue
            bound = {"$gt": after} if type(after) is type(least) else {"$gte": least}
            while page := self._page({"$and": [query, {"_id": bound}]}, fields):
                yield page
                bound = {"$gt": page[-1]["_id"]}

    def count(self, query: Document) -> int:
        """Return how many documents match."""
        with _answers():
            return self._collection.count_documents(query)

    def record(self, jobs: Iterable[ImageJob]) -> None:
        """Write into each job's document that it waits (`pending_record`), and the document if there is none.

        Compare and swap: a write meets the document only as it was read, and is else made anew from what now stands
        there. Of jobs for one document the last is recorded. Few round trips: one read and one bulk for all.
        """
        wanted = {bson_id(job.image_id): job for job in jobs}
        for _ in range(_SWAP_TRIES):
            operations = self._records_of(wanted)
            if not operations or self._all_written(operations):
                return
        raise StoreUnavailable("MongoDB did not record the jobs: others kept writing their documents")

    def _page(self, query: Document, fields: Mapping[str, int]) -> list[Document]:
        with _answers():
            return list(self._collection.find(query, fields).sort("_id", 1).limit(PAGE))

    def _records_of(self, wanted: dict[BsonId, ImageJob]) -> list[Operation]:
        stored = self.by_id(list(wanted))
        operations = (_operation(document_id, stored.get(document_id), job) for document_id, job in wanted.items())
        return [operation for operation in operations if operation]

    def _all_written(self, operations: list[Operation]) -> bool:
        try:
            with _answers():
                written = self._collection.bulk_write(operations, ordered=False)
        except BulkWriteError as exc:
            _refuse_all_but_duplicates(exc.details)
            return False
        return written.inserted_count + written.matched_count == len(operations)


def connect(mongodb_uri: str, collection: str, timeout_s: float = 5.0, answer_s: float = 10.0) -> ImageDocuments:
    """Return a collection's documents; the database is the one in the URI's path, else `clipqueue`.

    Args:
        mongodb_uri: Such as `mongodb://user:password@host:27017/database`.
        collection: The collection's name.
        timeout_s: Seconds to look for the server, and to connect.
        answer_s: Seconds to wait for each answer.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    client = connect_client(mongodb_uri, timeout_s, answer_s)
    try:
        found = collection_of(client, collection)
    except ConfigurationError:
        client.close()
        raise
    sure = found.with_options(write_concern=_WRITE_CONCERN, read_preference=ReadPreference.PRIMARY)
    return ImageDocuments(client, sure)


@contextmanager
def open_documents(mongodb_uri: str, collection: str) -> Iterator[ImageDocuments]:
    """Connect as `connect` does, for a block of a command, whose queries may have to look at every document."""
    documents = connect(mongodb_uri, collection, answer_s=_LONG_ANSWER_S)
    try:
        yield documents
    finally:
        documents.close()


@contextmanager
def _answers() -> Iterator[None]:
    try:
        yield
    except BulkWriteError:
        raise
    except UnicodeError:
        raise StoreUnavailable("an id is not valid Unicode text") from None
    except PyMongoError as exc:
        raise StoreUnavailable(f"MongoDB did not answer as it should: {describe_error(exc)}") from None
    except BSONError as exc:
        raise StoreUnavailable(f"MongoDB holds a document that cannot be read: {type(exc).__name__}") from None


def _operation(document_id: BsonId, stored: Document | None, job: ImageJob) -> Operation | None:
    record = pending_record(stored or {}, job)
    if record is None:
        return None
    if stored is None:
        # Not an upsert: inserting by one, the embedded server turns an ObjectId into a string.
        return InsertOne({"_id": document_id, "url": job.url, "embedding_job": record})
    return UpdateOne(unchanged(document_id, stored), {"$set": {"embedding_job": record}})


def _refuse_all_but_duplicates(details: Mapping[str, Any]) -> None:
    """Raise for what writing anew would not help; a duplicate `_id` is a document that came in between."""
    if details["writeConcernErrors"]:
        raise StoreUnavailable("MongoDB did not confirm by a majority that the jobs are recorded")
    for error in details["writeErrors"]:
        # Another unique index meets duplicates too.
        index = list(error.get("keyPattern", {"_id": 1}))
        if error["code"] != DUPLICATE_KEY or index != ["_id"]:
            raise StoreUnavailable(f"MongoDB refuses to record the job (code {error['code']})")


def _keys(image_id: str) -> list[BsonId]:
    is_hex = len(image_id) == _HEX_CHARS and ObjectId.is_valid(image_id)
    return [ObjectId(image_id), image_id] if is_hex else [image_id]


def _read(image_id: str, found: dict[Any, Document]) -> ImageStatus:
    job = next((found[key] for key in _keys(image_id) if key in found), None)
    if job is None:
        return ImageStatus(image_id, "unknown", {})
    return ImageStatus(image_id, str(job.get("status", "pending")), job)
