"""What the store writes into documents, and which of several writes wins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from producer.contract.ids import ObjectIdRef
from producer.contract.queries import Save
from producer.contract.records import bson_date
from tests.support.mongo_commands import recorded_commands
from tests.worker.store.jobs import NO_DOCUMENT, T, failure, job, result, stored_in
from worker.errors import HttpRefused, StoreRefused
from worker.store.mongo import MongoStore
from worker.store.results import Failure

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.worker.store.jobs import Document


def test_a_vector_is_written_beside_the_backends_fields(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "title": "t", "nested": {"a": [1, {"b": None}]}})
    assert store.save(job(new_id), result(), 2, NO_DOCUMENT)
    document = stored_in(collection, new_id)
    assert (document["title"], document["nested"]) == ("t", {"a": [1, {"b": None}]})
    assert document["embedding"] == pytest.approx([0.6, 0.8])
    assert "url" not in document, "the URL is set only when the document is created"
    assert document["embedding_job"]["attempts"] == 2


def test_an_object_id_is_stored_as_an_object_id(store: MongoStore, collection: Collection[Document]) -> None:
    oid = ObjectId()
    store.save(job(ObjectIdRef(str(oid))), result(), 1, NO_DOCUMENT)
    assert stored_in(collection, oid)["_id"] == oid


@pytest.mark.parametrize("gap_ms", [1, 500, 5000])
@pytest.mark.parametrize("outcome", ["done", "failed"])
def test_the_last_enqueue_wins_if_the_older_job_ends_last(
    gap_ms: int, outcome: str, store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """Neither job found a document when it was checked."""
    older, newer = job(new_id, "old"), job(new_id, "new", gap_ms)
    store.save(newer, result("new"), 1, NO_DOCUMENT)
    if outcome == "done":
        store.save(older, result("old"), 1, NO_DOCUMENT)
    else:
        store.save_failure(failure(older))
    record = stored_in(collection, new_id)["embedding_job"]
    assert (record["sha256"], record["status"]) == ("new", "done")
    assert store.check(older, "m").verdict == "superseded"

    later = job(new_id, "later", 2 * gap_ms)
    store.save(later, result("later"), 1, store.check(later, "m"))
    assert stored_in(collection, new_id)["embedding_job"]["sha256"] == "later"


def test_running_a_job_twice_changes_nothing(store: MongoStore, collection: Collection[Document], new_id: str) -> None:
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    assert collection.count_documents({"_id": new_id}) == 1
    assert store.check(job(new_id), "m").verdict == "current"


def test_a_job_that_is_done_stays_done_when_its_second_run_fails(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """After a redelivery, two workers may run the same job at the same time."""
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    store.save_failure(failure(job(new_id)))
    assert stored_in(collection, new_id)["embedding_job"]["status"] == "done"


def test_a_failure_keeps_the_vector_and_the_fields_that_describe_it(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    store.save_failure(failure(job(new_id, "b", 10)))
    document = stored_in(collection, new_id)
    record = document["embedding_job"]
    assert document["embedding"] == pytest.approx([0.6, 0.8])
    assert (record["status"], record["url"]) == ("failed", "http://host/b.jpg")
    assert record["error"] == {"code": "http_404", "stage": "fetch", "message": "gone"}
    assert (record["model"], record["sha256"], record["dim"]) == ("m", "a", 2)

    again = job(new_id, "b", 20)
    store.save(again, result("b"), 1, store.check(again, "m"))
    assert "error" not in stored_in(collection, new_id)["embedding_job"]


@pytest.mark.parametrize(
    ("name", "model", "force", "verdict"),
    [
        ("a", "m", False, "current"),
        ("b", "m", False, "needed"),
        ("a", "other", False, "needed"),
        ("a", "m", True, "needed"),
    ],
    ids=["same", "other URL", "other model", "forced"],
)
def test_only_a_vector_of_this_model_for_this_url_is_current(
    name: str, model: str, force: bool, verdict: str, store: MongoStore, new_id: str
) -> None:
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    assert store.check(job(new_id, name, 5, force=force), model).verdict == verdict


def test_a_job_is_needed_again_if_the_backend_removed_the_vector(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    collection.update_one({"_id": new_id}, {"$unset": {"embedding": ""}})
    assert store.check(job(new_id), "m").verdict == "needed"


def test_a_skipped_job_counts_as_the_last_enqueue(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """Enqueue a, then b (slow), then a again (skipped: its vector is there). b must not overwrite a when it ends.

    The times differ by whole seconds: a skip changes only a date, and the embedded server compares dates to the second.
    """
    store.save(job(new_id, "a", 0), result("a"), 1, NO_DOCUMENT)
    slow = job(new_id, "b", 1000)
    check_of_slow = store.check(slow, "m")
    assert store.check(job(new_id, "a", 2000), "m").verdict == "current"
    store.save(slow, result("b"), 1, check_of_slow)
    assert stored_in(collection, new_id)["embedding_job"]["url"] == "http://host/a.jpg"


def test_a_job_is_dropped_only_for_a_record_that_a_majority_holds(
    stack: Stack, collection: Collection[Document], new_id: str
) -> None:
    """A failover may undo any other record. The update is acknowledged by a majority and changes nothing."""
    newer, older = job(new_id, "new", 1000), job(new_id, "old")
    with recorded_commands() as commands, closing(MongoStore(stack.mongodb_uri, "images", call_s=10.0)) as store:
        store.save(newer, result("new"), 1, NO_DOCUMENT)
        saved = stored_in(collection, new_id)
        for drop, answer in (
            (lambda: store.check(older, "m").verdict, "superseded"),
            (lambda: store.save(older, result("old"), 1, NO_DOCUMENT), False),
            (lambda: store.save_failure(failure(older)), False),
        ):
            del commands[:]
            assert drop() == answer
            assert [command["writeConcern"]["w"] for command in commands if "update" in command] == ["majority"]
        assert stored_in(collection, new_id) == saved
        undone = {**saved["embedding_job"], "sha256": "undone"}
        assert not store._connection.run(store._is_confirmed(new_id, undone))


def test_a_skip_that_mongodb_refuses_is_permanent(stack: Stack, collection: Collection[Document], new_id: str) -> None:
    """A unique index on our own field refuses the new time. Another attempt would not help."""
    collection.database["own_unique"].create_index("embedding_job.enqueued_at", unique=True)
    with closing(MongoStore(stack.mongodb_uri, "own_unique", call_s=10.0)) as store:
        store.save(job(new_id), result(), 1, NO_DOCUMENT)
        store.save(job(f"{new_id}-other", at_ms=5000), result(), 1, NO_DOCUMENT)
        with pytest.raises(StoreRefused, match="a unique index refuses the document"):
            store.check(job(new_id, at_ms=5000), "m")


@pytest.mark.parametrize("invalid", ["queued", {"enqueued_at": "2026-01-01"}, {"status": 7}, None, []])
def test_an_invalid_record_is_replaced(
    invalid: Any, store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """Another program wrote it under our field's name."""
    collection.insert_one({"_id": new_id, "embedding_job": invalid})
    store.save(job(new_id), result(), 1, store.check(job(new_id), "m"))
    assert collection.count_documents({"_id": new_id, "embedding_job.status": "done"}) == 1


