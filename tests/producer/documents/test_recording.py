"""The client records jobs as pending in their documents before it enqueues them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bson import ObjectId
from pymongo import WriteConcern

from producer import BrokerUnavailable, ConfigurationError, EmbeddingClient, ImageJob, ObjectIdRef, StoreUnavailable
from producer.contract.job import now_ms
from producer.contract.records import bson_date, bson_id
from producer.documents.recording import JobRecorder, raise_unless_duplicates
from tests.support.commands import run
from tests.support.queued import queued_kwargs, queued_task_ids
from worker.store.mongo import MongoStore
from worker.store.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

Document = dict[str, Any]

URL = "http://host/a.jpg"
T = 1_700_000_000_000  # ms since the epoch
VECTOR = {"model": "m", "dim": 2, "sha256": "abc", "width": 4, "height": 3, "format": "JPEG"}
DONE = {**VECTOR, "status": "done", "url": URL, "enqueued_at": bson_date(T), "finished_at": bson_date(T), "attempts": 1}
FAILED = {**DONE, "status": "failed", "error": {"code": "http_404", "stage": "fetch", "message": "gone"}}


@pytest.fixture
def recorded(collection: Collection[Document]) -> Collection[Document]:
    return collection.database["recorded"]


@pytest.fixture
def client(stack: Stack, redis_url: str) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(redis_url, mongodb_uri=stack.mongodb_uri, collection="recorded") as client:
        yield client


@pytest.fixture
def recorder(stack: Stack) -> Iterator[JobRecorder]:
    recorder = JobRecorder.connect(stack.mongodb_uri, "recorded", 5.0)
    yield recorder
    recorder.close()


def record_of(recorded: Collection[Document], document_id: Any) -> Document:
    document = recorded.find_one({"_id": document_id})
    assert document is not None
    found: Document = document["embedding_job"]
    return found


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


@pytest.mark.parametrize("gap_ms", [1, 500, 5000])
@pytest.mark.parametrize("status", ["pending", "done", "failed"])
def test_a_job_never_replaces_one_enqueued_later(
    gap_ms: int, status: str, recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    later = {"status": status, "url": "http://host/later.jpg", "enqueued_at": bson_date(T + gap_ms)}
    recorded.insert_one({"_id": new_id, "embedding_job": later})
    recorder.record([ImageJob(new_id, URL, T)])
    assert record_of(recorded, new_id) == later
    recorder.record([ImageJob(new_id, URL, T + gap_ms + 1)])
    assert record_of(recorded, new_id)["url"] == URL


def test_the_last_of_two_jobs_for_one_document_is_recorded(
    recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    recorder.record([ImageJob(new_id, URL, T), ImageJob(new_id, "http://host/b.jpg", T)])
    assert record_of(recorded, new_id)["url"] == "http://host/b.jpg"


def test_the_last_pair_of_an_id_is_recorded(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """Within a chunk, and in a later chunk."""
    pairs = [(new_id, "http://host/1.jpg"), (new_id, "http://host/2.jpg")]
    others = [(f"{new_id}-{number}", URL) for number in range(500)]
    client.enqueue_many([*pairs, *others, (new_id, "http://host/3.jpg")], record=True)
    record = record_of(recorded, new_id)
    assert (record["url"], record["task_id"]) == ("http://host/3.jpg", queued_task_ids(queue)[-1])


@pytest.mark.parametrize("ahead_ms", [50, 9 * 60_000, 11 * 60_000, 10**9])
def test_a_recorded_job_runs_although_the_backends_clock_is_ahead(
    ahead_ms: int, recorder: JobRecorder, stack: Stack, recorded: Collection[Document], new_id: str
) -> None:
    """Its own record never supersedes it. An older job cannot win once this one is done."""
    recorded_job = ImageJob(new_id, URL, now_ms() + ahead_ms, task_id="own")
    recorder.record([recorded_job])
    job = ImageJob.from_kwargs(recorded_job.to_kwargs(), "own")
    store = MongoStore(stack.mongodb_uri, "recorded", call_s=10.0)
    check = store.check(job, "m")
    assert check.verdict == "needed"
    store.save(job, Result(np.zeros(2, np.float32), "m", "new", 4, 3, "JPEG"), 1, check)
    older = ImageJob(new_id, "http://host/older.jpg", now_ms() - 1000, task_id="other")
    assert store.check(older, "m").verdict == "superseded"
    store.close()
    record = record_of(recorded, new_id)
    assert (record["status"], "task_id" in record) == ("done", False)


def test_the_record_of_a_clock_that_is_far_ahead_supersedes_no_job(
    recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    """Otherwise no later enqueue of the image could be recorded or run."""
    recorder.record([ImageJob(new_id, URL, now_ms() + 11 * 60_000, task_id="ahead")])
    recorder.record([ImageJob(new_id, "http://host/later.jpg", now_ms(), task_id="later")])
    assert record_of(recorded, new_id)["task_id"] == "later"


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


def test_the_last_enqueue_wins_among_concurrent_writes(
    recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    ids: list[str | ObjectIdRef] = [f"{new_id}-{number}" for number in range(30)]
    ids += [ObjectIdRef(str(ObjectId())) for _ in range(30)]

    def record(number: int) -> None:
        # The times differ by whole seconds, because the embedded server compares dates to the second.
        recorder.record([ImageJob(image_id, f"http://host/{number}.jpg", T + number * 1000) for image_id in ids])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(record, [2, 0, 3, 1]))
    urls = {record_of(recorded, bson_id(image_id))["url"] for image_id in ids}
    assert urls == {"http://host/3.jpg"}


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
