"""`clipqueue sweep`: what is owed a vector is queued again, once it is due and while the queue is short."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from producer import EmbeddingClient
from producer.client.broker import Broker
from producer.contract.job import now_ms
from producer.contract.records import bson_date
from producer.documents.documents import connect
from producer.local.stack import Stack
from producer.operations.requeue.due import Judgement
from producer.operations.requeue.sweep import Sweeper, SweepOptions, Swept
from tests.support.commands import COMMAND, run
from tests.support.queued import queued_ids, queued_kwargs
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments

    Sweep = Callable[..., Any]

Document = dict[str, Any]

URL = "http://host/a.jpg"
AGE_S = 300.0


@pytest.fixture
def swept(collection: Collection[Document], queue: redis.Redis) -> Collection[Document]:
    """An empty collection that only this test's sweeps see."""
    swept = collection.database["swept"]
    swept.delete_many({})
    return swept


@pytest.fixture
def documents(stack: Stack) -> Iterator[ImageDocuments]:
    documents = connect(stack.mongodb_uri, "swept")
    yield documents
    documents.close()


@pytest.fixture
def sweep(redis_url: str, documents: ImageDocuments) -> Iterator[Sweep]:
    """A function that sweeps once."""
    with closing(Broker(redis_url)) as broker:

        def once(age_s: float = AGE_S, max_queued: int = 1000, url_field: str = "url") -> Swept | None:
            return Sweeper(broker, documents, SweepOptions(age_s, max_queued, url_field)).sweep()

        yield once


@pytest.fixture
def env(stack: Stack, redis_url: str) -> dict[str, str]:
    return {"REDIS_URL": redis_url, "MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": "swept"}


def pending(seconds_ago: float = 2 * AGE_S, **fields: Any) -> Document:
    at = bson_date(now_ms()) - timedelta(seconds=seconds_ago)
    return {"status": "pending", "url": URL, "enqueued_at": at, **fields}


def object_id(seconds_ago: float) -> ObjectId:
    """Return an ObjectId made so long ago, unlike any other."""
    time = int(datetime.now(UTC).timestamp() - seconds_ago).to_bytes(4, "big")
    return ObjectId(time + os.urandom(8))


def age_what_sweeps_saw(queue: redis.Redis, seconds: float) -> None:
    members: Any = queue.zrange("clipqueue:sweep:clipqueue.swept", 0, -1)
    for member in members:
        queue.zincrby("clipqueue:sweep:clipqueue.swept", -seconds * 1e3, member)


