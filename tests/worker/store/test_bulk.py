"""One document that cannot be read or written does not affect the others of its bulk."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from bson.errors import BSONError

from tests.worker.store.jobs import NO_DOCUMENT, job, result
from worker.errors import StoreRefused, StoreUnavailable
from worker.store.write_errors import errors_by_index

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from tests.worker.store.jobs import Document
    from worker.store.mongo import MongoStore


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"code": 11000, "errmsg": "E11000 ... index: _id_", "keyPattern": {"_id": 1}}, type(None)),
        ({"code": 11000, "errmsg": "E11000 ... index: url_1", "keyPattern": {"url": 1}}, StoreRefused),
        ({"code": 121, "errmsg": "Document failed validation"}, StoreRefused),
        ({"code": 14031, "errmsg": "Not enough disk space"}, StoreUnavailable),
        ({"code": 6, "errmsg": "HostUnreachable"}, StoreUnavailable),
    ],
    ids=["document exists", "another unique index", "validator", "disk full", "shard unavailable"],
)
def test_a_refused_document_is_distinguished_from_an_unavailable_server(details: Document, expected: type) -> None:
    """These are the errors of a real MongoDB server."""
    errors = errors_by_index({"writeErrors": [{"index": 1, **details}], "writeConcernErrors": []}, 3)
    assert {index: type(error) for index, error in errors.items()} == {1: expected}
    assert "E11000" not in str(errors[1]), "MongoDB's own text quotes the document"


def test_a_write_that_no_majority_confirmed_does_not_count_as_written() -> None:
    unconfirmed = {
        "writeErrors": [],
        "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}],
    }
    errors = errors_by_index(unconfirmed, 2)
    assert [type(errors[index]) for index in range(2)] == [StoreUnavailable, StoreUnavailable]


def test_a_document_that_cannot_be_encoded_fails_alone(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    def write(n: int) -> str:
        try:
            store.save(job(f"{new_id}-{n}"), result(), 10**30 if n == 7 else 1, NO_DOCUMENT)
        except StoreRefused:
            return "refused"
        return "written"

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(write, range(16)))
    assert [n for n, outcome in enumerate(outcomes) if outcome == "refused"] == [7]
    assert collection.count_documents({"_id": {"$in": [f"{new_id}-{n}" for n in range(16)]}}) == 15


def test_a_document_that_cannot_be_read_fails_alone(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "embedding_job": {"status": "done"}, "title": "not requested"})
    unreadable: Any = object()

    async def read() -> list[Any]:
        reads = (store._reader.read(document_id) for document_id in (new_id, unreadable, f"{new_id}-none", new_id))
        return await asyncio.gather(*reads, return_exceptions=True)

    found, failed, missing, again = store._connection.run(read())
    assert found == again == {"_id": new_id, "embedding_job": {"status": "done"}}
    assert isinstance(failed, BSONError)
    assert missing is None
