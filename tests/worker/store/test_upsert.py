"""A store with `upsert=False` never creates a document."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.worker.store.jobs import failure, job, result, stored_in
from worker.store.mongo import MongoStore
from worker.store.results import JobCheck

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.worker.store.jobs import Document


@pytest.fixture
def store(stack: Stack) -> Iterator[MongoStore]:
    store = MongoStore(stack.mongodb_uri, "images", call_s=10.0, upsert=False)
    yield store
    store.close()


def test_a_job_without_a_document_is_not_needed_and_not_recorded(
    store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    assert store.check(job(new_id), "m") == JobCheck("deleted", None)
    assert not store.save_failure(failure(job(new_id)))
    assert collection.count_documents({"_id": new_id}) == 0


@pytest.mark.parametrize("record", [None, {"status": "done", "url": "http://host/old.jpg"}])
def test_a_document_that_is_deleted_meanwhile_is_not_created_again(
    record: Document | None, store: MongoStore, collection: Collection[Document], new_id: str
) -> None:
    """The other documents of the same bulk are written."""
    others = [f"{new_id}-{number}" for number in range(5)]
    ids = (new_id, *others)
    collection.insert_many([{"_id": key, **({"embedding_job": record} if record else {})} for key in ids])
    checks = {key: store.check(job(key), "m") for key in ids}
    collection.delete_one({"_id": new_id})
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda key: store.save(job(key), result(), 1, checks[key]), ids))
    assert collection.count_documents({"_id": new_id}) == 0
    assert collection.count_documents({"_id": {"$in": others}, "embedding_job.status": "done"}) == 5


def test_the_last_enqueue_wins(store: MongoStore, collection: Collection[Document], new_id: str) -> None:
    collection.insert_one({"_id": new_id, "title": "t"})
    older, newer = job(new_id, "old"), job(new_id, "new", 5)
    check = store.check(older, "m")
    store.save(newer, result("new"), 1, check)
    store.save(older, result("old"), 1, check)
    document = stored_in(collection, new_id)
    assert (document["title"], document["embedding_job"]["url"]) == ("t", newer.url)