def test_what_redis_lost_is_queued_again_as_it_was(
    stack: Stack, redis_url: str, queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    """Every recorded job, by one sweep, with its own time and force."""
    oid = ObjectId()
    with EmbeddingClient(redis_url, mongodb_uri=stack.mongodb_uri, collection="swept") as client:
        client.enqueue_many(((f"photo-{n}", f"http://host/{n}.jpg?signature=1") for n in range(600)), record=True)
        client.enqueue(oid, URL, force=True, record=True)
    lost = queued_kwargs(queue)
    queue.flushdb()
    assert sweep(age_s=0).queued == 601
    assert sorted(queued_kwargs(queue), key=str) == sorted(lost, key=str)


def test_a_document_that_was_never_enqueued_is_queued_with_the_url_of_its_field(
    queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    oid = object_id(2 * AGE_S)
    swept.insert_one({"_id": oid, "media": {"imageUrl": URL}})
    assert sweep(url_field="media.imageUrl") == Swept(queued=1)
    (kwargs,) = queued_kwargs(queue)
    assert (kwargs["image_id"], kwargs["url"], "force" in kwargs) == ({"$oid": str(oid)}, URL, False)
    assert now_ms() - kwargs["enqueued_at"] < AGE_S * 1e3, "it is enqueued now"


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
def test_what_has_ended_or_has_no_url_is_left_alone(
    document: Document, queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    swept.insert_one({"_id": object_id(2 * AGE_S), **document})
    assert sweep(age_s=0) == Swept()
    assert queue.llen("images") == 0


@pytest.mark.parametrize("odd", ["queued", {"status": "started"}, {"status": None}, {"status": 7}])
def test_an_odd_record_counts_as_none(odd: Any, swept: Collection[Document], sweep: Sweep) -> None:
    swept.insert_one({"_id": object_id(2 * AGE_S), "url": URL, "embedding_job": odd})
    assert sweep() == Swept(queued=1)


def test_a_document_is_due_once_it_has_been_owed_for_long_enough(
    queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    """By its record's time, else by its ObjectId's, else by when a sweep first saw it."""
    old, young = object_id(2 * AGE_S), object_id(0)
    swept.insert_many(
        [
            {"_id": "recorded-old", "embedding_job": pending()},
            {"_id": "recorded-young", "embedding_job": pending(AGE_S / 2)},
            {"_id": old, "url": URL},
            {"_id": young, "url": URL},
            {"_id": "seen-first", "url": URL},
        ]
    )
    assert sweep() == Swept(queued=2, not_due=3)
    assert sorted(queued_ids(queue)) == sorted([str(old), "recorded-old"])
    age_what_sweeps_saw(queue, AGE_S)
    assert sweep().queued == 3
    assert "seen-first" in queued_ids(queue)


def test_nothing_is_queued_twice_within_the_age(queue: redis.Redis, swept: Collection[Document], sweep: Sweep) -> None:
    swept.insert_many([{"_id": "a", "embedding_job": pending()}, {"_id": object_id(2 * AGE_S), "url": URL}])
    assert sweep().queued == 2
    assert sweep() == Swept(not_due=2)
    age_what_sweeps_saw(queue, AGE_S)
    assert sweep().queued == 2, "still owed, so the queue has lost them again"


def test_a_record_from_the_future_is_due_like_one_without_a_time(
    queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    swept.insert_one({"_id": "a", "embedding_job": pending(-1e6)})
    assert sweep() == Swept(not_due=1)
    age_what_sweeps_saw(queue, AGE_S)
    assert sweep().queued == 1


@pytest.mark.parametrize(("waiting", "in_flight", "expected"), [(5, 0, 0), (3, 2, 0), (2, 1, 2), (0, 0, 5)])
def test_the_queue_is_kept_short(
    waiting: int, in_flight: int, expected: int, queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    """What is in flight counts too."""
    for number in range(waiting):
        queue.lpush("images", number)
    for number in range(in_flight):
        queue.hset("unacked", str(number), "taken")
    swept.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(9)])
    assert sweep(max_queued=5) == Swept(queued=expected, is_full=True)
    assert queue.llen("images") == waiting + expected


def test_what_did_not_fit_comes_with_the_next_sweep(
    queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    swept.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(9)])
    assert [sweep(max_queued=5).queued, queue.delete("images"), sweep(max_queued=5).queued] == [5, 1, 4]


def test_a_url_that_no_worker_could_use_is_named_once_and_never_queued(
    queue: redis.Redis, swept: Collection[Document], sweep: Sweep
) -> None:
    swept.insert_many([{"_id": "bad", "url": "ftp://host/"}, {"_id": 5, "url": URL}, {"_id": "good", "url": URL}])
    first = sweep(age_s=0)
    assert (first.queued, first.unusable) == (1, 2)
    assert min(first.complaints).startswith("'bad': the URL's scheme is 'ftp'")
    assert sweep(age_s=0).complaints == ()
    assert queued_ids(queue) == ["good", "good"]


def test_two_sweeps_at_once_queue_nothing_twice(queue: redis.Redis, swept: Collection[Document], sweep: Sweep) -> None:
    swept.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(900)])
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: sweep(), range(4)))
    assert sum(one.queued for one in done if one) == 900
    assert len(set(queued_ids(queue))) == queue.llen("images") == 900


def test_a_sweep_that_runs_keeps_others_out(queue: redis.Redis, env: dict[str, str]) -> None:
    queue.set("clipqueue:sweep:clipqueue.swept:lock", "another's")
    done = run("sweep", **env)
    assert (done.returncode, done.stdout) == (0, "another sweep of this collection is running\n")
    assert queue.get("clipqueue:sweep:clipqueue.swept:lock") == b"another's"


def test_what_sweeps_saw_is_forgotten_in_the_end(queue: redis.Redis, swept: Collection[Document], sweep: Sweep) -> None:
    queue.zadd("clipqueue:sweep:clipqueue.swept", {"str:old": 1, "str:young": now_ms()})
    sweep()
    assert queue.zrange("clipqueue:sweep:clipqueue.swept", 0, -1) == [b"str:young"]


