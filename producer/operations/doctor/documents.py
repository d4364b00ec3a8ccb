"""Checks the collection of the images: its name, its indexes, and the number of failed jobs.

No check reads documents one by one, since a collection may hold millions of vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from producer.contract.mongodb_reasons import reason_of
from producer.contract.text import printable
from producer.documents.indexes import missing
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pymongo.collection import Collection

    from producer.documents.indexes import Index

    Documents = Collection[dict[str, Any]]

_MAX_WITHOUT_INDEX = 10_000
_STATUS = "embedding_job.status"
_STATUSES = ("done", "failed", "pending")
# Maximum time of each count. Without an index, counting a large collection takes minutes and slows other clients down.
_COUNT_MS = 2000
_MAX_FAILED_SHARE = 0.05
_MIN_FAILED = 20
_MAX_NAMES = 10
# Unauthorized, CommandNotFound, CommandNotSupported, and Atlas' own error for commands of the larger clusters.
_REFUSED = (13, 59, 115, 8000)


def document_findings(documents: Documents) -> list[Finding]:
    """Return the findings; a check that MongoDB refuses is a finding too."""
    checks: dict[str, Callable[[Documents], Finding]] = {
        "collection": _check_collection,
        "index": _check_indexes,
        "documents": _check_counts,
    }
    return [_run(subject, check, documents) for subject, check in checks.items()]


def index_finding(count: int, lacking: Sequence[Index]) -> Finding:
    """Check the indexes that the commands need, in a collection of about `count` documents that lacks some of them."""
    if not lacking:
        return Finding.ok("index", "those that the commands need exist")
    if count <= _MAX_WITHOUT_INDEX:
        return Finding.ok("index", f"about {count:,} documents need none")
    return Finding.problem(
        "index",
        f"about {count:,} documents, which these read one by one because an index is missing:",
        *(f"{index.serves} ({index.name}, on {', '.join(index.key)})" for index in lacking),
        "Make them: clipqueue index create",
    )


def count_finding(counts: Mapping[str, int], total: int) -> Finding:
    """Check whether many jobs have failed, from the counts by status and an estimate of the total."""
    without_job = max(total - sum(counts.values()), 0)
    shown = ", ".join(f"{counts[status]:,} {status}" for status in _STATUSES) + f", about {without_job:,} without a job"
    failed, finished = counts["failed"], counts["failed"] + counts["done"]
    if failed < _MIN_FAILED or failed <= _MAX_FAILED_SHARE * finished:
        return Finding.ok("documents", shown)
    return Finding.problem("documents", f"{shown}: many failed", "List the reasons: clipqueue failed")


def _run(subject: str, check: Callable[[Documents], Finding], documents: Documents) -> Finding:
    try:
        return check(documents)
    except PyMongoError as exc:
        return _unanswered(subject, exc)


def _unanswered(subject: str, exc: PyMongoError) -> Finding:
    shown = f"could not be checked: {reason_of(exc)}"
    if isinstance(exc, OperationFailure) and exc.code in _REFUSED:
        return Finding.unknown(subject, shown, "The user in MONGODB_URI may not ask for it; one who may can run this.")
    return Finding.problem(subject, shown, "Check that MongoDB runs, and the user and the names in the settings.")


def _check_collection(documents: Documents) -> Finding:
    collection, database = f"collection {documents.name!r}", f"database {documents.database.name!r}"
    # A user who may only use this collection is told about this collection.
    names = sorted(documents.database.list_collection_names(authorizedCollections=True))
    if documents.name in names:
        return Finding.ok("collection", f"{collection} exists in {database}")
    if not names:
        return Finding.ok("collection", f"{collection} does not exist yet in {database}; the first job creates it")
    return Finding.unknown(
        "collection",
        f"{collection} does not exist in {database}; existing collections: {_shown(names)}",
        "This is normal before the first job; otherwise check the database in MONGODB_URI and CLIPQUEUE_COLLECTION.",
    )


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_MAX_NAMES]))
    return "none" if not names else shown + (", ..." if len(names) > _MAX_NAMES else "")


def _check_indexes(documents: Documents) -> Finding:
    return index_finding(documents.estimated_document_count(maxTimeMS=_COUNT_MS), missing(documents))


def _check_counts(documents: Documents) -> Finding:
    try:
        counts = {status: documents.count_documents({_STATUS: status}, maxTimeMS=_COUNT_MS) for status in _STATUSES}
    except ExecutionTimeout:
        return Finding.ok("documents", f"not counted by status: that takes longer than {_COUNT_MS / 1e3:g} s")
    return count_finding(counts, documents.estimated_document_count(maxTimeMS=_COUNT_MS))
