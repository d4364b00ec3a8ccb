"""Jobs that the client records in their documents before it queues them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import ObjectId

from producer import BrokerUnavailable, ConfigurationError, EmbeddingClient, ImageJob, ObjectIdRef, StoreUnavailable
from producer.contract.records import bson_date, to_ms
from producer.documents.documents import _refuse_all_but_duplicates, connect
from tests.support.commands import run
from tests.support.pictures import small_jpeg
from tests.support.queued import queued_kwargs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

Document = dict[str, Any]

URL = "http://host/a.jpg"
T = 1_700_000_000_000  # ms; tests count from here
VECTOR = {"model": "m", "dim": 2, "sha256": "abc", "width": 4, "height": 3, "format": "JPEG"}
DONE = {**VECTOR, "status": "done", "url": URL, "enqueued_at": bson_date(T), "finished_at": bson_date(T), "attempts": 1}
FAILED = {**DONE, "status": "failed", "error": {"code": "http_404", "stage": "fetch", "message": "gone"}}


@pytest.fixture
def recorded(collection: Collection[Document]) -> Collection[Document]:
    return collection.database["recorded"]


@pytest.fixture
def recorder(stack: Stack, redis_url: str) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(redis_url, mongodb_uri=stack.mongodb_uri, collection="recorded") as client:
        yield client


@pytest.fixture
def documents(stack: Stack) -> Iterator[ImageDocuments]:
    documents = connect(stack.mongodb_uri, "recorded")
    yield documents
    documents.close()


def record_of(recorded: Collection[Document], document_id: Any) -> Document:
    document = recorded.find_one({"_id": document_id})
    assert document is not None
    found: Document = document["embedding_job"]
    return found


def test_a_recorded_job_is_pending_with_the_time_of_its_message(
    recorder: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    recorder.enqueue(new_id, URL, record=True)
    (kwargs,) = queued_kwargs(queue)
    enqueued_at = bson_date(kwargs["enqueued_at"])
    assert recorded.find_one({"_id": new_id}) == {
        "_id": new_id,
        "url": URL,
        "embedding_job": {"status": "pending", "url": URL, "enqueued_at": enqueued_at},
    }


def test_nothing_is_recorded_unless_asked_for(
    recorder: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    recorder.enqueue(new_id, URL)
    assert recorded.find_one({"_id": new_id}) is None


def test_ids_may_be_object_ids_in_either_form(
    recorder: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis
) -> None:
    one, other, text = ObjectId(), ObjectId(), str(ObjectId())
    recorder.enqueue_many([(one, URL), ({"$oid": str(other)}, URL), (text, URL)], record=True)
    assert {record_of(recorded, document_id)["status"] for document_id in (one, other, text)} == {"pending"}
    assert queue.llen("images") == 3


@pytest.mark.parametrize("stored", [None, DONE, FAILED, "queued"])
def test_the_backends_fields_and_an_earlier_vector_stay(
    stored: Any, recorder: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    mine = {"_id": new_id, "url": "mine", "nested": {"a": [1]}, "embedding": [0.6, 0.8]}
    recorded.insert_one({**mine, "embedding_job": stored} if stored else mine)
    recorder.enqueue(new_id, "http://host/b.jpg", record=True)
    document = recorded.find_one({"_id": new_id})
    assert document is not None
    record = document.pop("embedding_job")
    assert document == mine
    kept = VECTOR if isinstance(stored, dict) else {}
    assert record == {**kept, "status": "pending", "url": "http://host/b.jpg", "enqueued_at": record["enqueued_at"]}


def test_what_is_done_stays_done_unless_forced(
    recorder: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """A worker would find the vector there; and a sweep must ask for what the backend asked for."""
    recorded.insert_one({"_id": new_id, "embedding_job": DONE})
    recorder.enqueue(new_id, URL, record=True)
    assert record_of(recorded, new_id) == DONE
    recorder.enqueue(new_id, URL, force=True, record=True)
    assert record_of(recorded, new_id)["status"] == "pending"
    assert record_of(recorded, new_id)["force"] is True
    assert queue.llen("images") == 2


@pytest.mark.parametrize("gap_ms", [1, 500, 5000])
@pytest.mark.parametrize("status", ["pending", "done", "failed"])
def test_a_job_never_replaces_one_enqueued_later(
    gap_ms: int, status: str, documents: ImageDocuments, recorded: Collection[Document], new_id: str
) -> None:
    later = {"status": status, "url": "http://host/later.jpg", "enqueued_at": bson_date(T + gap_ms)}
    recorded.insert_one({"_id": new_id, "embedding_job": later})
    documents.record([ImageJob(new_id, URL, T)])
    assert record_of(recorded, new_id) == later
    documents.record([ImageJob(new_id, URL, T + gap_ms + 1)])
    assert record_of(recorded, new_id)["url"] == URL


def test_of_two_jobs_for_one_document_the_last_is_recorded(
    documents: ImageDocuments, recorded: Collection[Document], new_id: str
) -> None:
    documents.record([ImageJob(new_id, URL, T), ImageJob(new_id, "http://host/b.jpg", T)])
    assert record_of(recorded, new_id)["url"] == "http://host/b.jpg"


def test_many_are_recorded_in_chunks(
    recorder: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """Some documents are there, others are not."""
    recorded.insert_many([{"_id": f"{new_id}-{number}", "title": "t"} for number in range(0, 700, 7)])
    assert recorder.enqueue_many(((f"{new_id}-{n}", URL) for n in range(700)), record=True) == 700
    of_test = {"_id": {"$gte": f"{new_id}-", "$lt": f"{new_id}."}, "embedding_job.status": "pending"}
    assert recorded.count_documents(of_test) == 700
    assert recorded.count_documents({**of_test, "title": "t"}) == 100
    assert queue.llen("images") == 700


def test_the_last_enqueue_stands_whoever_writes_at_once(
    documents: ImageDocuments, recorded: Collection[Document], new_id: str
) -> None:
    ids: list[str | ObjectIdRef] = [f"{new_id}-{number}" for number in range(30)]
    ids += [ObjectIdRef(str(ObjectId())) for _ in range(30)]

    def record(number: int) -> None:
        # A second apart each: the embedded server's filters know dates to the second only.
        documents.record([ImageJob(image_id, f"http://host/{number}.jpg", T + number * 1000) for image_id in ids])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(record, [2, 0, 3, 1]))
    keys = [ObjectId(one.hex) if isinstance(one, ObjectIdRef) else one for one in ids]
    urls = {record_of(recorded, key)["url"] for key in keys}
    assert urls == {"http://host/3.jpg"}


def test_a_recorded_job_ends_like_any_other(  # the worker of the run takes it
    stack: Stack, worker_log: Path, images: ImageServer, result_of: Callable[[Any], Document], new_id: str
) -> None:
    url = images.add("/a.jpg", small_jpeg())
    with EmbeddingClient(stack.redis_url, mongodb_uri=stack.mongodb_uri) as client:
        client.enqueue(new_id, url, force=True, record=True)
    document = result_of(new_id)
    assert document["embedding_job"]["status"] == "done"
    assert "force" not in document["embedding_job"]
    assert len(document["embedding"]) == document["embedding_job"]["dim"]


def test_without_redis_the_job_is_recorded_and_the_error_says_so(
    stack: Stack, recorded: Collection[Document], new_id: str
) -> None:
    client = EmbeddingClient("redis://127.0.0.1:1/0", mongodb_uri=stack.mongodb_uri, collection="recorded")
    with client, pytest.raises(BrokerUnavailable, match=r"recorded: a sweep .* will queue it"):
        client.enqueue(new_id, URL, record=True)
    assert record_of(recorded, new_id)["status"] == "pending"


def test_without_mongodb_nothing_is_enqueued(redis_url: str, queue: redis.Redis, new_id: str) -> None:
    away = "mongodb://user:hunter2@127.0.0.1:1/"
    client = EmbeddingClient(redis_url, mongodb_uri=away, timeout_s=0.2)
    with client, pytest.raises(StoreUnavailable) as caught:
        client.enqueue(new_id, URL, record=True)
    assert "hunter2" not in str(caught.value)
    assert queue.llen("images") == 0


@pytest.mark.parametrize("uri", [None, "mongodb://user:hunter2@host:port/"])
def test_a_uri_that_is_missing_or_unreadable_is_named(uri: str | None, redis_url: str, queue: redis.Redis) -> None:
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


def test_the_environment_names_the_collection(
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


def test_the_command_records_too(
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
def test_what_trying_again_would_not_help_is_an_error(details: Document) -> None:
    """No server here refuses so; the codes are those of real ones."""
    with pytest.raises(StoreUnavailable):
        _refuse_all_but_duplicates(details)


def test_a_document_that_came_in_between_is_read_anew() -> None:
    in_between = {"code": 11000, "keyPattern": {"_id": 1}}
    _refuse_all_but_duplicates({"writeConcernErrors": [], "writeErrors": [in_between]})


def test_pages_see_every_id_once(documents: ImageDocuments, collection: Collection[Document], new_id: str) -> None:
    """Strings and ObjectIds in one collection; MongoDB's comparison knows one type at a time."""
    ids: list[Any] = [f"{new_id}-{number}" for number in range(600)] + [ObjectId() for _ in range(600)]
    recorded = collection.database["recorded"]
    recorded.insert_many([{"_id": one, "of": new_id} for one in ids])
    pages = list(documents.pages({"of": new_id}, {"_id": 1}))
    seen = [one["_id"] for page in pages for one in page]
    assert [len(page) for page in pages] == [500, 100, 500, 100]
    assert sorted(map(str, seen)) == sorted(map(str, ids))
    for place in (250, 599, 850, 1199):
        pages_after = documents.pages({"of": new_id}, {"_id": 1}, seen[place])
        assert [one["_id"] for page in pages_after for one in page] == seen[place + 1 :]


def test_dates_are_counted_in_milliseconds() -> None:
    assert to_ms(bson_date(T + 1)) == T + 1
    assert to_ms(datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=5)) == -5
    assert to_ms("2026") is None


def test_the_write_needs_a_majority(documents: ImageDocuments) -> None:
    assert documents._collection.write_concern == pymongo.WriteConcern(w="majority", wtimeout=5000)
