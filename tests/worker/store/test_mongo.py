"""The store against the embedded MongoDB server: the document's rules, whatever the order of writes."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pymongo
import pytest
from bson import ObjectId
from bson.errors import BSONError

from producer.contract.job import ImageJob, ObjectIdRef
from producer.contract.records import bson_date
from worker.errors import HttpRefused, StoreRefused, StoreUnavailable
from worker.store.bulk import errors_by_index
from worker.store.mongo import MongoStore
from worker.store.results import Failure, JobCheck, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack

Document = dict[str, Any]

T = 1_700_000_000_000  # ms; tests count from here, so that nothing sleeps
NOTHING_STORED = JobCheck("needed", None)


@pytest.fixture
def store(stack: Stack) -> Iterator[MongoStore]:
    store = MongoStore(stack.mongodb_uri, "images", call_s=10.0)
    yield store
    store.close()


def job(image_id: Any, name: str = "a", at_ms: int = 0, *, force: bool = False) -> ImageJob:
    return ImageJob(image_id, f"http://host/{name}.jpg", T + at_ms, force)


def result(name: str = "a", model: str = "m") -> Result:
    return Result(np.array([0.6, 0.8], np.float32), model, name, 4, 3, "JPEG")


def failure(failed: ImageJob) -> Failure:
    return Failure(failed.image_id, failed.url, failed.enqueued_at_ms, 1, HttpRefused(404, "gone"))


def test_a_vector_is_written_beside_the_backends_fields(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "title": "t", "nested": {"a": [1, {"b": None}]}})
    store.save(job(new_id), result(), 2, NOTHING_STORED)
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert (document["title"], document["nested"]) == ("t", {"a": [1, {"b": None}]})
    assert document["embedding"] == pytest.approx([0.6, 0.8])
    assert "url" not in document, "the URL is set on insert only"
    assert document["embedding_job"]["attempts"] == 2


def test_object_ids_are_object_ids(store: MongoStore, collection: Collection[Document]) -> None:
    oid = ObjectId()
    store.save(job(ObjectIdRef(str(oid))), result(), 1, NOTHING_STORED)
    document = collection.find_one({"_id": oid})
    assert document is not None
    assert document["_id"] == oid


@pytest.mark.parametrize("gap_ms", [1, 500, 5000])
@pytest.mark.parametrize("ends", ["done", "failed"])
def test_the_last_enqueue_wins_in_either_order(
    gap_ms: int, ends: str, store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """The older job started first and ends last; both saw an empty document when they started."""
    older, newer = job(new_id, "old"), job(new_id, "new", gap_ms)
    store.save(newer, result("new"), 1, NOTHING_STORED)
    if ends == "done":
        store.save(older, result("old"), 1, NOTHING_STORED)
    else:
        store.save_failure(failure(older))
    stored = collection.find_one({"_id": new_id})
    assert stored is not None
    assert (stored["embedding_job"]["sha256"], stored["embedding_job"]["status"]) == ("new", "done")
    assert store.check(older, "m").verdict == "superseded"

    later = job(new_id, "later", 2 * gap_ms)
    store.save(later, result("later"), 1, store.check(later, "m"))
    stored = collection.find_one({"_id": new_id})
    assert stored is not None
    assert stored["embedding_job"]["sha256"] == "later"


def test_running_a_job_twice_changes_nothing(store: MongoStore, collection: Collection[Document], new_id: str) -> None:
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    assert collection.count_documents({"_id": new_id}) == 1
    assert store.check(job(new_id), "m").verdict == "current"


def test_the_second_run_of_a_job_that_is_done_does_not_fail_it(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """It may run twice at once; a vector that one run has brought stays, whatever becomes of the other."""
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    store.save_failure(failure(job(new_id)))
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["embedding_job"]["status"] == "done"


def test_a_failure_keeps_the_vector_and_what_describes_it(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    store.save_failure(failure(job(new_id, "b", 10)))
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["embedding"] == pytest.approx([0.6, 0.8])
    described = document["embedding_job"]
    assert (described["status"], described["url"]) == ("failed", "http://host/b.jpg")
    assert described["error"] == {"code": "http_404", "stage": "fetch", "message": "gone"}
    assert (described["model"], described["sha256"], described["dim"]) == ("m", "a", 2)

    again = job(new_id, "b", 20)
    store.save(again, result("b"), 1, store.check(again, "m"))
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert "error" not in document["embedding_job"]


@pytest.mark.parametrize(
    ("asked", "model", "verdict"),
    [
        (job("x", "a", 5), "m", "current"),
        (job("x", "b", 5), "m", "needed"),
        (job("x", "a", 5), "other", "needed"),
        (job("x", "a", 5, force=True), "m", "needed"),
    ],
    ids=["same", "other URL", "other model", "forced"],
)
def test_only_this_models_vector_for_this_url_is_current(
    asked: ImageJob, model: str, verdict: str, store: MongoStore, new_id: str
) -> None:
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    asked = ImageJob(new_id, asked.url, asked.enqueued_at_ms, asked.force)
    assert store.check(asked, model).verdict == verdict


def test_a_vector_that_the_backend_removed_is_needed_again(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    collection.update_one({"_id": new_id}, {"$unset": {"embedding": ""}})
    assert store.check(job(new_id), "m").verdict == "needed"


def test_a_skipped_job_is_still_the_last_enqueue(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """a, then b (slow), then a again (skipped, since it is there): b must not overwrite a when it ends.

    Whole seconds apart: a skip changes nothing but a date, and the embedded server compares those to the second.
    """
    store.save(job(new_id, "a", 0), result("a"), 1, NOTHING_STORED)
    slow = job(new_id, "b", 1000)
    seen = store.check(slow, "m")
    assert store.check(job(new_id, "a", 2000), "m").verdict == "current"
    store.save(slow, result("b"), 1, seen)
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["embedding_job"]["url"] == "http://host/a.jpg"


@pytest.mark.parametrize("odd", ["queued", {"enqueued_at": "2026-01-01"}, {"status": 7}, None, []])
def test_what_a_backend_left_under_our_name_is_replaced(
    odd: Any, store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "embedding_job": odd})
    asked = job(new_id)
    store.save(asked, result(), 1, store.check(asked, "m"))
    assert collection.count_documents({"_id": new_id, "embedding_job.status": "done"}) == 1


def test_many_writers_at_once_lose_nothing(store: MongoStore, collection: Collection[Document], new_id: str) -> None:
    """64 threads write 200 documents and fight for one; every write is in, and the latest won the fight."""

    def write(n: int) -> None:
        store.save(job(f"{new_id}-{n}"), result(str(n)), 1, NOTHING_STORED)
        store.save(job(new_id, str(n), n), result(str(n)), 1, NOTHING_STORED)

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(write, range(200)))
    assert collection.count_documents({"_id": {"$in": [f"{new_id}-{n}" for n in range(200)]}}) == 200
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["embedding_job"]["sha256"] == "199"


def test_a_server_that_is_away_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"mongodb://user:hunter2@127.0.0.1:{unused.getsockname()[1]}/db"
        monkeypatch.setattr("worker.store.mongo._SERVER_SELECTION_MS", 100)
        store = MongoStore(uri, "images", call_s=10.0)
        for call in (
            lambda: store.check(job("a"), "m"),
            lambda: store.save(job("a"), result(), 1, NOTHING_STORED),
            lambda: store.save_failure(failure(job("a"))),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert "hunter2" not in str(caught.value)
        store.close()


@pytest.mark.parametrize(("path", "database"), [("/photos", "photos"), ("/", "clipqueue"), ("", "clipqueue")])
def test_the_database_is_the_one_in_the_path(path: str, database: str, stack: Stack, new_id: str) -> None:
    base = stack.mongodb_uri.rpartition("/")[0]
    store = MongoStore(base + path, "elsewhere", call_s=10.0)
    store.save(job(new_id), result(), 1, NOTHING_STORED)
    store.close()
    with pymongo.MongoClient[Document](base) as mongo:
        assert mongo[database]["elsewhere"].count_documents({"_id": new_id}) == 1


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"code": 11000, "errmsg": "E11000 ... index: _id_", "keyPattern": {"_id": 1}}, type(None)),
        ({"code": 11000, "errmsg": "E11000 ... index: url_1", "keyPattern": {"url": 1}}, StoreRefused),
        ({"code": 121, "errmsg": "Document failed validation"}, StoreRefused),
        ({"code": 14031, "errmsg": "Not enough disk space"}, StoreUnavailable),
        ({"code": 6, "errmsg": "HostUnreachable"}, StoreUnavailable),
    ],
    ids=["there already", "another unique index", "validator", "disk full", "shard away"],
)
def test_a_document_that_mongodb_refuses_is_not_mongodb_being_away(details: Document, expected: type) -> None:
    """As real MongoDB words them: trying again would never end."""
    errors = errors_by_index({"writeErrors": [{"index": 1, **details}], "writeConcernErrors": []}, 3)
    assert {index: type(error) for index, error in errors.items()} == {1: expected}
    assert "E11000" not in str(errors[1]), "MongoDB's own text quotes the document"


def test_a_write_that_no_majority_confirmed_is_not_a_write() -> None:
    unsure = {"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}]}
    errors = errors_by_index(unsure, 2)
    assert [type(errors[index]) for index in range(2)] == [StoreUnavailable, StoreUnavailable]


def test_one_document_that_cannot_be_encoded_fails_alone(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    def write(n: int) -> str:
        try:
            store.save(job(f"{new_id}-{n}"), result(), 10**30 if n == 7 else 1, NOTHING_STORED)
        except StoreRefused:
            return "refused"
        return "written"

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(write, range(16)))
    assert [n for n, outcome in enumerate(outcomes) if outcome == "refused"] == [7]
    assert collection.count_documents({"_id": {"$in": [f"{new_id}-{n}" for n in range(16)]}}) == 15


def test_a_document_that_cannot_be_read_hides_no_other(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """They are read together."""
    collection.insert_one({"_id": new_id, "embedding_job": {"status": "done"}, "title": "not asked for"})
    unreadable: Any = object()

    async def read() -> list[Any]:
        asked = (store._reads.read(document_id) for document_id in (new_id, unreadable, f"{new_id}-none", new_id))
        return await asyncio.gather(*asked, return_exceptions=True)

    found, failed, missing, again = store._call(read())
    assert found == again == {"_id": new_id, "embedding_job": {"status": "done"}}
    assert isinstance(failed, BSONError)
    assert missing is None


def test_a_long_message_is_cut_and_stays_one_line(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    error = HttpRefused(404, "a\n\x1b[31m" + "x" * 5000)
    store.save_failure(Failure(new_id, None, T, 1, error))
    document = collection.find_one({"_id": new_id})
    assert document is not None
    message = document["embedding_job"]["error"]["message"]
    assert (len(message), message.isprintable()) == (500, True)


@pytest.fixture
def frugal(stack: Stack) -> Iterator[MongoStore]:
    """A store that makes no documents."""
    store = MongoStore(stack.mongodb_uri, "images", call_s=10.0, upsert=False)
    yield store
    store.close()


def test_without_upsert_a_job_without_a_document_is_not_needed(
    frugal: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    assert frugal.check(job(new_id), "m") == JobCheck("deleted", None)
    frugal.save_failure(failure(job(new_id)))
    assert collection.count_documents({"_id": new_id}) == 0


@pytest.mark.parametrize("held", [None, {"status": "done", "url": "http://host/old.jpg"}])
def test_without_upsert_a_document_that_was_deleted_meanwhile_is_not_made_anew(
    held: Document | None, frugal: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """Neither is any other of the same bulk touched by that."""
    others = [f"{new_id}-{number}" for number in range(5)]
    collection.insert_many([{"_id": one, **({"embedding_job": held} if held else {})} for one in (new_id, *others)])
    standings = {one: frugal.check(job(one), "m") for one in (new_id, *others)}
    collection.delete_one({"_id": new_id})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: frugal.save(job(one), result(), 1, standings[one]), (new_id, *others)))
    assert collection.count_documents({"_id": new_id}) == 0
    assert collection.count_documents({"_id": {"$in": others}, "embedding_job.status": "done"}) == 5


def test_without_upsert_documents_are_written_as_ever(
    frugal: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "title": "t"})
    older, newer = job(new_id, "old"), job(new_id, "new", 5)
    seen = frugal.check(older, "m")
    frugal.save(newer, result("new"), 1, seen)
    frugal.save(older, result("old"), 1, seen)
    found = collection.find_one({"_id": new_id})
    assert found is not None
    assert (found["title"], found["embedding_job"]["url"]) == ("t", newer.url)


def test_a_job_that_the_client_recorded_is_needed(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """And an older one is not, even before the newer one has run."""
    recorded = job(new_id, "new", 500)
    pending = {"status": "pending", "url": recorded.url, "enqueued_at": bson_date(recorded.enqueued_at_ms)}
    collection.insert_one({"_id": new_id, "embedding_job": pending})
    assert store.check(job(new_id, "old"), "m").verdict == "superseded"
    check = store.check(recorded, "m")
    assert check.verdict == "needed"
    store.save(recorded, result("new"), 1, check)
    found = collection.find_one({"_id": new_id})
    assert found is not None
    assert found["embedding_job"]["status"] == "done"
