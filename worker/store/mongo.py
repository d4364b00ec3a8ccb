"""Writes results into the backend's documents. Only this module and `worker.store.bulk` know motor and bson.

motor lives on one event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import InsertOne, UpdateOne, WriteConcern
from pymongo.errors import InvalidName, PyMongoError, WriteError

from producer.contract.job import ImageId, ImageJob, now_ms
from producer.contract.names import DEFAULT_DATABASE
from producer.contract.records import (
    BsonId,
    Document,
    bson_date,
    bson_id,
    describe_error,
    is_enqueued_later,
    job_record,
    unchanged,
    vector_fields,
)
from worker.errors import StoreRefused, StoreUnavailable
from worker.store.bulk import BulkReader, BulkWriter, Operation, write_error
from worker.store.results import JobCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from producer.contract.fields import EmbeddingJob
    from worker.store.results import Failure, Result

T = TypeVar("T")

_SWAP_TRIES = 20
_SERVER_SELECTION_MS = 5000
# Beyond it a message is cut: the document is no place for a server's novel.
_MAX_MESSAGE_CHARS = 500
_WRITE_CONCERN = WriteConcern(w="majority", wtimeout=5000)


class Store(Protocol):
    """Keeps results.

    Each method raises StoreUnavailable when nothing is known to be written, and StoreRefused when it never will be.
    """

    def check(self, job: ImageJob, model: str) -> JobCheck:
        """Return whether the job still needs doing."""
        ...

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> None:
        """Write a vector, unless a job enqueued later has been written since `check` was asked for."""
        ...

    def save_failure(self, failure: Failure) -> None:
        """Write why a job failed, unless a job enqueued later has been written; an earlier vector stays."""
        ...

    def ping(self) -> None:
        """Find out whether it answers."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class MongoStore:
    """A `Store` in one MongoDB collection, safe to share between threads. Connects on first use.

    Args:
        uri: The database is the one in its path, else `clipqueue`.
        collection: The collection's name.
        call_s: Seconds that each call may take.
        upsert: Make a document where there is none. Otherwise a job whose document is gone changes nothing.

    Attributes:
        database: The database's name.

    Raises:
        StoreUnavailable: The URI or the collection's name cannot be used.
    """

    def __init__(self, uri: str, collection: str, *, call_s: float, upsert: bool = True) -> None:
        self._call_s = call_s
        self._upsert = upsert
        self._loop = asyncio.new_event_loop()
        self._client = _connect(uri, self._loop)
        try:
            database = self._client.get_default_database(DEFAULT_DATABASE)
            self.database = database.name
            self._collection = database.get_collection(collection, write_concern=_WRITE_CONCERN)
        except InvalidName as exc:
            raise StoreUnavailable(f"CLIPQUEUE_COLLECTION={collection} cannot be used: {exc}") from None
        self._reads = BulkReader(self._collection, self._loop, "embedding_job")
        self._writes = BulkWriter(self._collection, self._loop, upsert=upsert)
        self._thread = threading.Thread(target=self._loop.run_forever, name="store", daemon=True)
        self._thread.start()

    def check(self, job: ImageJob, model: str) -> JobCheck:
        """Return whether the job still needs doing. One that does not counts as its image's last enqueue."""
        return self._call(self._check(job, model))

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> None:
        """Write a vector; the other fields of the document stay as they are."""
        embedding_job: EmbeddingJob = {
            "status": "done",
            "model": result.model,
            "dim": len(result.vector),
            "url": job.url,
            "sha256": result.sha256,
            "width": result.width,
            "height": result.height,
            "format": result.format,
            "enqueued_at": bson_date(job.enqueued_at_ms),
            "finished_at": bson_date(now_ms()),
            "attempts": attempts,
        }
        fields = {"embedding": result.vector.tolist(), "embedding_job": embedding_job}
        self._call(self._write_last(job.image_id, job.url, job.enqueued_at_ms, lambda _: fields, check))

    def save_failure(self, failure: Failure) -> None:
        """Write why a job failed. What describes an earlier vector (model, dim, sha256, ...) stays with it."""
        embedding_job: EmbeddingJob = {
            "status": "failed",
            "enqueued_at": bson_date(failure.enqueued_at_ms),
            "finished_at": bson_date(now_ms()),
            "attempts": failure.attempts,
            "error": {
                "code": failure.error.code,
                "stage": failure.error.stage,
                "message": _printable(str(failure.error)),
            },
        }
        if failure.url is not None:
            embedding_job["url"] = failure.url

        def change(stored: Document) -> Document | None:
            same_job = stored.get("url") == failure.url and stored.get("enqueued_at") == bson_date(
                failure.enqueued_at_ms
            )
            if stored.get("status") == "done" and same_job:
                return None  # it ran twice at once, and the other run has brought the vector
            return {"embedding_job": {**vector_fields(stored), **embedding_job}}

        self._call(self._write_last(failure.image_id, failure.url, failure.enqueued_at_ms, change))

    def ping(self) -> None:
        """Find out whether MongoDB answers."""
        self._call(self._ping())

    def close(self) -> None:
        """Close the connections and end the thread."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._client.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._call_s)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(self._call_s)
        except TimeoutError:
            future.cancel()
            raise StoreUnavailable(f"MongoDB did not answer within {self._call_s:g} s") from None
        except PyMongoError as exc:
            raise StoreUnavailable(f"MongoDB did not answer as it should: {describe_error(exc)}") from None
        except BSONError as exc:
            raise StoreRefused(f"the document cannot be read: {type(exc).__name__}") from None

    async def _ping(self) -> None:
        await self._client.admin.command("ping")

    async def _check(self, job: ImageJob, model: str) -> JobCheck:
        document_id, enqueued_at = bson_id(job.image_id), bson_date(job.enqueued_at_ms)
        stored = await self._read_job(document_id)
        if stored is None:
            return JobCheck("needed" if self._upsert else "deleted", None)
        if is_enqueued_later(stored, enqueued_at):
            return JobCheck("superseded", stored)
        if job.force or (stored.get("status"), stored.get("model"), stored.get("url")) != ("done", model, job.url):
            return JobCheck("needed", stored)
        # The skip is an enqueue like any other: without the new time, an older job for another URL that is
        # still running would overwrite this one.
        update = {"$set": {"embedding_job": {**stored, "enqueued_at": enqueued_at}}}
        matching = {**unchanged(document_id, stored), "embedding": {"$exists": True}}
        try:
            found = await self._collection.update_one(matching, update)
        except WriteError as exc:
            raise write_error({"code": exc.code}) or StoreUnavailable("a duplicate key") from None
        return JobCheck("current" if found.matched_count else "needed", stored)

    async def _write_last(
        self,
        image_id: ImageId,
        url: str | None,
        enqueued_at_ms: int,
        change: Callable[[Document], Document | None],
        check: JobCheck | None = None,
    ) -> None:
        """Set what `change` makes of the stored job, if anything, unless a job enqueued later has been written.

        Compare and swap: the write matches only while the job is the one that was read. Times are compared
        here, since the embedded server compares dates to the second only, and whole sub-documents are written,
        since it stores a date set by a dotted name as a string. Real MongoDB minds neither.
        """
        document_id = bson_id(image_id)
        stored = check.stored if check else await self._read_job(document_id)
        for _ in range(_SWAP_TRIES):
            if stored is None and not self._upsert:
                return
            fields = None if is_enqueued_later(stored or {}, bson_date(enqueued_at_ms)) else change(stored or {})
            if fields is None or await self._writes.write(self._operation(document_id, stored, fields, url)):
                return
            stored = await self._read_job(
                document_id
            )  # another worker wrote in between, or another of its bulk was late
            if stored and stored == fields["embedding_job"]:
                return
        # As for a document whose `embedding_job` is no sub-document: going on would never end.
        raise StoreRefused(f"{_SWAP_TRIES} tries to write the document found it changed each time")

    def _operation(self, document_id: BsonId, stored: Document | None, fields: Document, url: str | None) -> Operation:
        """Return the write that does nothing, or meets a duplicate key, if the document is no longer as it was read."""
        on_insert = {} if url is None else {"url": url}
        if stored is None:
            # Not an upsert: inserting by one, the embedded server turns an ObjectId into a string.
            return InsertOne({"_id": document_id, **on_insert, **fields})
        update = {"$set": fields, **({"$setOnInsert": on_insert} if on_insert and self._upsert else {})}
        return UpdateOne(unchanged(document_id, stored), update, upsert=self._upsert)

    async def _read_job(self, document_id: BsonId) -> Document | None:
        """Return the document's `embedding_job`, empty if it has none; None if there is no document."""
        document = await self._reads.read(document_id)
        return None if document is None else job_record(document)


def _connect(uri: str, loop: asyncio.AbstractEventLoop) -> AsyncIOMotorClient[Document]:
    try:
        return AsyncIOMotorClient(
            uri,
            io_loop=loop,
            tz_aware=True,
            datetime_conversion="DATETIME_AUTO",  # a date that Python does not know must not hide the document
            serverSelectionTimeoutMS=_SERVER_SELECTION_MS,
            connectTimeoutMS=5000,
            socketTimeoutMS=10_000,
            appname="clipqueue-worker",
        )
    except (PyMongoError, ValueError):
        # Without the driver's message, which may repeat the URI and with it the password.
        raise StoreUnavailable(
            "MONGODB_URI cannot be read, or its SRV record was not found; it looks like "
            "mongodb://user:password@host:27017/database"
        ) from None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:_MAX_MESSAGE_CHARS]
