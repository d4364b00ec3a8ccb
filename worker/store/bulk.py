"""Combines the reads and writes of many jobs into bulk requests.

Requests that arrive while one batch is being sent go into the next batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from producer.contract.records import BsonId, Document
from worker.errors import StoreRefused
from worker.store.write_errors import errors_by_index, may_depend_on_a_document, request_error

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from motor.motor_asyncio import AsyncIOMotorCollection

Operation = InsertOne[Document] | UpdateOne
Request = TypeVar("Request")
Response = TypeVar("Response")

_MAX_BATCH = 256


class BulkReader:
    """Reads one field of a collection's documents by `_id`. Use it on the event loop only."""

    def __init__(
        self, collection: AsyncIOMotorCollection[Document], loop: asyncio.AbstractEventLoop, field: str
    ) -> None:
        self._collection = collection
        self._field = field
        self._queue = _BulkQueue[BsonId, Document | None](loop, self._send)

    async def read(self, document_id: BsonId) -> Document | None:
        """Return the document's `_id` and field; None if there is no such document.

        Raises:
            PyMongoError: MongoDB cannot be reached or refused the request.
            BSONError: The field cannot be decoded.
        """
        return await self._queue.submit(document_id)

    async def _send(self, batch: list[_Pending[BsonId, Document | None]]) -> None:
        try:
            found = await self._find({pending.request for pending in batch})
        except BSONError as exc:
            if len(batch) > 1:
                await _send_separately(batch, self._send)  # one document cannot be decoded, the others can
            else:
                batch[0].fail(exc)
        except PyMongoError as exc:
            if len(batch) > 1 and may_depend_on_a_document(exc):
                await _send_separately(batch, self._send)
                return
            for pending in batch:
                pending.fail(request_error(exc))
        else:
            for pending in batch:
                pending.resolve(found.get(pending.request))

    async def _find(self, ids: set[BsonId]) -> dict[BsonId, Document]:
        cursor = self._collection.find({"_id": {"$in": list(ids)}}, {self._field: 1}, batch_size=len(ids) + 1)
        return {document["_id"]: document for document in await cursor.to_list(None)}


class BulkWriter:
    """Writes documents of a collection. Use it on the event loop only.

    Args:
        collection: The collection.
        loop: Its event loop.
        upsert: Whether updates are upserts. If the document has changed, the filter of an upsert matches nothing, so
            MongoDB tries to insert the document, which fails with a duplicate `_id`.
    """

    def __init__(
        self, collection: AsyncIOMotorCollection[Document], loop: asyncio.AbstractEventLoop, *, upsert: bool
    ) -> None:
        self._collection = collection
        self._upsert = upsert
        self._queue = _BulkQueue[Operation, bool](loop, self._send)

    async def write(self, operation: Operation) -> bool:
        """Execute one operation. Return False if the document may have changed since it was read.

        Raises:
            StoreUnavailable: MongoDB did not write the document, and may write it later.
            StoreRefused: MongoDB will never write this document.
            PyMongoError: MongoDB cannot be reached or refused the request.
        """
        return await self._queue.submit(operation)

    async def _send(self, batch: list[_Pending[Operation, bool]]) -> None:
        errors: dict[int, Exception | None] = {}
        try:
            written = await self._collection.bulk_write([pending.request for pending in batch], ordered=False)
            if not self._upsert and written.matched_count < len(batch):
                # Some documents were changed or deleted since. MongoDB does not say which, so all are read again.
                errors = dict.fromkeys(range(len(batch)))
        except BulkWriteError as exc:
            errors = errors_by_index(dict(exc.details), len(batch))
        except PyMongoError as exc:
            if len(batch) > 1 and may_depend_on_a_document(exc):
                await _send_separately(batch, self._send)
                return
            errors = dict.fromkeys(range(len(batch)), request_error(exc))
        except (BSONError, OverflowError) as exc:
            if len(batch) > 1:
                await _send_separately(batch, self._send)  # one document cannot be encoded, the others can
                return
            errors = {0: StoreRefused(f"the document cannot be encoded: {type(exc).__name__}")}
        for index, pending in enumerate(batch):
            if error := errors.get(index):
                pending.fail(error)
            else:
                pending.resolve(index not in errors)


class _BulkQueue(Generic[Request, Response]):
    """Collects requests and sends them in batches of at most _MAX_BATCH, one batch at a time.

    Args:
        loop: The event loop.
        send: Sends a batch and resolves each of its requests. Never raises.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[list[_Pending[Request, Response]]], Awaitable[None]]
    ) -> None:
        self._loop = loop
        self._send = send
        self._pending: list[_Pending[Request, Response]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def submit(self, request: Request) -> Response:
        """Send a request with the next batch, and return its response."""
        pending = _Pending[Request, Response](request, self._loop.create_future())
        self._pending.append(pending)
        if self._flushing is None or self._flushing.done():
            self._flushing = self._loop.create_task(self._flush())
        return await pending.response

    async def _flush(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[:_MAX_BATCH], self._pending[_MAX_BATCH:]
            await self._send(batch)


@dataclass(frozen=True)
class _Pending(Generic[Request, Response]):
    request: Request
    response: asyncio.Future[Response]

    def resolve(self, response: Response) -> None:
        if not self.response.done():  # done: the caller stopped waiting
            self.response.set_result(response)

    def fail(self, error: Exception) -> None:
        if not self.response.done():
            self.response.set_exception(error)


async def _send_separately(
    batch: list[_Pending[Request, Response]], send: Callable[[list[_Pending[Request, Response]]], Awaitable[None]]
) -> None:
    for pending in batch:
        await send([pending])
