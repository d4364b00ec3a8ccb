"""Reads the backend's documents, and the jobs that are recorded in them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo.errors import ExecutionTimeout

from ..contract.ids import image_id_of_text
from ..contract.records import bson_id, job_record, possible_ids
from .brackets import brackets_after, place_of
from .connection import connect_collection
from .indexes import timed_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from ..contract.records import BsonId, Document

PAGE = 500
# The time that MongoDB has for a request. By `_id` or from an index it needs milliseconds. A page without an index, or
# with a query of the user's own, may have to read the whole collection.
_QUICK_MS = 8_000
_LONG_MS = 120_000
# Longer than MongoDB's own limit, so that MongoDB ends the request and says why. Only a server that hangs is left.
_LONG_SOCKET_TIMEOUT_S = _LONG_MS / 1e3 + 10


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
        with timed_requests(self._collection):
            found = self._collection.find(query, {"embedding_job": 1}, max_time_ms=_QUICK_MS)
            return {document["_id"]: job_record(document) for document in found}

    def pages(self, query: Document, fields: Mapping[str, int], after: Any = None) -> Iterator[list[Document]]:
        """Yield all documents that match `query` in lists of at most PAGE, ordered as `brackets_after` says.

        Some may have an `_id` that no job can have. Each page is a separate query, because MongoDB closes a cursor that
        is idle for ten minutes. The first one asks for all types at once: it mostly is the only one, or the embedded
        server has the first documents quickly. It reads the whole collection for each query with a range of ids.

        Args:
            query: The filter.
            fields: The fields to read.
            after: Skip the documents up to this `_id`, inclusive, whatever its type.
        """
        if after is None:
            page = sorted(self._page(query, fields), key=lambda document: place_of(document["_id"]))
            is_all = len(page) < PAGE
            # Numbers come before texts, so if there is none among the first, they are the first of all.
            if page and (is_all or all(isinstance(document["_id"], str) for document in page)):
                yield page
                after = page[-1]["_id"]
            if is_all:
                return
        for bracket, first in brackets_after(after):
            bound = first
            while page := self._page({"$and": [query, {"_id": bound}]}, fields):
                yield page
                if len(page) < PAGE:
                    break
                bound = bracket.after(page[-1]["_id"])

    def count(self, query: Document) -> int:
        """Return how many documents match `query`."""
        with timed_requests(self._collection):
            return self._collection.count_documents(query, maxTimeMS=_QUICK_MS)

    def models(self, within_s: float) -> list[Any] | None:
        """Return the models of the vectors; None if MongoDB needs longer than `within_s` to find them."""
        with timed_requests(self._collection):
            try:
                done = {"embedding_job.status": "done"}
                return self._collection.distinct("embedding_job.model", done, maxTimeMS=int(within_s * 1e3))
            except ExecutionTimeout:
                return None

    def statuses(self) -> dict[str, int]:
        """Return how many documents are `done`, `failed`, and about how many are `pending`, which have no result.

        The index STATUS counts the first two without reading a document.
        """
        counts = {status: self.count({"embedding_job.status": status}) for status in ("done", "failed")}
        with timed_requests(self._collection):
            total = self._collection.estimated_document_count(maxTimeMS=_QUICK_MS)
        return {**counts, "pending": max(total - sum(counts.values()), 0)}

    def _page(self, query: Document, fields: Mapping[str, int]) -> list[Document]:
        with timed_requests(self._collection):
            return list(self._collection.find(query, fields, max_time_ms=_LONG_MS).sort("_id", 1).limit(PAGE))


def connect(
    mongodb_uri: str, collection: str, timeout_s: float = 5.0, socket_timeout_s: float = 10.0
) -> ImageDocuments:
    """Return a collection's documents; `connect_collection` describes the arguments and the errors."""
    return ImageDocuments(connect_collection(mongodb_uri, collection, timeout_s, socket_timeout_s))


@contextmanager
def open_documents(mongodb_uri: str, collection: str) -> Iterator[ImageDocuments]:
    """Yield a collection's documents to a command, and close them afterwards.

    MongoDB has two minutes for each page, because a query may have to read the whole collection.

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
