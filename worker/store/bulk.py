"""Sends together what many jobs ask of MongoDB: what arrives while one bulk is on its way goes with the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from producer.contract.records import DUPLICATE_KEY, BsonId, Document
from worker.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from motor.motor_asyncio import AsyncIOMotorCollection

Operation = InsertOne[Document] | UpdateOne
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_MAX_BULK = 256
# Of MongoDB's error codes, those that say of one document what would be said again.
_REFUSALS = {
    2: "bad value",
    66: "immutable field",
    121: "the collection's validator",
    10334: "too large",
    17419: "too large",
}


class _Bulk(Generic[Asked, Answer]):
    """Collects what is asked, on one event loop.

    Args:
        loop: The collection's event loop.
        send: Sends one bulk and answers each of it. Raises nothing.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[list[_Waiting[Asked, Answer]]], Awaitable[None]]
    ) -> None:
        self._loop = loop
        self._send = send
        self._pending: list[_Waiting[Asked, Answer]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer:
        """Send it with the next bulk, and wait for its answer."""
        waiting = _Waiting[Asked, Answer](asked, self._loop.create_future())
        self._pending.append(waiting)
        if self._flushing is None or self._flushing.done():
            self._flushing = self._loop.create_task(self._flush())
        return await waiting.answer

    async def _flush(self) -> None:
        while self._pending:
            bulk, self._pending = self._pending[:_MAX_BULK], self._pending[_MAX_BULK:]
            await self._send(bulk)


@dataclass(frozen=True)
class _Waiting(Generic[Asked, Answer]):
    asked: Asked
    answer: asyncio.Future[Answer]

    def resolve(self, answer: Answer) -> None:
        if not self.answer.done():  # its caller gave up waiting
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class BulkReader:
    """Reads one field of one collection's documents by their ids, from one event loop."""

    def __init__(
        self, collection: AsyncIOMotorCollection[Document], loop: asyncio.AbstractEventLoop, field: str
    ) -> None:
        self._collection = collection
        self._field = field
        self._bulk = _Bulk[BsonId, Document | None](loop, self._send)

    async def read(self, document_id: BsonId) -> Document | None:
        """Return the document's id and this field of it, or None if there is no such document.

        Raises:
            PyMongoError: MongoDB did not answer as it should.
            BSONError: The field cannot be read.
        """
        return await self._bulk.ask(document_id)

    async def _send(self, bulk: list[_Waiting[BsonId, Document | None]]) -> None:
        try:
            ids = list({waiting.asked for waiting in bulk})
            cursor = self._collection.find({"_id": {"$in": ids}}, {self._field: 1}, batch_size=len(ids) + 1)
            found = {document["_id"]: document for document in await cursor.to_list(None)}
        except BSONError as exc:
            # One of them cannot be decoded, and hides the others: each is read alone.
            if len(bulk) > 1:
                for one in bulk:
                    await self._send([one])
            else:
                bulk[0].fail(exc)
        except PyMongoError as exc:
            for waiting in bulk:
                waiting.fail(exc)
        else:
            for waiting in bulk:
                waiting.resolve(found.get(waiting.asked))


class BulkWriter:
    """Writes to one collection, from one event loop.

    Args:
        collection: Where to.
        loop: The collection's event loop.
        upsert: Whether the updates are upserts, which meet a duplicate key where they match nothing.
    """

    def __init__(
        self, collection: AsyncIOMotorCollection[Document], loop: asyncio.AbstractEventLoop, *, upsert: bool
    ) -> None:
        self._collection = collection
        self._upsert = upsert
        self._bulk = _Bulk[Operation, bool](loop, self._send)

    async def write(self, operation: Operation) -> bool:
        """Send one operation with the next bulk; return False if it met a duplicate key."""
        return await self._bulk.ask(operation)

    async def _send(self, bulk: list[_Waiting[Operation, bool]]) -> None:
        errors: dict[int, Exception | None] = {}
        try:
            written_to = await self._collection.bulk_write([waiting.asked for waiting in bulk], ordered=False)
            if not self._upsert and written_to.matched_count < len(bulk):
                # Some document was changed or deleted meanwhile: each is read anew, to see which.
                errors = dict.fromkeys(range(len(bulk)))
        except BulkWriteError as exc:
            errors = errors_by_index(dict(exc.details), len(bulk))
        except PyMongoError as exc:
            errors = dict.fromkeys(range(len(bulk)), exc)
        except (BSONError, OverflowError) as exc:
            # One of them cannot be encoded, so none was sent: each goes alone, that the others are written.
            if len(bulk) > 1:
                for one in bulk:
                    await self._send([one])
                return
            errors = {0: StoreRefused(f"the document cannot be encoded: {type(exc).__name__}")}
        for index, waiting in enumerate(bulk):
            if error := errors.get(index):
                waiting.fail(error)
            else:
                waiting.resolve(index not in errors)


def errors_by_index(details: Document, count: int) -> dict[int, Exception | None]:
    """Return each failed operation's error, None for a document that is there already."""
    if details["writeConcernErrors"]:
        code = details["writeConcernErrors"][0]["code"]
        unsure = StoreUnavailable(f"MongoDB did not confirm the write by a majority (code {code})")
        return dict.fromkeys(range(count), unsure)
    return {error["index"]: write_error(error) for error in details["writeErrors"]}


def write_error(error: Document) -> Exception | None:
    """Return what a failed operation means; without MongoDB's own text, which quotes the document."""
    code, index = error["code"], list(error.get("keyPattern", {"_id": 1}))
    if code == DUPLICATE_KEY:
        # Another unique index meets duplicates too, and then no reading anew would ever help.
        return None if index == ["_id"] else StoreRefused(f"a unique index on {', '.join(index)} refuses the document")
    if code in _REFUSALS:
        return StoreRefused(f"MongoDB refuses the document: {_REFUSALS[code]} (code {code})")
    return StoreUnavailable(f"MongoDB did not write the document (code {code})")
