"""One document that cannot be read or written does not affect the others of its bulk."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from bson.errors import BSONError
from pymongo import UpdateOne
from pymongo.errors import OperationFailure
from pymongo.helpers_shared import _RETRYABLE_ERROR_CODES

from tests.worker.store.jobs import NO_DOCUMENT, job, result
from worker.errors import DocumentDelayed, StoreRefused, StoreUnavailable
from worker.store.bulk import BulkReader, BulkWriter
from worker.store.write_errors import errors_by_index, may_depend_on_a_document, request_error, write_error

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
        ({"code": 28, "errmsg": "Cannot create field 'b' in element {a: 1}"}, StoreRefused),
        ({"code": 171, "errmsg": "cannot index parallel arrays [tags] [embedding]"}, StoreRefused),
        ({"code": 16755, "errmsg": "Can't extract geo keys"}, StoreRefused),
        ({"code": 8, "errmsg": "Update operator '$bad' not supported"}, StoreRefused),
        ({"code": 8, "errmsg": "database or disk is full"}, DocumentDelayed),
        ({"code": 999_999, "errmsg": "a code of a later version"}, StoreRefused),
        ({"code": 14031, "errmsg": "Not enough disk space"}, DocumentDelayed),
        ({"code": 8000, "errmsg": "you are over your space quota, using 513 MB of 512 MB"}, DocumentDelayed),
        ({"code": 13, "errmsg": "not authorized on db to execute command"}, DocumentDelayed),
        ({"code": 6, "errmsg": "HostUnreachable"}, DocumentDelayed),
        ({"code": 112, "errmsg": "WriteConflict"}, DocumentDelayed),
        ({"code": 10107, "errmsg": "not primary"}, DocumentDelayed),
        ({"code": 16500, "errmsg": "Request rate is large"}, DocumentDelayed),
        ({"code": 999_999, "errmsg": "with a label", "errorLabels": ["RetryableWriteError"]}, DocumentDelayed),
    ],
    ids=lambda value: f"{value['code']}: {value['errmsg']}" if isinstance(value, dict) else value.__name__,
)
def test_a_refused_document_is_distinguished_from_an_unavailable_server(details: Document, expected: type) -> None:
    """These are the errors of a real MongoDB server."""
    errors = errors_by_index({"writeErrors": [{"index": 1, **details}], "writeConcernErrors": []}, 3)
    assert {index: type(error) for index, error in errors.items()} == {1: expected}
    assert "E11000" not in str(errors[1]), "MongoDB's own text quotes the document"


def test_a_label_of_the_request_makes_an_unknown_code_temporary_but_not_a_known_one() -> None:
    failed = [{"index": 0, "code": 999_999}, {"index": 1, "code": 121}]
    details = {"writeErrors": failed, "writeConcernErrors": [], "errorLabels": ["TransientTransactionError"]}
    assert [type(error) for error in errors_by_index(details, 2).values()] == [DocumentDelayed, StoreRefused]


def test_every_code_that_pymongo_retries_is_temporary() -> None:
    for code in _RETRYABLE_ERROR_CODES:
        assert isinstance(write_error({"code": code}), DocumentDelayed), code


@pytest.mark.parametrize(("count", "others_written"), [(1, False), (2, True)])
def test_the_error_tells_whether_other_documents_of_the_request_were_written(count: int, others_written: bool) -> None:
    details = {"writeErrors": [{"index": 0, "code": 112}], "writeConcernErrors": []}
    error = errors_by_index(details, count)[0]
    assert isinstance(error, DocumentDelayed)
    assert error.others_written is others_written


@pytest.mark.parametrize("code", [8000, 14031])
def test_a_full_server_is_named_and_the_job_waits(code: int) -> None:
    """Atlas refuses the whole request when the quota is used up; a shard with a full disk refuses one document."""
    whole = request_error(OperationFailure("you are over your space quota", code))
    for error in (whole, write_error({"code": code})):
        assert isinstance(error, StoreUnavailable)
        assert f"(code {code}): its disk is full or its storage quota is used up" in str(error)


def test_a_write_that_no_majority_confirmed_does_not_count_as_written() -> None:
    unconfirmed = {
        "writeErrors": [],
        "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}],
    }
    errors = errors_by_index(unconfirmed, 2)
    assert [type(errors[index]) for index in range(2)] == [StoreUnavailable, StoreUnavailable]


def test_a_write_that_is_refused_with_an_unknown_code_fails_alone(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """The embedded server refuses the operator with the code 8, and writes the other documents of the bulk."""
    ids = [f"{new_id}-{number}" for number in range(8)]
    collection.insert_many([{"_id": document_id} for document_id in ids])

    async def write() -> list[Any]:
        operations = [UpdateOne({"_id": ids[0]}, {"$bad": {"n": 1}})]
        operations += [UpdateOne({"_id": document_id}, {"$set": {"n": 1}}) for document_id in ids[1:]]
        return await asyncio.gather(*map(store._writer.write, operations), return_exceptions=True)

    refused, *written = store._connection.run(write())
    assert isinstance(refused, StoreRefused)
    assert written == [True] * 7
    assert collection.count_documents({"_id": {"$in": ids}, "n": 1}) == 7


@pytest.mark.parametrize("code", [None, 301, 166])
def test_a_refused_request_may_be_the_fault_of_one_document(code: int | None) -> None:
    error = OperationFailure("DataCorruptionDetected", code)
    assert may_depend_on_a_document(error)
    assert isinstance(request_error(error), DocumentDelayed)


@pytest.mark.parametrize("code", [13, 64, 50, 11600, 16500])
def test_a_request_that_may_succeed_later_is_not(code: int) -> None:
    error = OperationFailure("not the document's fault", code)
    assert not may_depend_on_a_document(error)
    assert request_error(error) is error


class PickyCollection:
    """A collection whose server refuses every request for one document. The embedded server never does."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.requests = 0

    def find(self, query: Document, *args: Any, **options: Any) -> Any:
        self._check(query["_id"]["$in"])
        return self._collection.find(query, *args, **options)

    async def bulk_write(self, operations: list[UpdateOne], **options: Any) -> Any:
        self._check([operation._filter["_id"] for operation in operations])
        return await self._collection.bulk_write(operations, **options)

    def _check(self, ids: list[str]) -> None:
        self.requests += 1
        if any(document_id.endswith("bad") for document_id in ids):
            raise OperationFailure("DataCorruptionDetected", 301)


def test_a_request_that_one_document_makes_fail_is_sent_separately(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    ids = [f"{new_id}-{number}" for number in range(5)]
    collection.insert_many([{"_id": document_id} for document_id in ids])
    picky: Any = PickyCollection(store._collection)

    async def use() -> list[Any]:
        reader = BulkReader(picky, store._connection.loop, "n")
        writer = BulkWriter(picky, store._connection.loop, upsert=False)
        keys = [*ids, f"{new_id}-bad"]
        writes = [writer.write(UpdateOne({"_id": key}, {"$set": {"n": 1}})) for key in keys]
        written = await asyncio.gather(*writes, return_exceptions=True)
        return [*written, *await asyncio.gather(*map(reader.read, keys), return_exceptions=True)]

    results = store._connection.run(use())
    assert results[:5] == [True] * 5
    assert results[6:11] == [{"_id": document_id, "n": 1} for document_id in ids]
    assert [type(results[index]) for index in (5, 11)] == [DocumentDelayed, DocumentDelayed]
    assert picky.requests == 2 * (1 + 6)


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
