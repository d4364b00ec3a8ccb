"""Reads what the workers wrote. Needs the extra `mongo`; the worker's own writes are in `worker.store`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymongo
from bson import ObjectId
from pymongo.errors import ConfigurationError as UriError
from pymongo.errors import InvalidName, PyMongoError

from producer.contract import DEFAULT_DATABASE
from producer.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FIELDS = {"embedding_job": 1}
_HEX_CHARS = 24


@dataclass(frozen=True)
class ImageStatus:
    """How one image stands.

    Attributes:
        image_id: The id that was asked for.
        status: `done`, `failed`, `pending` (a document without a result) or `unknown` (no document).
        job: The document's `embedding_job`, empty if there is none.
    """

    image_id: str
    status: str
    job: dict[str, Any]


class ImageDocuments:
    """Reads documents by image id from one collection."""

    def __init__(self, collection: pymongo.collection.Collection[dict[str, Any]]) -> None:
        self._collection = collection

    def status(self, image_ids: Sequence[str]) -> list[ImageStatus]:
        """Return the status of each id, in order. 24 hex digits match an ObjectId as well as a string.

        Raises:
            StoreUnavailable: MongoDB did not answer.
        """
        keys = [key for image_id in image_ids for key in _keys(image_id)]
        try:
            found = {document["_id"]: document for document in self._collection.find({"_id": {"$in": keys}}, _FIELDS)}
        except UnicodeError:
            raise StoreUnavailable("an id is not valid Unicode text") from None
        except PyMongoError as exc:
            raise StoreUnavailable(f"MongoDB did not answer: {exc}") from None
        return [_read(image_id, found) for image_id in image_ids]


@contextmanager
def open_documents(mongodb_uri: str, collection: str) -> Iterator[ImageDocuments]:
    """Connect to a collection; the database is the one in the URI's path, else `clipqueue`.

    Raises:
        ConfigurationError: The URI cannot be read.
    """
    try:
        client = pymongo.MongoClient[dict[str, Any]](mongodb_uri, serverSelectionTimeoutMS=5000, tz_aware=True)
    except (UriError, ValueError):
        # Without the driver's message, which may repeat the URI and with it the password.
        raise ConfigurationError("MONGODB_URI cannot be read; it looks like mongodb://host:27017/database") from None
    with client:
        try:
            documents = ImageDocuments(client.get_default_database(DEFAULT_DATABASE)[collection])
        except InvalidName:
            raise ConfigurationError(f"CLIPQUEUE_COLLECTION={collection} is no name of a collection") from None
        yield documents


def _keys(image_id: str) -> list[str | ObjectId]:
    is_hex = len(image_id) == _HEX_CHARS and ObjectId.is_valid(image_id)
    return [ObjectId(image_id), image_id] if is_hex else [image_id]


def _read(image_id: str, found: dict[Any, dict[str, Any]]) -> ImageStatus:
    document = next((found[key] for key in _keys(image_id) if key in found), None)
    if document is None:
        return ImageStatus(image_id, "unknown", {})
    job = document.get("embedding_job")
    job = job if isinstance(job, dict) else {}
    return ImageStatus(image_id, str(job.get("status", "pending")), job)
