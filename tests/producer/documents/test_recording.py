"""The client records jobs as pending in their documents before it enqueues them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bson import ObjectId
from pymongo import WriteConcern

from producer import BrokerUnavailable, ConfigurationError, EmbeddingClient, ImageJob, StoreUnavailable
from producer.contract.records import bson_date
from producer.documents.recording import JobRecorder, raise_unless_duplicates
from tests.producer.documents.recorded import URL, Document, T, record_of
from tests.support.commands import run
from tests.support.queued import queued_kwargs, queued_task_ids
from worker.store.mongo import MongoStore
from worker.store.results import Result

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

VECTOR = {"model": "m", "dim": 2, "sha256": "abc", "width": 4, "height": 3, "format": "JPEG"}
DONE = {**VECTOR, "status": "done", "url": URL, "enqueued_at": bson_date(T), "finished_at": bson_date(T), "attempts": 1}
FAILED = {**DONE, "status": "failed", "error": {"code": "http_404", "stage": "fetch", "message": "gone"}}


def test_a_recorded_job_is_pending_with_the_time_and_the_task_id_of_its_message(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    task_id = client.enqueue(new_id, URL, record=True)
    (kwargs,) = queued_kwargs(queue)
    assert queued_task_ids(queue) == [task_id]
    enqueued_at = bson_date(kwargs["enqueued_at"])
    assert recorded.find_one({"_id": new_id}) == {
        "_id": new_id,
        "url": URL,
        "embedding_job": {"status": "pending", "url": URL, "enqueued_at": enqueued_at, "task_id": task_id},
    }


def test_by_default_nothing_is_recorded(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    client.enqueue(new_id, URL)
    assert recorded.find_one({"_id": new_id}) is None


def test_an_id_may_be_a_string_or_an_object_id_in_either_form(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis
) -> None:
    one, other, text = ObjectId(), ObjectId(), str(ObjectId())
    client.enqueue_many([(one, URL), ({"$oid": str(other)}, URL), (text, URL)], record=True)
    assert {record_of(recorded, document_id)["status"] for document_id in (one, other, text)} == {"pending"}
    assert queue.llen("images") == 3


@pytest.mark.parametrize("stored", [None, DONE, FAILED, "queued"])
def test_the_backends_fields_and_an_earlier_vector_stay(
    stored: Any, client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    mine = {"_id": new_id, "url": "mine", "nested": {"a": [1]}, "embedding": [0.6, 0.8]}
    recorded.insert_one({**mine, "embedding_job": stored} if stored else mine)
    task_id = client.enqueue(new_id, "http://host/b.jpg", record=True)
    document = recorded.find_one({"_id": new_id})
    assert document is not None
    record = document.pop("embedding_job")
    assert document == mine
    kept = VECTOR if isinstance(stored, dict) else {}
    expected = {"status": "pending", "url": "http://host/b.jpg", "task_id": task_id}
    assert record == {**kept, **expected, "enqueued_at": record["enqueued_at"]}


def test_a_done_job_stays_done_unless_forced(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """A forced job is recorded as forced, so that a sweep enqueues it as forced."""
    recorded.insert_one({"_id": new_id, "embedding_job": DONE})
    client.enqueue(new_id, URL, record=True)
    assert record_of(recorded, new_id) == DONE
    client.enqueue(new_id, URL, force=True, record=True)
    assert record_of(recorded, new_id)["status"] == "pending"
    assert record_of(recorded, new_id)["force"] is True
    assert queue.llen("images") == 2


def test_many_are_recorded_in_chunks(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """Some of the documents exist."""
    recorded.insert_many([{"_id": f"{new_id}-{number}", "title": "t"} for number in range(0, 700, 7)])
    assert client.enqueue_many(((f"{new_id}-{n}", URL) for n in range(700)), record=True) == 700
    of_test = {"_id": {"$gte": f"{new_id}-", "$lt": f"{new_id}."}, "embedding_job.status": "pending"}
    assert recorded.count_documents(of_test) == 700
    assert recorded.count_documents({**of_test, "title": "t"}) == 100
    assert queue.llen("images") == 700


def test_a_worker_runs_a_recorded_job_although_its_document_was_done(
    client: EmbeddingClient, stack: Stack, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """The job goes from the client through the message to the worker's store, which completes the record."""
    recorded.insert_one({"_id": new_id, "embedding_job": DONE})
    client.enqueue(new_id, URL, force=True, record=True)
    job = ImageJob.from_kwargs(queued_kwargs(queue)[0])
    store = MongoStore(stack.mongodb_uri, "recorded", call_s=10.0)
    check = store.check(job, "m")
    assert (check.verdict, check.stored) == ("needed", record_of(recorded, new_id))
    store.save(job, Result(np.zeros(2, np.float32), "m", "new", 4, 3, "JPEG"), 1, check)
    store.close()
    record = record_of(recorded, new_id)
    assert (record["status"], record["sha256"]) == ("done", "new")
    assert "force" not in record


