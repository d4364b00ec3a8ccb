"""Opens the collection of the images' documents for commands that look at it. Needs the extra `mongo`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import ConnectionFailure, InvalidName, OperationFailure, PyMongoError

from producer.contract import DEFAULT_DATABASE
from producer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

_ANSWER_MS = 5000


@contextmanager
def open_collection(mongodb_uri: str, name: str) -> Iterator[Collection[dict[str, Any]]]:
    """Give a block the collection; the database is the one in the URI's path, else `clipqueue`. Connects on first use.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    try:
        client = pymongo.MongoClient[dict[str, Any]](
            mongodb_uri,
            serverSelectionTimeoutMS=_ANSWER_MS,
            connectTimeoutMS=_ANSWER_MS,
            tz_aware=True,
            datetime_conversion="DATETIME_AUTO",  # a date that Python does not know must not hide the document
        )
    except (PyMongoError, ValueError):
        # Without the driver's message, which may repeat the URI and with it the password.
        raise ConfigurationError(
            "MONGODB_URI cannot be read, or its SRV record was not found; it looks like mongodb://host:27017/database"
        ) from None
    with client:
        try:
            collection = client.get_default_database(DEFAULT_DATABASE)[name]
        except InvalidName:
            raise ConfigurationError(f"{name!r} cannot be the name of a database's collection") from None
        yield collection


def reason_of(exc: PyMongoError) -> str:
    """Return what went wrong, without what may repeat a document or a password."""
    if isinstance(exc, ConnectionFailure):
        return str(exc).partition(" (configured timeouts")[0].partition(", Timeout: ")[0]
    if isinstance(exc, OperationFailure):
        return str((exc.details or {}).get("codeName") or f"error {exc.code}")
    return type(exc).__name__
