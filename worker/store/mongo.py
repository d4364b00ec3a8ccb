"""Writes results into the backend's documents. If an image is enqueued more than once, the last enqueue wins.

Each write is a compare and swap: it matches only while the document's `embedding_job` is the one that was read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pymongo.errors import PyMongoError, WriteError

from producer.contract.records import (
    MAX_SWAPS,
    BsonId,
    Document,
    bson_date,
    bson_id,
    job_record,
    supersedes,
    unchanged_filter,
)
from worker.errors import StoreRefused
from worker.store.bulk import BulkReader, BulkWriter
from worker.store.connection import MongoConnection
from worker.store.results import JobCheck
from worker.store.updates import failure_update, upload_update, vector_update
from worker.store.write_errors import request_error, write_error

if TYPE_CHECKING:
    from producer.contract.job import ImageJob
    from producer.contract.queries import Save
    from worker.store.results import Failure, Result
    from worker.store.updates import Update
    from worker.telemetry.contact import Contact


class Store(Protocol):
    """Stores the results of jobs.

    All methods raise StoreUnavailable if the call failed, or its result is unknown, and a later attempt may succeed.
    They raise StoreRefused if no attempt can succeed.
    """

    def check(self, job: ImageJob, model: str) -> JobCheck:
        """Return whether the job still needs to run."""
        ...

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> bool:
        """Write a vector, unless a job that was enqueued later is recorded. Return whether it was written.

        The argument `check` is what the method `check` returned for this job.
        """
        ...

    def save_upload(self, save: Save, result: Result) -> bool:
        """Write the vector of an uploaded picture, as `save` does for a job."""
        ...

    def save_failure(self, failure: Failure) -> bool:
        """Record that a job failed, unless a job that was enqueued later is recorded. An earlier vector is kept.

        Return whether it was recorded.
        """
        ...

    def ping(self) -> None:
        """Raise StoreUnavailable if the store does not answer."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class MongoStore:
    """A `Store` in one MongoDB collection. It connects on first use and is safe to share between threads.

    Args:
        uri: `mongodb://user:password@host:27017/database`; the database is `clipqueue` if the URI names none.
        collection: The collection's name.
        call_s: Seconds that each call may take.
        upsert: Create documents that do not exist. If false, a job without a document changes nothing.
        timeout_s: Maximum seconds to find the server; a separate limit of the same length applies to connecting.
        contact: Notes when MongoDB answers.

    Attributes:
        database: The database's name.

    Raises:
        StoreUnavailable: The URI or the collection's name cannot be used.
    """

    def __init__(  # noqa: PLR0913  (limits)
        self,
        uri: str,
        collection: str,
        *,
        call_s: float,
        upsert: bool = True,
        timeout_s: float = 5.0,
        contact: Contact | None = None,
    ) -> None:
        self._upsert = upsert
        self._connection = MongoConnection(uri, collection, call_s=call_s, timeout_s=timeout_s, contact=contact)
        self._collection, loop = self._connection.collection, self._connection.loop
        self.database = self._collection.database.name
        self._reader = BulkReader(self._collection, loop, "embedding_job")
        self._writer = BulkWriter(self._collection, loop, upsert=upsert)

    @property
    def turns(self) -> int:
        """A number that rises every second while the event loop runs."""
        return self._connection.turns

    def check(self, job: ImageJob, model: str) -> JobCheck:
        """Return whether the job needs to run. If the stored vector is current, record when the job was enqueued."""
        return self._connection.run(self._check(job, model))

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> bool:
        """Write a vector. The document's other fields stay as they are."""
        return self._connection.run(self._swap(vector_update(job, result, attempts), check.stored))

    def save_upload(self, save: Save, result: Result) -> bool:
        """Write the vector of an uploaded picture. The document's other fields stay as they are."""
        return self._connection.run(self._read_and_swap(upload_update(save, result)))

    def save_failure(self, failure: Failure) -> bool:
        """Record that a job failed. An earlier vector stays, with the fields that describe it."""
        return self._connection.run(self._read_and_swap(failure_update(failure)))

    def ping(self) -> None:
        """Raise StoreUnavailable if MongoDB does not answer."""
        self._connection.ping()

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._connection.close()

    async def _check(self, job: ImageJob, model: str) -> JobCheck:
        document_id = bson_id(job.image_id)
        stored = await self._read(document_id)
        if stored is None:
            return JobCheck("needed" if self._upsert else "deleted", None)
        if supersedes(stored, bson_date(job.enqueued_at_ms), job.task_id):
            return JobCheck("superseded" if await self._is_confirmed(document_id, stored) else "needed", stored)
        if job.force or (stored.get("status"), stored.get("model"), stored.get("url")) != ("done", model, job.url):
            return JobCheck("needed", stored)
        return JobCheck("current" if await self._record_skip(job, stored) else "needed", stored)

    async def _record_skip(self, job: ImageJob, stored: Document) -> bool:
        """Record when a skipped job was enqueued. Return False if its vector is gone or the document has changed.

        Without this record, an older job for another URL that is still running would overwrite the vector.
        """
        matching = {**unchanged_filter(bson_id(job.image_id), stored), "embedding": {"$exists": True}}
        record = {**stored, "enqueued_at": bson_date(job.enqueued_at_ms)}
        return await self._update_one(matching, {"$set": {"embedding_job": record}})

    async def _is_confirmed(self, document_id: BsonId, stored: Document) -> bool:
        """Return whether `embedding_job` is still the one that was read, and a majority holds it.

        A failover can undo a record that a majority does not hold, so no job is dropped for it. The update changes
        nothing. MongoDB acknowledges it as if it did (jstests/replsets/noop_writes_wait_for_write_concern.js).
        """
        return await self._update_one(unchanged_filter(document_id, stored), {"$setOnInsert": {"embedding_job": {}}})

    async def _update_one(self, matching: Document, update: Document) -> bool:
        """Execute an update that creates no document. Return whether a document matched."""
        try:
            updated = await self._collection.update_one(matching, update)
        except WriteError as exc:
            details = {**(exc.details or {}), "code": exc.code}
            raise write_error(details) or StoreRefused("a unique index refuses the document") from None
        except PyMongoError as exc:
            raise request_error(exc) from None
        return updated.matched_count > 0

    async def _read_and_swap(self, update: Update) -> bool:
        return await self._swap(update, await self._read(update.document_id))

    async def _swap(self, update: Update, stored: Document | None) -> bool:
        """Apply an update by compare and swap, starting with `stored`; read again and repeat if it does not match.

        Return False if the document must stay as it is.
        """
        for _ in range(MAX_SWAPS):
            if stored is None and not self._upsert:
                return False
            fields = update.fields(stored)
            if fields is None:
                if await self._is_confirmed(update.document_id, stored or {}):
                    return False
            elif await self._writer.write(update.operation(stored, fields, upsert=self._upsert)):
                return True
            stored = await self._read(update.document_id)
            if stored and fields and stored == fields["embedding_job"]:
                return True  # this write succeeded; the batch only reported that some write in it did not match
        # A document whose `embedding_job` is not an object never matches, so its attempts end here too.
        raise StoreRefused(f"the document changed during each of {MAX_SWAPS} attempts to write it")

    async def _read(self, document_id: BsonId) -> Document | None:
        """Return the document's `embedding_job`, empty if it has none; None if there is no document."""
        document = await self._reader.read(document_id)
        return None if document is None else job_record(document)
