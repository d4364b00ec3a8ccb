"""Writes results into the backend's documents. The only module of the worker that knows motor and bson.

motor lives on one event loop in a thread of its own; writes that arrive while one is on its way go together in
the next as one unordered bulk.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bson import ObjectId
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import InsertOne, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, ConnectionFailure, InvalidName, PyMongoError, WriteError

from producer.contract import DEFAULT_DATABASE, EmbeddingJob, ImageId, ImageJob, ObjectIdRef
from worker.errors import StoreRefused, StoreUnavailable
from worker.results import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from worker.results import Failure, Result

T = TypeVar("T")
Document = dict[str, Any]
BsonId = str | ObjectId
Operation = InsertOne[Document] | UpdateOne

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What describes the vector and not the last job: kept when a later job fails.
_OF_THE_VECTOR = ("model", "dim", "sha256", "width", "height", "format")
# What no two writes of a job have in common.
_VERSION = ("status", "url", "sha256", "enqueued_at", "finished_at")
_MAX_BULK = 256
_SWAP_TRIES = 20
_SERVER_SELECTION_MS = 5000
_DUPLICATE_KEY = 11000
# Of MongoDB's error codes, those that say of one document what would be said again.
_REFUSALS = {
    2: "bad value",
    66: "immutable field",
    121: "the collection's validator",
    10334: "too large",
    17419: "too large",
}
# Beyond it a message is cut: the document is no place for a server's novel.
_MAX_MESSAGE_CHARS = 500
_WRITE_CONCERN = WriteConcern(w="majority", wtimeout=5000)


class Store(Protocol):
    """Keeps results.

    Each method raises StoreUnavailable when nothing is known to be written, and StoreRefused when it never will be.
    """

    def standing(self, job: ImageJob, model: str) -> Standing:
        """Return whether the job still needs doing."""
        ...

    def save(self, job: ImageJob, result: Result, attempts: int, standing: Standing) -> None:
        """Write a vector, unless a job enqueued later has been written since `standing` was asked for."""
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
        self._pending: list[tuple[Operation, asyncio.Future[bool]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="store", daemon=True)
        self._thread.start()

    def standing(self, job: ImageJob, model: str) -> Standing:
        """Return whether the job still needs doing. One that does not counts as its image's last enqueue."""
        return self._call(self._standing(job, model))

    def save(self, job: ImageJob, result: Result, attempts: int, standing: Standing) -> None:
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
            "enqueued_at": _date(job.enqueued_at_ms),
            "finished_at": datetime.now(UTC),
            "attempts": attempts,
        }
        fields = {"embedding": result.vector.tolist(), "embedding_job": embedding_job}
        self._call(self._write_last(job.image_id, job.url, job.enqueued_at_ms, lambda _: fields, standing))

    def save_failure(self, failure: Failure) -> None:
        """Write why a job failed. What describes an earlier vector (model, dim, sha256, ...) stays with it."""
        embedding_job: EmbeddingJob = {
            "status": "failed",
            "enqueued_at": _date(failure.enqueued_at_ms),
            "finished_at": datetime.now(UTC),
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
            same_job = stored.get("url") == failure.url and stored.get("enqueued_at") == _date(failure.enqueued_at_ms)
            if stored.get("status") == "done" and same_job:
                return None  # it ran twice at once, and the other run has brought the vector
            return {"embedding_job": {**{key: stored[key] for key in _OF_THE_VECTOR if key in stored}, **embedding_job}}

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
            raise StoreUnavailable(f"MongoDB did not answer as it should: {_reason(exc)}") from None
        except BSONError as exc:
            raise StoreRefused(f"the document cannot be read: {type(exc).__name__}") from None

    async def _ping(self) -> None:
        await self._client.admin.command("ping")

    async def _standing(self, job: ImageJob, model: str) -> Standing:
        document_id, enqueued_at = _bson_id(job.image_id), _date(job.enqueued_at_ms)
        stored = await self._read_job(document_id)
        if stored is None:
            return Standing("needed" if self._upsert else "deleted", None)
        if _is_later(stored, enqueued_at):
            return Standing("superseded", stored)
        if job.force or (stored.get("status"), stored.get("model"), stored.get("url")) != ("done", model, job.url):
            return Standing("needed", stored)
        # The skip is an enqueue like any other: without the new time, an older job for another URL that is
        # still running would overwrite this one.
        update = {"$set": {"embedding_job": {**stored, "enqueued_at": enqueued_at}}}
        matching = {**_unchanged(document_id, stored), "embedding": {"$exists": True}}
        try:
            found = await self._collection.update_one(matching, update)
        except WriteError as exc:
            raise _write_error({"code": exc.code}) or StoreUnavailable("a duplicate key") from None
        return Standing("current" if found.matched_count else "needed", stored)

    async def _write_last(
        self,
        image_id: ImageId,
        url: str | None,
        enqueued_at_ms: int,
        change: Callable[[Document], Document | None],
        standing: Standing | None = None,
    ) -> None:
        """Set what `change` makes of the stored job, if anything, unless a job enqueued later has been written.

        Compare and swap: the write matches only while the job is the one that was read. Times are compared
        here, since the embedded server compares dates to the second only, and whole sub-documents are written,
        since it stores a date set by a dotted name as a string. Real MongoDB minds neither.
        """
        document_id = _bson_id(image_id)
        stored = standing.stored if standing else await self._read_job(document_id)
        for _ in range(_SWAP_TRIES):
            if stored is None and not self._upsert:
                return
            fields = None if _is_later(stored or {}, _date(enqueued_at_ms)) else change(stored or {})
            if fields is None or await self._write(self._operation(document_id, stored, fields, url)):
                return
            stored = await self._read_job(document_id)  # another worker wrote in between
        raise StoreUnavailable(f"{document_id}: others kept writing this document")

    def _operation(self, document_id: BsonId, stored: Document | None, fields: Document, url: str | None) -> Operation:
        """Return the write that does nothing, or meets a duplicate key, if the document is no longer as it was read."""
        on_insert = {} if url is None else {"url": url}
        if stored is None:
            # Not an upsert: inserting by one, the embedded server turns an ObjectId into a string.
            return InsertOne({"_id": document_id, **on_insert, **fields})
        update = {"$set": fields, **({"$setOnInsert": on_insert} if on_insert and self._upsert else {})}
        return UpdateOne(_unchanged(document_id, stored), update, upsert=self._upsert)

    async def _read_job(self, document_id: BsonId) -> Document | None:
        """Return the document's `embedding_job`, empty if it has none; None if there is no document."""
        document = await self._collection.find_one({"_id": document_id}, {"embedding_job": 1})
        if document is None:
            return None
        stored = document.get("embedding_job")
        return stored if isinstance(stored, dict) else {}

    async def _write(self, operation: Operation) -> bool:
        """Send one operation with the next bulk; return False if it met a duplicate key."""
        written: asyncio.Future[bool] = self._loop.create_future()
        self._pending.append((operation, written))
        if self._flushing is None or self._flushing.done():
            self._flushing = self._loop.create_task(self._flush())
        return await written

    async def _flush(self) -> None:
        while self._pending:
            bulk, self._pending = self._pending[:_MAX_BULK], self._pending[_MAX_BULK:]
            await self._send(bulk)

    async def _send(self, bulk: list[tuple[Operation, asyncio.Future[bool]]]) -> None:
        errors: dict[int, Exception | None] = {}
        try:
            written_to = await self._collection.bulk_write([operation for operation, _ in bulk], ordered=False)
            if not self._upsert and written_to.matched_count < len(bulk):
                # Some document was changed or deleted meanwhile: each is read anew, to see which.
                errors = dict.fromkeys(range(len(bulk)))
        except BulkWriteError as exc:
            errors = _errors_by_index(dict(exc.details), len(bulk))
        except PyMongoError as exc:
            errors = dict.fromkeys(range(len(bulk)), exc)
        except (BSONError, OverflowError) as exc:
            # One of them cannot be encoded, so none was sent: each goes alone, that the others are written.
            if len(bulk) > 1:
                for one in bulk:
                    await self._send([one])
                return
            errors = {0: StoreRefused(f"the document cannot be encoded: {type(exc).__name__}")}
        for index, (_, written) in enumerate(bulk):
            _resolve(written, index in errors, errors.get(index))


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


def _errors_by_index(details: Document, count: int) -> dict[int, Exception | None]:
    """Return each failed operation's error, None for a document that is there already."""
    if details["writeConcernErrors"]:
        code = details["writeConcernErrors"][0]["code"]
        unsure = StoreUnavailable(f"MongoDB did not confirm the write by a majority (code {code})")
        return dict.fromkeys(range(count), unsure)
    return {error["index"]: _write_error(error) for error in details["writeErrors"]}


def _write_error(error: Document) -> Exception | None:
    """Return what a failed operation means; without MongoDB's own text, which quotes the document."""
    code, index = error["code"], list(error.get("keyPattern", {"_id": 1}))
    if code == _DUPLICATE_KEY:
        # Another unique index meets duplicates too, and then no reading anew would ever help.
        return None if index == ["_id"] else StoreRefused(f"a unique index on {', '.join(index)} refuses the document")
    if code in _REFUSALS:
        return StoreRefused(f"MongoDB refuses the document: {_REFUSALS[code]} (code {code})")
    return StoreUnavailable(f"MongoDB did not write the document (code {code})")


def _reason(exc: PyMongoError) -> str:
    # Only what concerns the connection is quoted: other texts may repeat the document, and with it a signed URL.
    if isinstance(exc, ConnectionFailure):
        return str(exc).partition(", Timeout: ")[0]  # what follows describes the whole topology
    return f"{type(exc).__name__} {getattr(exc, 'code', '')}".strip()


def _resolve(written: asyncio.Future[bool], failed: bool, error: Exception | None) -> None:  # noqa: FBT001
    if written.done():  # its caller gave up waiting
        return
    if error is not None:
        written.set_exception(error)
    else:
        written.set_result(not failed)


def _is_later(stored: Document, enqueued_at: datetime) -> bool:
    at = stored.get("enqueued_at")
    return isinstance(at, datetime) and at > enqueued_at


def _unchanged(document_id: BsonId, stored: Document) -> Document:
    """Return a filter that matches the document only while its job is the one that was read."""
    same = {f"embedding_job.{key}": stored.get(key, {"$exists": False}) for key in _VERSION}
    return {"_id": document_id, **same}


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:_MAX_MESSAGE_CHARS]


def _bson_id(image_id: ImageId) -> BsonId:
    return ObjectId(image_id.hex) if isinstance(image_id, ObjectIdRef) else image_id


def _date(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)