def test_concurrent_writes_are_all_written_and_the_last_enqueue_wins(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """64 threads write 200 documents, and also 200 versions of one more document."""

    def write(n: int) -> None:
        store.save(job(f"{new_id}-{n}"), result(str(n)), 1, NO_DOCUMENT)
        store.save(job(new_id, str(n), n), result(str(n)), 1, NO_DOCUMENT)

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(write, range(200)))
    assert collection.count_documents({"_id": {"$in": [f"{new_id}-{n}" for n in range(200)]}}) == 200
    assert stored_in(collection, new_id)["embedding_job"]["sha256"] == "199"


def test_a_long_error_message_keeps_its_ends_and_has_one_line(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    error = HttpRefused(404, "a\n\x1b[31m" + "x" * 8000 + " answered 404")
    store.save_failure(Failure(new_id, None, T, 1, error))
    message = stored_in(collection, new_id)["embedding_job"]["error"]["message"]
    assert (len(message), message.isprintable()) == (500, True)
    assert message.startswith("a  [31mxx")
    assert message.endswith("xx answered 404"), "a long URL must not hide what happened"


def test_a_pending_job_is_needed_and_supersedes_an_older_one(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    recorded = job(new_id, "new", 500)
    pending = {"status": "pending", "url": recorded.url, "enqueued_at": bson_date(recorded.enqueued_at_ms)}
    collection.insert_one({"_id": new_id, "embedding_job": pending})
    assert store.check(job(new_id, "old"), "m").verdict == "superseded"
    check = store.check(recorded, "m")
    assert check.verdict == "needed"
    store.save(recorded, result("new"), 1, check)
    assert stored_in(collection, new_id)["embedding_job"]["status"] == "done"


@pytest.mark.parametrize(("upload_ms", "wins"), [(-1, False), (1, True)])
def test_of_an_upload_and_a_job_the_later_one_wins(
    upload_ms: int, wins: bool, store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """Whichever is written first."""
    url_job, upload = job(new_id), Save(new_id, T + upload_ms)
    assert store.save(url_job, result("by url"), 1, NO_DOCUMENT)
    assert store.save_upload(upload, result("uploaded")) is wins
    record = stored_in(collection, new_id)["embedding_job"]
    assert (record["sha256"], record.get("url")) == (("uploaded", None) if wins else ("by url", url_job.url))
    collection.delete_one({"_id": new_id})
    assert store.save_upload(upload, result("uploaded"))
    check = store.check(url_job, "m")
    assert check.verdict == ("superseded" if wins else "needed")
    assert store.save(url_job, result("by url"), 1, check) is not wins


def test_an_upload_leaves_the_url_of_its_document(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "url": "http://host/old.jpg", "title": "x"})
    assert store.save_upload(Save(new_id, T), result())
    document = stored_in(collection, new_id)
    assert (document["url"], document["title"], document["embedding_job"]["status"]) == (
        "http://host/old.jpg",
        "x",
        "done",
    )
