"""Sends what many jobs write at once: operations that arrive while one bulk is on its way go together in the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from producer.records import DUPLICATE_KEY, Document
from worker.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    import asyncio

    from motor.motor_asyncio import AsyncIOMotorCollection

Operation = InsertOne[Document] | UpdateOne

_MAX_BULK = 256
# Of MongoDB's error codes, those that say of one document what would be said again.
_REFUSALS = {
    2: "bad value",
    66: "immutable field",
    121: "the collection's validator",
    10334: "too large",
    17419: "too large",
}


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
        self._loop = loop
        self._upsert = upsert
        self._pending: list[tuple[Operation, asyncio.Future[bool]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, operation: Operation) -> bool:
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
        for index, (_, written) in enumerate(bulk):
            _resolve(written, index in errors, errors.get(index))


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


def _resolve(written: asyncio.Future[bool], failed: bool, error: Exception | None) -> None:  # noqa: FBT001
    if written.done():  # its caller gave up waiting
        return
    if error is not None:
        written.set_exception(error)
    else:
        written.set_result(not failed)
