"""Reads the record of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

URL = "http://host/a.jpg"
T = 1_700_000_000_000  # ms since the epoch


def record_of(recorded: Collection[Document], document_id: Any) -> Document:
    document = recorded.find_one({"_id": document_id})
    assert document is not None
    found: Document = document["embedding_job"]
    return found
