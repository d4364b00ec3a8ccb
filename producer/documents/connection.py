"""Connects to MongoDB for the producer's code, and turns pymongo's errors into ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pymongo
from bson.errors import BSONError
from pymongo.errors import BulkWriteError, InvalidName, PyMongoError

from ..contract.errors import ConfigurationError, StoreUnavailable
from ..contract.mongodb import (
    READ_CONCERN,
    READ_PREFERENCE,
    WRITE_CONCERN,
    client_options,
    describe_failed_request,
    describe_unusable_uri,
    shown_hosts,
)
from ..contract.names import DEFAULT_DATABASE
from ..contract.records import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection


class Client(pymongo.MongoClient[Document]):
    """pymongo's client, which knows what errors call its server.

    Attributes:
        hosts: The hosts in the URI.
    """

    hosts = ""


def connect_collection(
    mongodb_uri: str, name: str, timeout_s: float = 5.0, socket_timeout_s: float = 10.0
) -> Collection[Document]:
    """Return a collection that reads from the primary and writes with a majority, even if the URI says otherwise.

    It connects on first use. Close it with `collection.database.client.close()`.

    Args:
        mongodb_uri: `mongodb://user:password@host:27017/database`; the database is `clipqueue` if the URI names none.
        name: The collection's name.
        timeout_s: Seconds to find the server, and seconds to connect, unless the URI says otherwise.
        socket_timeout_s: Seconds to wait for each answer, unless the URI says otherwise.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    client = _connect(mongodb_uri, timeout_s, socket_timeout_s)
    try:
        collection = _collection_of(client, name)
    except ConfigurationError:
        client.close()
        raise
    return collection.with_options(write_concern=WRITE_CONCERN)


@contextmanager
def open_collection(mongodb_uri: str, name: str, socket_timeout_s: float = 10.0) -> Iterator[Collection[Document]]:
    """Yield a collection that reads from the primary, with the write concern of the URI, and close it afterwards.

    Args:
        mongodb_uri: As for `connect_collection`.
        name: The collection's name.
        socket_timeout_s: Seconds to wait for each answer, unless the URI says otherwise.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    with _connect(mongodb_uri, socket_timeout_s=socket_timeout_s) as client:
        yield _collection_of(client, name)


@contextmanager
def store_errors(asked: Collection[Document] | None = None) -> Iterator[None]:
    """Convert the errors of a block to StoreUnavailable, except BulkWriteError, which is re-raised.

    Args:
        asked: The collection that the block uses. The errors then say where it is.

    Raises:
        StoreUnavailable: MongoDB could not be reached, refused a command, or returned an unreadable document.
        BulkWriteError: MongoDB refused some of the writes.
    """
    try:
        yield
    except BulkWriteError:
        raise
    except UnicodeError:
        raise StoreUnavailable("a value in the query is not valid Unicode text") from None
    except PyMongoError as exc:
        raise StoreUnavailable(describe_failed_request(exc, hosts_of(asked))) from None
    except BSONError as exc:
        raise StoreUnavailable(f"a document in MongoDB cannot be decoded: {type(exc).__name__}") from None


def hosts_of(asked: Collection[Document] | None) -> str:
    """Return the hosts of a collection's server; nothing if they are unknown."""
    client = asked.database.client if asked is not None else None
    return client.hosts if isinstance(client, Client) else ""


def _connect(mongodb_uri: str, timeout_s: float = 5.0, socket_timeout_s: float = 10.0) -> Client:
    try:
        client = Client(mongodb_uri, **client_options(mongodb_uri, "clipqueue", timeout_s, socket_timeout_s))
    except (PyMongoError, ValueError, OSError) as exc:  # OSError: a certificate's file
        raise ConfigurationError(describe_unusable_uri(mongodb_uri, exc)) from None
    client.hosts = shown_hosts(mongodb_uri)
    return client


def _collection_of(client: pymongo.MongoClient[Document], name: str) -> Collection[Document]:
    try:
        database = client.get_default_database(
            DEFAULT_DATABASE, read_preference=READ_PREFERENCE, read_concern=READ_CONCERN
        )
        return database[name]
    except InvalidName:
        raise ConfigurationError(f"{name!r} is not a valid collection name") from None
