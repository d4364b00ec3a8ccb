"""What `clipqueue doctor` asks about the images' documents: are they there, can they be found, how do they stand.

Nothing here reads documents one by one: a collection may hold millions of vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import ExecutionTimeout, PyMongoError

from producer.contract.mongodb import describe_error
from producer.contract.text import printable
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pymongo.collection import Collection

    Documents = Collection[dict[str, Any]]

_MANY_DOCUMENTS = 10_000
_STATUS = "embedding_job.status"
_STATUSES = ("done", "failed", "pending")
# For each status; without an index, counting a large collection takes minutes and slows others down.
_COUNT_MS = 2000
_FAILED_SHARE = 0.05
_MANY_FAILED = 20
_SHOWN_NAMES = 10


def document_findings(documents: Documents) -> list[Finding]:
    """Return what is found; what may not be looked at is a finding too."""
    looks: dict[str, Callable[[Documents], Finding]] = {
        "collection": _collection,
        "index": _index,
        "documents": _counts,
    }
    return [_attempt(subject, look, documents) for subject, look in looks.items()]


def index_finding(collection: str, count: int, indexes: Iterable[Mapping[str, Any]]) -> Finding:
    """Return whether documents can be found by their status, of about `count` documents with these indexes."""
    if any(map(_is_of_all_statuses, indexes)):
        return Finding.well("index", f"there is one on {_STATUS}")
    if count <= _MANY_DOCUMENTS:
        return Finding.well("index", f"about {count:,} documents need none on {_STATUS}")
    return Finding.look(
        "index",
        f"about {count:,} documents and no index on {_STATUS}: sweep, backfill and failed read all of them",
        f"In mongosh: db.getCollection({collection!r}).createIndex({{'{_STATUS}': 1}})",
    )


def count_finding(counts: Mapping[str, int], total: int) -> Finding:
    """Return how the documents stand; `counts` are by status, `total` is an estimate."""
    none = max(total - sum(counts.values()), 0)
    shown = ", ".join(f"{counts[status]:,} {status}" for status in _STATUSES) + f", about {none:,} without a job"
    failed, ended = counts["failed"], counts["failed"] + counts["done"]
    if failed < _MANY_FAILED or failed <= _FAILED_SHARE * ended:
        return Finding.well("documents", shown)
    return Finding.look("documents", f"{shown}: many failed", "See why: clipqueue failed")


def _attempt(subject: str, look: Callable[[Documents], Finding], documents: Documents) -> Finding:
    try:
        return look(documents)
    except PyMongoError as exc:
        todo = "See what the user in MONGODB_URI may do."
        return Finding.look(subject, f"could not be looked at: {describe_error(exc)}", todo)


def _collection(documents: Documents) -> Finding:
    place = f"{documents.name!r} in database {documents.database.name!r}"
    names = sorted(documents.database.list_collection_names())
    if documents.name in names:
        return Finding.well("collection", f"there is {place}")
    return Finding.look(
        "collection",
        f"there is no {place}, which has {_shown(names)}",
        "Before the first job this is as it should be; else see the database in MONGODB_URI and CLIPQUEUE_COLLECTION.",
    )


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_SHOWN_NAMES]))
    return "no collections" if not names else shown + (", ..." if len(names) > _SHOWN_NAMES else "")


def _index(documents: Documents) -> Finding:
    count = documents.estimated_document_count()
    return index_finding(documents.name, count, documents.index_information().values())


def _is_of_all_statuses(index: Mapping[str, Any]) -> bool:
    # A sparse or partial one does not serve those who look for documents without a status.
    is_whole = not index.get("sparse") and "partialFilterExpression" not in index
    return is_whole and index["key"][0][0] == _STATUS


def _counts(documents: Documents) -> Finding:
    try:
        counts = {status: documents.count_documents({_STATUS: status}, maxTimeMS=_COUNT_MS) for status in _STATUSES}
    except ExecutionTimeout:
        return Finding.well("documents", f"not counted by status: that takes longer than {_COUNT_MS / 1e3:g} s")
    return count_finding(counts, documents.estimated_document_count())
