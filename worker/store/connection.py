"""A motor client on an event loop in a thread of its own. Other threads run coroutines there and wait for them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import InvalidName, PyMongoError
from pymongo.monitoring import ServerHeartbeatListener

from producer.contract.mongodb import (
    READ_CONCERN,
    READ_PREFERENCE,
    WRITE_CONCERN,
    client_options,
    describe_failed_request,
    describe_unusable_uri,
    uri_options,
)
from producer.contract.names import DEFAULT_DATABASE
from worker.errors import StoreRefused, StoreUnavailable
from worker.telemetry.contact import FRESH_S, Contact

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from motor.motor_asyncio import AsyncIOMotorCollection
    from pymongo.monitoring import (
        ServerHeartbeatFailedEvent,
        ServerHeartbeatStartedEvent,
        ServerHeartbeatSucceededEvent,
    )

    from producer.contract.records import Document

T = TypeVar("T")

_TURN_S = 1.0
_MARGIN_S = 5.0


class MongoConnection:
    """Gives many threads access to one collection. Connects on first use.

    Args:
        uri: `mongodb://user:password@host:27017/database`; the database is `clipqueue` if the URI names none.
        collection: The collection's name.
        call_s: Seconds that `run` waits.
        timeout_s: Maximum seconds to find the server; a separate limit of the same length applies to connecting.
        contact: Notes when MongoDB answers.

    Attributes:
        collection: The collection. Use it on the event loop only.
        loop: The event loop.
        turns: Rises every second while the event loop runs.

    Raises:
        StoreUnavailable: The URI or the collection's name cannot be used.
    """

    def __init__(
        self, uri: str, collection: str, *, call_s: float, timeout_s: float, contact: Contact | None = None
    ) -> None:
        self._call_s = call_s
        self.turns = 0
        self.loop = asyncio.new_event_loop()
        try:
            self.collection = _connect(uri, collection, self.loop, timeout_s, _Listener(uri, contact or Contact()))
        except StoreUnavailable:
            self.loop.close()
            raise
        self._thread = threading.Thread(target=self.loop.run_forever, name="store", daemon=True)
        self._thread.start()
        self.loop.call_soon_threadsafe(self._turn)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop and return its result.

        Raises:
            StoreUnavailable: MongoDB cannot be reached, failed, or did not answer before the deadline or `close`.
            StoreRefused: The document cannot be decoded.
        """
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(self._call_s)
        except TimeoutError:
            future.cancel()
            raise StoreUnavailable(f"MongoDB did not answer within {self._call_s:g} s") from None
        except CancelledError:
            raise StoreUnavailable("the connection to MongoDB was closed before it answered") from None
        except PyMongoError as exc:
            raise StoreUnavailable(describe_failed_request(exc)) from None
        except BSONError as exc:
            raise StoreRefused(f"the document cannot be decoded: {type(exc).__name__}") from None

    def ping(self) -> None:
        """Raise StoreUnavailable if MongoDB does not answer."""
        self.run(self._ping())

    def close(self) -> None:
        """Close the connections and end the thread. A call that waits for an answer ends with StoreUnavailable."""
        if self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        self._thread.join(self._call_s)
        self.loop.close()

    def _turn(self) -> None:
        self.turns += 1
        self.loop.call_later(_TURN_S, self._turn)

    async def _end(self) -> None:
        """Cancel what still runs, such as a bulk request that nobody waits for any more, and stop the event loop."""
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self.collection.database.client.close()
        self.loop.stop()

    async def _ping(self) -> None:
        await self.collection.database.client.admin.command("ping")


class _Listener(ServerHeartbeatListener):
    """Notes each sign of life of a server that accepts writes. The driver asks every few seconds, also without jobs.

    https://pymongo.readthedocs.io/en/stable/api/pymongo/monitoring.html
    """

    def __init__(self, uri: str, contact: Contact) -> None:
        self._contact = contact
        interval_ms = uri_options(uri).get("heartbeatfrequencyms", "0")
        if interval_ms.isdigit():
            contact.fresh_s = max(FRESH_S, int(interval_ms) / 1e3 + _MARGIN_S)

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        pass

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        if event.reply.is_writable:
            self._contact.note()

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        pass


def _connect(
    uri: str, collection: str, loop: asyncio.AbstractEventLoop, timeout_s: float, listener: _Listener
) -> AsyncIOMotorCollection[Document]:
    try:
        client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            uri, io_loop=loop, event_listeners=[listener], **client_options(uri, "clipqueue-worker", timeout_s)
        )
    except (PyMongoError, ValueError, OSError) as exc:  # OSError: a certificate's file
        raise StoreUnavailable(describe_unusable_uri(uri, exc)) from None
    try:
        return client.get_default_database(DEFAULT_DATABASE).get_collection(
            collection, write_concern=WRITE_CONCERN, read_preference=READ_PREFERENCE, read_concern=READ_CONCERN
        )
    except InvalidName as exc:
        client.close()
        raise StoreUnavailable(f"CLIPQUEUE_COLLECTION={collection} cannot be used: {exc}") from None
