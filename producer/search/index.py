"""MongoDB's vector search index: its definition, and whether a search can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo.errors import OperationFailure
from pymongo.operations import SearchIndexModel

from producer.documents.connection import store_errors
from producer.documents.indexes import is_embedded
from producer.search.errors import SearchUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.search.settings import SearchSettings

T = TypeVar("T")

VECTOR_PATH = "embedding"
MODEL_PATH = "embedding_job.model"
MAX_DIM = 8192
# 31082: search is not configured. 6047401: only on Atlas. 59: no such command. 40324: no such stage of an aggregation.
_NO_SEARCH_CODES = (31082, 6047401, 59, 40324)


class NoVectorSearch(SearchUnavailable):
    """The server has no vector search."""

    def __init__(self) -> None:
        super().__init__(
            "this MongoDB has no vector search, which needs Atlas, or mongodb-atlas-local; without it, searches "
            "compare all vectors in memory"
        )


@dataclass(frozen=True)
class VectorIndex:
    """An index as MongoDB describes it.

    Attributes:
        name: Its name.
        status: Such as `BUILDING` or `READY`.
        is_queryable: Whether searches can use it; it may be queryable while a new version of it is built.
        dim: The length of the vectors at `embedding`; None if the index does not cover that field.
        similarity: How vectors are compared.
        quantization: How vectors are kept.
        filter_fields: The fields that a filter may use.
    """

    name: str
    status: str
    is_queryable: bool
    dim: int | None
    similarity: str
    quantization: str
    filter_fields: tuple[str, ...]

    def missing_fields(self, fields: Sequence[str]) -> list[str]:
        """Return the fields that a filter could not use; the model is always one of those needed."""
        return [field for field in (MODEL_PATH, *fields) if field not in self.filter_fields]


def definition(dim: int, fields: Sequence[str], quantization: str = "none") -> Document:
    """Return the definition of an index for vectors of this length."""
    vector = {
        "type": "vector",
        "path": VECTOR_PATH,
        "numDimensions": dim,
        "similarity": "cosine",
        "quantization": quantization,
    }
    return {"fields": [vector, *({"type": "filter", "path": path} for path in dict.fromkeys((MODEL_PATH, *fields)))]}


class SearchIndexes:
    """The search indexes of one collection."""

    def __init__(self, collection: Collection[Document], settings: SearchSettings) -> None:
        self._collection = collection
        self._name = settings.index

    def find(self) -> VectorIndex | None:
        """Return the index; None if it does not exist.

        Raises:
            SearchUnavailable: The server has no vector search.
            StoreUnavailable: MongoDB did not answer.
        """
        found = _run(self._collection, lambda: list(self._collection.list_search_indexes(self._name)))
        return next((read_index(index) for index in found if index.get("name") == self._name), None)

    def create(self, dim: int, fields: Sequence[str], quantization: str) -> None:
        """Start to build the index. Raises what `find` does."""
        wanted = SearchIndexModel(definition(dim, fields, quantization), self._name, "vectorSearch")
        _run(self._collection, lambda: self._collection.create_search_index(wanted))

    def update(self, dim: int, fields: Sequence[str], quantization: str) -> None:
        """Start to build a new version of the index; the old one serves meanwhile. Raises what `find` does."""
        _run(
            self._collection,
            lambda: self._collection.update_search_index(self._name, definition(dim, fields, quantization)),
        )

    def drop(self) -> None:
        """Drop the index. Raises what `find` does."""
        _run(self._collection, lambda: self._collection.drop_search_index(self._name))

    def check_server(self) -> None:
        """Check that the server has vector search: even without an index, it must accept the stage.

        The embedded MongoDB would read the whole collection before it refuses the stage.

        Raises:
            SearchUnavailable: It has none.
            StoreUnavailable: MongoDB did not answer.
        """
        with store_errors():
            if is_embedded(self._collection):
                raise NoVectorSearch
        stage = {"index": self._name, "path": VECTOR_PATH, "queryVector": [1.0], "numCandidates": 1, "limit": 1}
        _run(self._collection, lambda: list(self._collection.aggregate([{"$vectorSearch": stage}])))


def read_index(found: Mapping[str, Any]) -> VectorIndex:
    """Return an index from what `list_search_indexes` returns."""
    fields = [field for field in found.get("latestDefinition", {}).get("fields", []) if isinstance(field, dict)]
    vectors = [field for field in fields if field.get("type") == "vector" and field.get("path") == VECTOR_PATH]
    vector = vectors[0] if vectors else {}
    return VectorIndex(
        name=str(found.get("name")),
        status=str(found.get("status", "unknown")),
        is_queryable=bool(found.get("queryable")),
        dim=vector.get("numDimensions"),
        similarity=str(vector.get("similarity")),
        quantization=str(vector.get("quantization", "none")),
        filter_fields=tuple(str(field.get("path")) for field in fields if field.get("type") == "filter"),
    )


def _run(asked: Collection[Document], command: Callable[[], T]) -> T:
    with store_errors(asked):
        try:
            return command()
        except OperationFailure as exc:
            # The embedded MongoDB names no code.
            if exc.code in _NO_SEARCH_CODES or "not supported" in str(exc):
                raise NoVectorSearch from None
            raise
