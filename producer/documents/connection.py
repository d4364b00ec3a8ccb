"""Connects to MongoDB for every command that looks at documents. Needs the extra `mongo`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pymongo
from pymongo.errors import InvalidName, PyMongoError

from producer.contract.errors import ConfigurationError
from producer.contract.names import DEFAULT_DATABASE
from producer.contract.records import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

Client = pymongo.MongoClient[Document]


def connect_client(mongodb_uri: str, timeout_s: float = 5.0, answer_s: float = 10.0) -> Client:
    """Return a client, which connects on first use.

    Args:
        mongodb_uri: Such as `mongodb://user:password@host:27017/database`.
        timeout_s: Seconds to look for the server, and to connect.
        answer_s: Seconds to wait for each answer; more than a write concern's own time.

    Raises:
        ConfigurationError: The URI cannot be used.
    """
    timeout_ms = int(timeout_s * 1e3)
    try:
        return Client(
            mongodb_uri,
            serverSelectionTimeoutMS=timeout_ms,
            connectTimeoutMS=timeout_ms,
            socketTimeoutMS=int(answer_s * 1e3),
            tz_aware=True,
            datetime_conversion="DATETIME_AUTO",  # a date that Python does not know must not hide the document
            appname="clipqueue",
        )
    except (PyMongoError, ValueError):
        # Without the driver's message, which may repeat the URI and with it the password.
        raise ConfigurationError(
            "MONGODB_URI cannot be read, or its SRV record was not found; it looks like mongodb://host:27017/database"
        ) from None


def collection_of(client: Client, name: str) -> Collection[Document]:
    """Return a collection of the database in the URI's path, else of `clipqueue`.

    Raises:
        ConfigurationError: The name cannot be used.
    """
    try:
        return client.get_default_database(DEFAULT_DATABASE)[name]
    except InvalidName:
        raise ConfigurationError(f"CLIPQUEUE_COLLECTION={name} is no name of a collection") from None


@contextmanager
def open_collection(mongodb_uri: str, name: str) -> Iterator[Collection[Document]]:
    """Give a block the collection as the URI alone describes it.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    with connect_client(mongodb_uri) as client:
        yield collection_of(client, name)