def test_without_redis_the_job_is_recorded_and_the_error_says_so(
    stack: Stack, recorded: Collection[Document], new_id: str
) -> None:
    client = EmbeddingClient("redis://127.0.0.1:1/0", mongodb_uri=stack.mongodb_uri, collection="recorded")
    message = r"did not accept the job: .* \(the job is recorded; clipqueue sweep will enqueue it\)$"
    with client, pytest.raises(BrokerUnavailable, match=message):
        client.enqueue(new_id, URL, record=True)
    assert record_of(recorded, new_id)["status"] == "pending"


def test_without_mongodb_nothing_is_enqueued(redis_url: str, queue: redis.Redis, new_id: str) -> None:
    unreachable = "mongodb://user:hunter2@127.0.0.1:1/"
    client = EmbeddingClient(redis_url, mongodb_uri=unreachable, timeout_s=0.2)
    with client, pytest.raises(StoreUnavailable) as caught:
        client.enqueue(new_id, URL, record=True)
    assert "hunter2" not in str(caught.value)
    assert queue.llen("images") == 0


@pytest.mark.parametrize("uri", [None, "mongodb://user:hunter2@host:port/"])
def test_the_error_names_a_missing_or_unreadable_uri(uri: str | None, redis_url: str, queue: redis.Redis) -> None:
    client = EmbeddingClient(redis_url, mongodb_uri=uri)
    with client, pytest.raises(ConfigurationError, match="MONGODB_URI") as caught:
        client.enqueue("a", URL, record=True)
    assert "hunter2" not in str(caught.value)
    assert queue.llen("images") == 0


WITHOUT_PYMONGO = """
import sys
sys.modules["pymongo"] = sys.modules["bson"] = None
import producer
with producer.EmbeddingClient({url!r}, mongodb_uri="mongodb://127.0.0.1:1/") as client:
    client.enqueue("a", "http://host/", record=True)
"""


def test_without_the_extra_the_error_says_what_to_install(redis_url: str, queue: redis.Redis) -> None:
    script = WITHOUT_PYMONGO.format(url=redis_url)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ConfigurationError: record=True needs clipqueue's extra 'mongo'" in done.stderr
    assert queue.llen("images") == 0


def test_from_env_reads_the_uri_and_the_collection(
    monkeypatch: pytest.MonkeyPatch,
    stack: Stack,
    redis_url: str,
    recorded: Collection[Document],
    queue: redis.Redis,
    new_id: str,
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("MONGODB_URI", raising=False)
    monkeypatch.setenv("MONGO_URL", stack.mongodb_uri)
    monkeypatch.setenv("CLIPQUEUE_COLLECTION", "recorded")
    with EmbeddingClient.from_env() as client:
        client.enqueue(new_id, URL, record=True)
    assert record_of(recorded, new_id)["status"] == "pending"


def test_the_command_enqueue_records_jobs(
    stack: Stack, redis_url: str, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    env = {"REDIS_URL": redis_url, "MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": "recorded"}
    assert run("enqueue", URL, "--id", new_id, "--record", **env).returncode == 0
    assert record_of(recorded, new_id)["status"] == "pending"


@pytest.mark.parametrize(
    "details",
    [
        {"writeConcernErrors": [{"code": 64}], "writeErrors": []},
        {"writeConcernErrors": [], "writeErrors": [{"code": 121}]},
        {"writeConcernErrors": [], "writeErrors": [{"code": 11000, "keyPattern": {"url": 1}}]},
    ],
)
def test_a_write_that_would_fail_again_is_an_error(details: Document) -> None:
    """The embedded server has no such errors; the codes are those of a real MongoDB server."""
    with pytest.raises(StoreUnavailable):
        raise_unless_duplicates(details)


def test_a_document_that_was_created_meanwhile_is_not_an_error() -> None:
    duplicate = {"code": 11000, "keyPattern": {"_id": 1}}
    raise_unless_duplicates({"writeConcernErrors": [], "writeErrors": [duplicate]})


def test_writes_need_a_majority(recorder: JobRecorder) -> None:
    assert recorder._collection.write_concern == WriteConcern(w="majority", wtimeout=5000)
