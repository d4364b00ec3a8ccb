"""Reads the backend's documents, and the jobs that are recorded in them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo.errors import ExecutionTimeout

from ..contract.ids import image_id_of_text
from ..contract.records import bson_id, job_record, possible_ids
from .brackets import brackets_after
from .connection import connect_collection, store_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from ..contract.records import BsonId, Document

PAGE = 500
_LONG_SOCKET_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ImageStatus:
    """The state of one image.

    Attributes:
        image_id: The id that the caller passed.
        status: `done`, `failed`, `pending` (a document without a result) or `unknown` (no document).
        job: The document's `embedding_job`; empty if there is none.
    """

    image_id: str
    status: str
    job: dict[str, Any]


class ImageDocuments:
    """The documents of one collection. Safe to share between threads.

    All methods raise StoreUnavailable if MongoDB cannot be reached or refuses the request.
    """

    def __init__(self, collection: Collection[Document]) -> None:
        self._collection = collection
        self.database = collection.database.name
        self.name = collection.name

    def close(self) -> None:
        """Close the connections."""
        self._collection.database.client.close()

    def status(self, image_ids: Sequence[str], id_type: str | None = None) -> list[ImageStatus]:
        """Return the status of each image, in order.

        Args:
            image_ids: The ids as text.
            id_type: Their type, see `ID_TYPES`; None for each that a text may be of.

        Raises:
            InvalidJob: A text is no id of this type.
        """
        keys = [_keys_of(text, id_type) for text in image_ids]
        found = self.by_id([key for possible in keys for key in possible])
        return [_status_of(text, possible, found) for text, possible in zip(image_ids, keys, strict=True)]

    def by_id(self, document_ids: Sequence[BsonId]) -> dict[BsonId, Document]:
        """Return the `embedding_job` of each document that exists, by `_id`; an empty one if it has none."""
        query = {"_id": {"$in": list(document_ids)}}
        with store_errors():
            found = self._collection.find(query, {"embedding_job": 1})
            return {document["_id"]: job_record(document) for document in found}

    def stream(self, query: Document, fields: Mapping[str, int]) -> Iterator[Document]:
        """Yield the documents that match `query`, in no particular order."""
        with store_errors():
            yield from self._collection.find(query, fields, batch_size=PAGE)

    def pages(self, query: Document, fields: Mapping[str, int], after: Any = None) -> Iterator[list[Document]]:
        """Yield all documents that match `query` in lists of at most PAGE, ordered as `brackets_after` says.

        Some may have an `_id` that no job can have. Each page is a separate query, because MongoDB closes a cursor that
        is idle for ten minutes.

        Args:
            query: The filter.
            fields: The fields to read.
            after: Skip the documents up to this `_id`, inclusive, whatever its type.
        """
        for bracket, first in brackets_after(after):
            bound = first
            while page := self._page({"$and": [query, {"_id": bound}]}, fields):
                yield page
                bound = bracket.after(page[-1]["_id"])

    def count(self, query: Document) -> int:
        """Return how many documents match `query`."""
        with store_errors():
            return self._collection.count_documents(query)

    def models(self, within_s: float) -> list[Any] | None:
        """Return the models of the vectors; None if MongoDB needs longer than `within_s` to find them."""
        with store_errors():
            try:
                done = {"embedding_job.status": "done"}
                return self._collection.distinct("embedding_job.model", done, maxTimeMS=int(within_s * 1e3))
            except ExecutionTimeout:
                return None

    def statuses(self) -> dict[str, int]:
        """Return how many documents have each status. A document without a result is `pending`."""
        with store_errors():
            groups = list(self._collection.aggregate([{"$group": {"_id": "$embedding_job.status", "n": {"$sum": 1}}}]))
        counts: dict[str, int] = {}
        for group in groups:
            status = group["_id"] if group["_id"] in {"done", "failed"} else "pending"
            counts[status] = counts.get(status, 0) + group["n"]
        return counts

    def _page(self, query: Document, fields: Mapping[str, int]) -> list[Document]:
        with store_errors():
            return list(self._collection.find(query, fields).sort("_id", 1).limit(PAGE))


def connect(
    mongodb_uri: str, collection: str, timeout_s: float = 5.0, socket_timeout_s: float = 10.0
) -> ImageDocuments:
    """Return a collection's documents; `connect_collection` describes the arguments and the errors."""
    return ImageDocuments(connect_collection(mongodb_uri, collection, timeout_s, socket_timeout_s))


@contextmanager
def open_documents(mongodb_uri: str, collection: str) -> Iterator[ImageDocuments]:
    """Yield a collection's documents to a command, and close them afterwards.

    MongoDB has five minutes for each answer, because a query may have to scan the whole collection.

    Raises:
        ConfigurationError: The URI or the collection's name cannot be used.
    """
    with closing(connect(mongodb_uri, collection, socket_timeout_s=_LONG_SOCKET_TIMEOUT_S)) as documents:
        yield documents


def _keys_of(text: str, id_type: str | None) -> list[BsonId]:
    return possible_ids(text) if id_type is None else [bson_id(image_id_of_text(text, id_type))]


def _status_of(image_id: str, possible: Sequence[BsonId], found: Mapping[BsonId, Document]) -> ImageStatus:
    job = next((found[key] for key in possible if key in found), None)
    if job is None:
        return ImageStatus(image_id, "unknown", {})
    return ImageStatus(image_id, str(job.get("status", "pending")), job)