def test_ids_of_two_types_are_two_documents() -> None:
    oid = ObjectId()
    judged = Judgement("url", 0, now_ms(), now_ms())
    for document_id in (oid, str(oid)):
        judged.add({"_id": document_id, "url": URL}, None)
    assert len({member for member, _ in judged.due}) == 2


def test_the_command_reports_in_one_line(swept: Collection[Document], env: dict[str, str]) -> None:
    swept.insert_many(
        [
            {"_id": "due", "embedding_job": pending()},
            {"_id": "young", "embedding_job": pending(0)},
            {"_id": "b\x1b[2Jd", "url": URL},
        ]
    )
    done = run("sweep", **env)
    assert (done.returncode, done.stdout) == (0, "queued again: 1, owed but not due: 1, unusable: 1\n")
    assert done.stderr == "'b\\x1b[2Jd': image_id contains a control character\n"


def test_the_settings_may_come_from_the_environment(
    queue: redis.Redis, swept: Collection[Document], env: dict[str, str]
) -> None:
    swept.insert_many([{"_id": f"p-{number}", "photo": URL} for number in range(3)])
    settings = {"CLIPQUEUE_SWEEP_AGE_S": "0", "CLIPQUEUE_SWEEP_MAX_QUEUED": "2", "CLIPQUEUE_URL_FIELD": "photo"}
    assert run("sweep", **env, **settings).stdout.startswith("queued again: 2,")


def test_a_full_queue_is_said_to_be_full(queue: redis.Redis, swept: Collection[Document], env: dict[str, str]) -> None:
    swept.insert_many([{"_id": f"p-{number}", "embedding_job": pending()} for number in range(3)])
    said = [run("sweep", "--max-queued", "2", **env).stdout for _ in range(2)]
    assert said[0].startswith("queued again: 2,")
    assert said[0].endswith("the queue is full, the rest comes with a later sweep\n")
    assert said[1] == "queued again: 0, since enough jobs wait; a later sweep looks again\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_sweeps_until_it_is_told_to_stop(
    number: signal.Signals, queue: redis.Redis, swept: Collection[Document], env: dict[str, str]
) -> None:
    swept.insert_one({"_id": "first", "embedding_job": pending()})
    sweeping = start({**env, "CLIPQUEUE_SWEEP_EVERY_S": "0.1"})
    try:
        wait_for(lambda: queued_ids(queue) == ["first"], "the first document")
        swept.insert_one({"_id": "second", "embedding_job": pending()})
        wait_for(lambda: queued_ids(queue) == ["first", "second"], "the second document")
        sweeping.send_signal(number)
        output, errors = sweeping.communicate(timeout=30)
    finally:
        sweeping.kill()
    assert sweeping.returncode == 0
    assert output.count("queued again: 1,") == 2
    assert errors == ""


def test_it_outlives_a_server_that_is_away(swept: Collection[Document], stack: Stack, tmp_path: Path) -> None:
    """It says so once, and goes on when the server is back."""
    swept.insert_one({"_id": "first", "embedding_job": pending()})
    with Stack(tmp_path) as later:
        env = {"REDIS_URL": later.redis_url, "MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": "swept"}
        sweeping = start({**env, "CLIPQUEUE_SWEEP_EVERY_S": "0.1"})
        try:
            assert sweeping.stderr is not None
            assert "sweeping goes on when that is over" in sweeping.stderr.readline()
            later.start("redis", later._redis_command())
            assert sweeping.stdout is not None
            assert sweeping.stdout.readline().startswith("queued again: 1,")
            sweeping.terminate()
            assert sweeping.communicate(timeout=30)[1] == "", "once"
        finally:
            sweeping.kill()
    assert sweeping.returncode == 0


@pytest.mark.parametrize(
    ("missing", "complaint"), [("REDIS_URL", "REDIS_URL is not"), ("MONGODB_URI", "MONGODB_URI is not")]
)
def test_missing_settings_are_named(missing: str, complaint: str, env: dict[str, str]) -> None:
    done = run("sweep", **{name: value for name, value in env.items() if name != missing})
    assert done.returncode == 1
    assert complaint in done.stderr


def start(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "sweep"],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
