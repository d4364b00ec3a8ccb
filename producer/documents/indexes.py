"""The indexes that the commands need in a large collection: which of them are missing, and how they are made.

An index costs writes. When a job is recorded and when it ends, its document gets new keys in STATUS and MODELS. FAILED
only holds failed jobs, so other jobs cost it nothing.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo import IndexModel
from pymongo.errors import ExecutionTimeout, OperationFailure

from ..contract.errors import StoreUnavailable
from ..contract.mongodb_reasons import reason_of
from .connection import hosts_of, store_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pymongo.collection import Collection

    from ..contract.records import Document

    Documents = Collection[Document]

_STATUS = "embedding_job.status"
_MODEL = "embedding_job.model"
_COMPARED = ("embedding_job.url", "embedding_job.enqueued_at")
_FAILED_ONLY = {_STATUS: "failed"}
# MongoDB refuses a command to users who lack the permission.
_UNAUTHORIZED = 13
# The name by which the embedded MongoDB identifies itself.
_EMBEDDED = "nx_27017"


@dataclass(frozen=True)
class Index:
    """An index.

    Attributes:
        name: Its name.
        key: Its fields, all ascending.
        serves: What needs it.
        of_failed: It only holds documents whose job has failed.
    """

    name: str
    key: tuple[str, ...]
    serves: str
    of_failed: bool = False

    def to_model(self) -> IndexModel:
        """Return what pymongo makes the index from."""
        options: Document = {"partialFilterExpression": _FAILED_ONLY} if self.of_failed else {}
        return IndexModel([(field, 1) for field in self.key], name=self.name, **options)

    def is_served_by(self, name: str, found: Mapping[str, Any]) -> bool:
        """Return whether an index does the same, as `Collection.index_information` describes it.

        It may have more fields after these, and may hold more documents. Directions do not matter, because MongoDB
        reads an index from either end, and compares the fields before the one that sorts for equality.
        """
        key = found["key"][: len(self.key)]
        if tuple(field for field, _ in key) != self.key or any(direction not in (1, -1) for _, direction in key):
            return False
        # An index with another collation than its collection's does not compare texts. Ours has the collection's.
        is_comparing = name == self.name or "collation" not in found
        is_whole = found.get("partialFilterExpression") in self._held() and not found.get("sparse")
        return is_comparing and is_whole and not found.get("hidden")

    def _held(self) -> tuple[Document | None, ...]:
        return (None, _FAILED_ONLY) if self.of_failed else (None,)


# Equality, then sort: a page of documents with one status is read in the order of the index.
STATUS = Index("clipqueue_status", (_STATUS, "_id"), "backfill, retry, sweep and doctor")
MODELS = Index("clipqueue_models", (_STATUS, _MODEL, "_id"), "backfill, for vectors of other models")
# All that `failed` counts is in the index, so no document is read but those shown.
FAILED = Index(
    "clipqueue_failed",
    (_STATUS, "embedding_job.error.code", "embedding_job.finished_at", "embedding_job.error.stage"),
    "failed",
    of_failed=True,
)
WANTED = (STATUS, MODELS, FAILED)
# Only where searches compare all vectors in memory.
NEWEST = Index("clipqueue_newest", (_MODEL, "embedding_job.finished_at"), "searches, which look for new vectors")


def wanted_with(url_field: str | None) -> tuple[Index, ...]:
    """Return the wanted indexes. With the field of the URL, a backfill compares URLs without reading the documents."""
    if url_field is None:
        return WANTED
    key = tuple(dict.fromkeys((*MODELS.key, *_COMPARED, url_field)))
    return STATUS, Index("clipqueue_urls", key, "backfill, for vectors of other models and URLs"), FAILED


def find(documents: Documents, wanted: Iterable[Index] = WANTED) -> dict[Index, str | None]:
    """Return the wanted indexes as this server can make them, each with the name of one that serves it, or None.

    Raises what pymongo raises.
    """
    server, found = _on_server(documents, wanted), documents.index_information()
    return {one: next((name for name, index in found.items() if one.is_served_by(name, index)), None) for one in server}


def missing(documents: Documents, wanted: Iterable[Index] = WANTED) -> list[Index]:
    """Return the indexes of `wanted` that the collection lacks. Raises what pymongo raises."""
    return [index for index, name in find(documents, wanted).items() if name is None]


def create(documents: Documents, wanted: Sequence[Index]) -> None:
    """Make indexes, and wait until MongoDB has built them. It reads the collection once for all of them.

    Raises:
        StoreUnavailable: MongoDB did not answer, or did not make them; the message says why.
    """
    if not wanted:
        return
    with store_errors(documents):
        try:
            documents.create_indexes([index.to_model() for index in wanted])
        except OperationFailure as exc:
            why = reason_of(exc)
            if exc.code == _UNAUTHORIZED:
                why = "the user in MONGODB_URI may not make indexes; a user with the role readWrite may"
            raise StoreUnavailable(f"MongoDB did not make the indexes {names(wanted)}: {why}") from None


def drop(documents: Documents, index: Index) -> str | None:
    """Drop an index that `create` made and return its name; None if there is none.

    Raises:
        StoreUnavailable: MongoDB did not answer, or refused the command.
    """
    with store_errors(documents):
        name = find(documents, (index,)).popitem()[1]
        if name != index.name and not is_embedded(documents):  # the user's own
            return None
        if name is not None:
            documents.drop_index(name)
    return name


@contextmanager
def timed_requests(documents: Documents) -> Iterator[None]:
    """Convert errors as `store_errors` does; if a request ran out of its time, say which indexes are missing.

    Raises:
        StoreUnavailable: MongoDB did not answer, or did not finish in time.
    """
    with store_errors(documents):
        try:
            yield
        except ExecutionTimeout:
            raise StoreUnavailable(_out_of_time(documents)) from None


def is_embedded(documents: Documents) -> bool:
    """Return whether the server is the embedded MongoDB. Raises what pymongo raises."""
    try:
        return bool(documents.database.client.admin.command("buildInfo").get("process") == _EMBEDDED)
    except OperationFailure:  # a hosted MongoDB may refuse it
        return False


def names(indexes: Iterable[Index]) -> str:
    """Return the names for a sentence."""
    return ", ".join(index.name for index in indexes)


def _out_of_time(documents: Documents) -> str:
    lacking: list[Index] = []
    with suppress(StoreUnavailable), store_errors(documents):
        lacking = missing(documents)
    hosts = hosts_of(documents)
    ended = f"MongoDB{hosts and f' at {hosts}'} did not finish the request in time"
    if not lacking:
        return f"{ended}: it is busy, or a --query needs an index of its own"
    which = "this index is" if len(lacking) == 1 else "these indexes are"
    return f"{ended}, and {which} missing: {names(lacking)}. Run `clipqueue index create`"


def _on_server(documents: Documents, wanted: Iterable[Index]) -> list[Index]:
    """Return the indexes as this server makes them: the embedded MongoDB has no index on `_id` and other fields."""
    if not is_embedded(documents):
        return list(wanted)
    return [Index(one.name, tuple(field for field in one.key if field != "_id"), one.serves) for one in wanted]
