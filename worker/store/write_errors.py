"""Decides whether a failed write is the document's fault or MongoDB is unavailable.

Error texts are never shown: MongoDB's own texts quote the document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.mongodb import is_duplicate_id, is_duplicate_key, unique_fields
from worker.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from producer.contract.records import Document

# The error codes for which every further attempt to write this document would fail.
_PERMANENT_CODES = {
    2: "bad value",
    66: "immutable field",
    121: "rejected by the collection's validator",
    10334: "too large",
    17419: "too large",
}


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
    return {error["index"]: write_error(error) for error in details["writeErrors"]}


def write_error(error: Document) -> Exception | None:
    """Return the exception for one failed write; None if a document with this `_id` exists."""
    code = error["code"]
    if is_duplicate_id(error):
        return None
    if is_duplicate_key(error):
        return StoreRefused(f"a unique index on {', '.join(unique_fields(error))} refuses the document")
    if code in _PERMANENT_CODES:
        return StoreRefused(f"MongoDB refuses the document: {_PERMANENT_CODES[code]} (code {code})")
    return StoreUnavailable(f"MongoDB did not write the document (code {code})")
