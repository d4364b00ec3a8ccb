"""Reads documents with vectors from the collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from bson import ObjectId

from producer.contract.ids import MAX_EXACT_DOUBLE
from producer.contract.records import job_record, to_ms
from producer.documents.connection import store_errors
from producer.search.vectors import read_stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pymongo.collection import Collection

    from producer.contract.records import BsonId, Document

PAGE = 500
_MODEL = "embedding_job.model"


class VectorReader:
    """Reads one collection. All methods raise StoreUnavailable if MongoDB does not answer.

    Pages leave out documents with an `_id` that no job can have: no search shows them.

    Documents have their fields as MongoDB stores them. Only top-level fields are asked for: the embedded MongoDB
    returns `a.b` as a field of that name, and MongoDB refuses `a` beside `a.b`.
    """

    def __init__(self, collection: Collection[Document], fields: Sequence[str]) -> None:
        self._collection = collection
        self._projection = {"embedding_job": 1, **{field.partition(".")[0]: 1 for field in fields}}

    def vectors(self, query: Document) -> Iterator[list[Document]]:
        """Yield pages of documents with their vector, their job and the declared fields."""
        yield from self._pages(query, {**self._projection, "embedding": 1})

    def jobs(self, query: Document) -> Iterator[list[Document]]:
        """Yield pages of documents with their job and the declared fields."""
        yield from self._pages(query, self._projection)

    def by_id(self, document_ids: Sequence[BsonId], *, with_vector: bool = False) -> dict[BsonId, Document]:
        """Return the documents that exist, with their URL, their job and the declared fields."""
        extra = {"embedding": 1} if with_vector else {"url": 1}
        found: dict[BsonId, Document] = {}
        for start in range(0, len(document_ids), PAGE):
            query = {"_id": {"$in": list(document_ids[start : start + PAGE])}}
            with store_errors(self._collection):
                documents = self._collection.find(query, {**self._projection, **extra})
                found.update((document["_id"], document) for document in documents)
        return found

    def estimated_count(self) -> int:
        """Return about how many documents the collection has, with or without a vector."""
        with store_errors(self._collection):
            return self._collection.estimated_document_count()

    def count(self, model: str, most: int) -> int:
        """Return how many documents have a vector of the model; stop counting at `most`."""
        with store_errors(self._collection):
            return self._collection.count_documents(of_model(model), limit=most)

    def models(self) -> list[str]:
        """Return the models of all vectors."""
        with store_errors(self._collection):
            found = self._collection.distinct(_MODEL)
        return sorted(model for model in found if isinstance(model, str))

    def dim(self, model: str) -> int | None:
        """Return the length of the model's vectors, as one document has it; None if there are none."""
        with store_errors(self._collection):
            document = self._collection.find_one(of_model(model), {"embedding_job": 1, "embedding": 1}) or {}
        dim = job_record(document).get("dim")
        if isinstance(dim, int):
            return dim
        vector = read_stored(document.get("embedding"))
        return None if vector is None else len(vector)

    def _pages(self, query: Document, projection: Mapping[str, Any]) -> Iterator[list[Document]]:
        with store_errors(self._collection), self._collection.find(query, projection, batch_size=PAGE) as cursor:
            page: list[Document] = []
            for document in cursor:
                if is_image_id(document["_id"]):
                    page.append(document)
                if len(page) == PAGE:
                    yield page
                    page = []
            yield page


def of_model(model: str, since: datetime | None = None) -> Document:
    """Return the filter for documents with a vector of a model, and whose job finished at `since` or later.

    A failed or pending job keeps the model of the document's earlier vector, and no other job without a vector has one.
    """
    finished = {} if since is None else {"embedding_job.finished_at": {"$gte": since}}
    return {_MODEL: model, **finished}


def is_image_id(document_id: object) -> bool:
    """Return whether a job could have this id. A bool is an int in Python, and a whole float an integer in MongoDB."""
    if isinstance(document_id, float):
        return document_id.is_integer() and abs(document_id) <= MAX_EXACT_DOUBLE
    return isinstance(document_id, str | int | UUID | ObjectId) and not isinstance(document_id, bool)


def version_of(document: Document) -> int:
    """Return a number that changes when a worker writes another vector."""
    job = job_record(document)
    return hash((job.get("sha256"), to_ms(job.get("finished_at"))))
