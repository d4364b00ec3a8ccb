"""A sweep: which documents it enqueues again, and when."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from producer import EmbeddingClient
from producer.client.broker import Broker
from producer.contract.job import ImageJob, now_ms
from producer.contract.names import DELAYED
from producer.operations.requeue.due import SweepPlan
from producer.operations.requeue.sweep import Sweeper, SweepOptions, SweepResult
from tests.producer.operations.shop import AGE_S, URL, Document, pending
from tests.support.delayed import delay
from tests.support.queued import queued_ids, queued_kwargs, queued_task_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack

    Sweep = Callable[..., Any]


@pytest.fixture
def sweep(redis_url: str, documents: ImageDocuments) -> Iterator[Sweep]:
    """A function that sweeps the shop once."""
    with closing(Broker(redis_url)) as broker:

        def once(age_s: float = AGE_S, max_queued: int = 1000, adopt_field: str | None = "url") -> SweepResult | None:
            return Sweeper(broker, documents, SweepOptions(age_s, max_queued, adopt_field)).sweep()

        yield once


def object_id(seconds_ago: float) -> ObjectId:
    """Return a new ObjectId whose time is `seconds_ago`."""
    time = int(datetime.now(UTC).timestamp() - seconds_ago).to_bytes(4, "big")
    return ObjectId(time + os.urandom(8))


def queued_jobs(queue: redis.Redis) -> list[tuple[str, Document]]:
    """Return the task id and the keyword arguments of each waiting job."""
    return list(zip(queued_task_ids(queue), queued_kwargs(queue), strict=True))


def age_seen_documents(queue: redis.Redis, seconds: float) -> None:
    members: Any = queue.zrange("clipqueue:sweep:clipqueue.shop", 0, -1)
    for member in members:
        queue.zincrby("clipqueue:sweep:clipqueue.shop", -seconds * 1e3, member)


def test_a_lost_job_is_enqueued_again_unchanged(
    stack: Stack, redis_url: str, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    """One sweep enqueues all recorded jobs, each with its original time, task id and `force`."""
    oid = ObjectId()
    with EmbeddingClient(redis_url, mongodb_uri=stack.mongodb_uri, collection="shop") as client:
        client.enqueue_many(((f"photo-{n}", f"http://host/{n}.jpg?signature=1") for n in range(600)), record=True)
        client.enqueue(oid, URL, force=True, record=True)
    lost = queued_jobs(queue)
    queue.flushdb()
    assert sweep(age_s=0).queued == 601
    assert sorted(queued_jobs(queue), key=str) == sorted(lost, key=str)


def test_a_document_without_a_job_is_enqueued_with_the_url_of_its_field(
    queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    oid = object_id(2 * AGE_S)
    shop.insert_one({"_id": oid, "media": {"imageUrl": URL}})
    assert sweep(adopt_field="media.imageUrl") == SweepResult(queued=1)
    (kwargs,) = queued_kwargs(queue)
    assert (kwargs["image_id"], kwargs["url"], "force" in kwargs) == ({"$oid": str(oid)}, URL, False)
    assert now_ms() - kwargs["enqueued_at"] < AGE_S * 1e3, "the time is that of the sweep"


@pytest.mark.parametrize("record", [{}, {"embedding_job": {"status": "pending"}}, {"embedding_job": {"status": 7}}])
def test_a_document_that_nobody_has_enqueued_is_left_alone_by_default(
    record: Document, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_many([{"_id": object_id(2 * AGE_S), "url": URL, **record}, {"_id": "a", "embedding_job": pending()}])
    assert sweep(age_s=0, adopt_field=None) == SweepResult(queued=1)
    assert queued_ids(queue) == ["a"]


@pytest.mark.parametrize(
    "document",
    [
        {"url": "http://host/new.jpg", "embedding_job": {"status": "done", "url": URL}},
        {"url": URL, "embedding_job": {"status": "failed", "url": URL}},
        {"embedding_job": {}},
        {"embedding_job": {"status": "pending"}},
        {"url": ["http://host/a.jpg"]},
        {"url": ""},
        {"title": "no URL at all"},
    ],
)
def test_a_document_with_a_result_or_without_a_url_is_ignored(
    document: Document, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_one({"_id": object_id(2 * AGE_S), **document})
    assert sweep(age_s=0) == SweepResult()
    assert queue.llen("images") == 0


@pytest.mark.parametrize("record", ["queued", {"status": "started"}, {"status": None}, {"status": 7}])
def test_an_invalid_record_counts_as_missing(record: Any, shop: Collection[Document], sweep: Sweep) -> None:
    shop.insert_one({"_id": object_id(2 * AGE_S), "url": URL, "embedding_job": record})
    assert sweep() == SweepResult(queued=1)


def test_a_document_is_due_after_the_age(queue: redis.Redis, shop: Collection[Document], sweep: Sweep) -> None:
    """Its age counts from its record's time, else from its ObjectId's, else from the first sweep that saw it."""
    old, young = object_id(2 * AGE_S), object_id(0)
    shop.insert_many(
        [
            {"_id": "recorded-old", "embedding_job": pending()},
            {"_id": "recorded-young", "embedding_job": pending(AGE_S / 2)},
            {"_id": old, "url": URL},
            {"_id": young, "url": URL},
            {"_id": "seen-first", "url": URL},
        ]
    )
    assert sweep() == SweepResult(queued=2, not_due=3)
    assert sorted(queued_ids(queue)) == sorted([str(old), "recorded-old"])
    age_seen_documents(queue, AGE_S)
    assert sweep().queued == 3
    assert "seen-first" in queued_ids(queue)


def test_no_document_is_enqueued_twice_within_the_age(
    queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_many([{"_id": "a", "embedding_job": pending()}, {"_id": object_id(2 * AGE_S), "url": URL}])
    assert sweep().queued == 2
    assert sweep() == SweepResult(not_due=2)
    age_seen_documents(queue, AGE_S)
    assert sweep().queued == 2, "there is still no result, so the jobs were lost again"


def test_a_record_with_a_time_in_the_future_counts_as_one_without_a_time(
    queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_one({"_id": "a", "embedding_job": pending(-1e6)})
    assert sweep() == SweepResult(not_due=1)
    age_seen_documents(queue, AGE_S)
    assert sweep().queued == 1


def test_a_delayed_job_is_not_lost(
    stack: Stack, redis_url: str, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    """A sweep enqueues it in no round while it waits for its next attempt, and again when it is gone."""
    with EmbeddingClient(redis_url, mongodb_uri=stack.mongodb_uri, collection="shop") as client:
        client.enqueue_many(((f"photo-{n}", f"http://host/{n}.jpg") for n in range(250)), record=True)
    for task_id, kwargs in queued_jobs(queue)[1:]:  # the first one is lost
        delay(queue, ImageJob.from_kwargs(kwargs, task_id))
    queue.delete("images")
    assert sweep(age_s=0) == SweepResult(queued=1, delayed=249)
    assert queue.delete("images") == 1
    assert sweep(age_s=0) == SweepResult(queued=1, delayed=249)
    assert sweep() == SweepResult(not_due=250), "those that wait are not looked for again within the age"
    queue.delete("images", DELAYED)
    assert sweep(age_s=0) == SweepResult(queued=250)


@pytest.mark.parametrize("record", [{}, {"embedding_job": pending()}], ids=["adopted", "recorded without a task id"])
def test_a_delayed_job_of_an_earlier_sweep_is_known_again(
    record: Document, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    """Its document has no task id. With another URL, it is another job."""
    shop.insert_one({"_id": object_id(2 * AGE_S), "url": URL, **record})
    assert sweep(age_s=0) == SweepResult(queued=1)
    ((task_id, kwargs),) = queued_jobs(queue)
    queue.delete("images")
    delay(queue, ImageJob.from_kwargs(kwargs, task_id))
    assert sweep(age_s=0) == SweepResult(delayed=1)
    shop.update_one({}, {"$set": {"embedding_job.url" if record else "url": "http://host/b.jpg"}})
    assert sweep(age_s=0) == SweepResult(queued=1)


@pytest.mark.parametrize(
    "odd", ["", b'{"headers": {"id": "\xff"}}', "no JSON", "[]", "7", "{}", '{"headers": 5}', '{"headers": {"id": 5}}']
)
def test_what_is_delayed_and_no_message_hides_no_job(
    odd: Any, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_one({"_id": "a", "embedding_job": pending(task_id="t")})
    queue.zadd(DELAYED, {odd: 1})
    assert sweep() == SweepResult(queued=1)


@pytest.mark.parametrize(("delayed", "expected"), [(0, 5), (47, 3), (50, 0), (51, 0)])
def test_ten_times_as_many_jobs_may_be_delayed(
    delayed: int, expected: int, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    """They hold up no other job. But they must not fill Redis."""
    for number in range(delayed):
        queue.zadd(DELAYED, {str(number): number})
    shop.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(9)])
    assert sweep(max_queued=5) == SweepResult(queued=expected, is_full=True)


@pytest.mark.parametrize(("waiting", "in_flight", "expected"), [(5, 0, 0), (3, 2, 0), (2, 1, 2), (0, 0, 5)])
def test_the_queue_stays_below_its_limit(
    waiting: int, in_flight: int, expected: int, queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    """Jobs in flight count too."""
    for number in range(waiting):
        queue.lpush("images", number)
    for number in range(in_flight):
        queue.hset("unacked", str(number), "taken")
    shop.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(9)])
    assert sweep(max_queued=5) == SweepResult(queued=expected, is_full=True)
    assert queue.llen("images") == waiting + expected


def test_the_next_sweep_continues_after_a_full_queue(
    queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(9)])
    assert [sweep(max_queued=5).queued, queue.delete("images"), sweep(max_queued=5).queued] == [5, 1, 4]


def test_an_unusable_document_is_named_once_and_never_enqueued(
    queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_many([{"_id": "bad", "url": "ftp://host/"}, {"_id": 7.5, "url": URL}, {"_id": "good", "url": URL}])
    first = sweep(age_s=0)
    assert (first.queued, first.unusable) == (1, 2)
    assert min(first.problems).startswith("'bad': the URL's scheme is 'ftp'")
    assert sweep(age_s=0).problems == ()
    assert queued_ids(queue) == ["good", "good"]


def test_concurrent_sweeps_enqueue_each_document_once(
    queue: redis.Redis, shop: Collection[Document], sweep: Sweep
) -> None:
    shop.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(900)])
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: sweep(), range(4)))
    assert sum(one.queued for one in done if one) == 900
    assert len(set(queued_ids(queue))) == queue.llen("images") == 900


def test_seen_documents_expire(queue: redis.Redis, shop: Collection[Document], sweep: Sweep) -> None:
    queue.zadd("clipqueue:sweep:clipqueue.shop", {"str:old": 1, "str:young": now_ms()})
    sweep()
    assert queue.zrange("clipqueue:sweep:clipqueue.shop", 0, -1) == [b"str:young"]


def test_ids_of_two_types_are_two_documents() -> None:
    oid = ObjectId()
    plan = SweepPlan("url", 0, now_ms(), now_ms())
    for document_id in (oid, str(oid)):
        plan.add({"_id": document_id, "url": URL}, None)
    assert len({key for key, _ in plan.due}) == 2
