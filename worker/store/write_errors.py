"""Decides whether a failed request or write is the document's fault, or may succeed later.

Error texts are never shown: MongoDB's own texts quote the document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

from producer.contract.mongodb import describe_failed_request, is_duplicate_id, is_duplicate_key, unique_fields
from worker.errors import DocumentDelayed, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.errors import PyMongoError

    from producer.contract.records import Document

# Why MongoDB refuses a document, for the codes that users meet. Other codes are permanent too.
_REASONS = {
    2: "bad value",
    28: "a field's parent is not an object",
    66: "immutable field",
    121: "rejected by the collection's validator",
    171: "an index cannot have two arrays",
    10334: "too large",
    16755: "not valid for a geo index",
    17419: "too large",
}
# From error_codes.yml of MongoDB's source: the categories RetriableError, NotPrimaryError, ShutdownError, NetworkError,
# Interruption and StaleShardVersionError, and codes outside of these categories that do not depend on the document.
_LATER_CODES = frozenset(
    [
        *(91, 189, 10058, 10107, 11600, 11602, 13435, 13436),  # not the primary, or shutting down
        *(6, 7, 89, 149, 202, 9001),  # a server cannot reach another one
        *(24, 46, 50, 112, 262, 272, 290, 355, 363, 365, 11601),  # a limit of time, an interruption or a conflict
        *(70, 133, 134, 150, 227, 249, 319, 358, 406, 412, 414, 13388),  # a shard is moving or unavailable
        *(146, 264, 402, 407, 433, 449, 16500),  # overloaded; 16500 is Cosmos DB's "too many requests"
        *(13, 18, 391),  # the user lacks a permission: an operator must grant it
        *(64, 79, 100),  # not enough members confirm writes
        371,  # an administrator has blocked writes
        8000,  # an error of Atlas, such as a storage quota that is used up
        14031,  # the disk is full
    ]
)
# nx-27017, the embedded server, has one code for all its errors, and SQLite's texts.
_EMBEDDED_CODE = 8
_EMBEDDED_LATER = re.compile(r"disk|database is locked|readonly database")
_LATER_LABELS = {"RetryableWriteError", "TransientTransactionError"}
_FULL_CODES = {8000, 14031}
_FULL = "MongoDB accepts no writes (code {code}): its disk is full or its storage quota is used up; jobs wait for space"


def errors_by_index(details: Document, count: int) -> dict[int, Exception | None]:
    """Return the errors of a bulk write by the index of the operation.

    Args:
        details: The details of pymongo's BulkWriteError.
        count: The number of operations.

    Returns:
        None instead of an error means that a document with this `_id` exists.
    """
    if details["writeConcernErrors"]:
        code = details["writeConcernErrors"][0]["code"]
        unconfirmed = StoreUnavailable(f"a majority of MongoDB's replica set did not confirm the write (code {code})")
        return dict.fromkeys(range(count), unconfirmed)
    failed, labels = details["writeErrors"], details.get("errorLabels", ())
    others_written = len(failed) < count
    return {error["index"]: write_error(error, labels, others_written=others_written) for error in failed}


def write_error(error: Document, labels: Iterable[str] = (), *, others_written: bool = False) -> Exception | None:
    """Return the exception for one failed write; None if a document with this `_id` exists.

    Args:
        error: MongoDB's error.
        labels: The error labels of the whole request.
        others_written: Whether MongoDB executed other writes of the same request.
    """
    code = error["code"]
    if is_duplicate_id(error):
        return None
    if is_duplicate_key(error):
        return StoreRefused(f"a unique index on {', '.join(unique_fields(error))} refuses the document")
    if code in _REASONS:
        return StoreRefused(f"MongoDB refuses the document: {_REASONS[code]} (code {code})")
    if code in _FULL_CODES:
        return DocumentDelayed(_FULL.format(code=code), others_written=others_written)
    if _may_succeed_later(error, labels):
        return DocumentDelayed(f"MongoDB did not write the document (code {code})", others_written=others_written)
    return StoreRefused(f"MongoDB refuses the document (code {code})")


def may_depend_on_a_document(exc: PyMongoError) -> bool:
    """Return whether one document may be the reason why MongoDB refused a whole request."""
    return isinstance(exc, OperationFailure) and not _may_succeed_later({"code": exc.code, **(exc.details or {})}, ())


def request_error(exc: PyMongoError) -> Exception:
    """Return the exception for a request of which MongoDB executed nothing."""
    if isinstance(exc, OperationFailure) and exc.code in _FULL_CODES:
        return StoreUnavailable(_FULL.format(code=exc.code))
    if may_depend_on_a_document(exc):
        return DocumentDelayed(describe_failed_request(exc), others_written=False)
    return exc


def _may_succeed_later(error: Mapping[str, Any], labels: Iterable[str]) -> bool:
    code = error.get("code")
    if code == _EMBEDDED_CODE:
        return bool(_EMBEDDED_LATER.search(str(error.get("errmsg"))))
    return code in _LATER_CODES or bool(_LATER_LABELS.intersection([*labels, *error.get("errorLabels", ())]))
