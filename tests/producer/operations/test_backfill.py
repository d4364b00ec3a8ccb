"""`clipqueue backfill` and `clipqueue retry`: every document that is wanted is queued once, whatever stops them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis
from bson import ObjectId

from producer.client.broker import Broker
from producer.contract.job import now_ms
from producer.contract.names import WORKER_KEY
from producer.contract.records import bson_date
from producer.documents.documents import connect
from producer.operations.requeue.backfill import Backfill, BackfillOptions
from producer.operations.requeue.checkpoint import BackfillElsewhere, Bookmark
from producer.operations.requeue.watch import end_of
from producer.operations.requeue.throttle import Pace
from producer.operations.requeue.progress import Followed
from producer.operations.requeue.selection import Selection
from tests.support.commands import COMMAND, run
from tests.support.pictures import small_jpeg
from tests.support.queued import queued_ids, queued_kwargs
from tests.support.servers import SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.collection import Collection

    from producer.contract.fields import WorkerHeartbeat
    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

Document = dict[str, Any]

URL = "http://host/a.jpg"
T = 1_700_000_000_000  # ms
FIELD = ("--url-field", "media.imageUrl")


@pytest.fixture
def shop(collection: Collection[Document], queue: redis.Redis) -> Collection[Document]:
    """An empty collection of a backend."""
    shop = collection.database["shop"]
    shop.delete_many({})
    return shop


@pytest.fixture
def env(stack: Stack, redis_url: str) -> dict[str, str]:
    return {"REDIS_URL": redis_url, "MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": "shop"}


@pytest.fixture
def documents(stack: Stack) -> Iterator[ImageDocuments]:
    documents = connect(stack.mongodb_uri, "shop")
    yield documents
    documents.close()


def photo(document_id: Any, url: Any = URL, record: Document | None = None) -> Document:
    document = {"_id": document_id, "media": {"imageUrl": url}}
    return {**document, "embedding_job": record} if record else document


def done(url: str = URL, model: str = "m") -> Document:
    return {"status": "done", "url": url, "model": model, "enqueued_at": bson_date(T)}


def failed(code: str = "http_404", url: str = URL) -> Document:
    return {"status": "failed", "url": url, "enqueued_at": bson_date(T), "error": {"code": code}}


def fill(shop: Collection[Document], count: int) -> list[str]:
    """Insert documents, half of them with ObjectIds; return their ids as the queue shows them."""
    ids: list[Any] = [f"p-{number:04}" for number in range(count // 2)]
    ids += [ObjectId() for _ in range(count - len(ids))]
    shop.insert_many([photo(document_id) for document_id in ids])
    return [str(document_id) for document_id in ids]


def live_worker(queue: redis.Redis, node: str, model: str, collection: str = "shop") -> None:
    note: WorkerHeartbeat = {
        "node": node,
        "version": "0",
        "model": model,
        "database": "clipqueue",
        "collection": collection,
        "concurrency": 1,
        "visibility_timeout_s": 80,
        "upsert": True,
        "started_at": T,
        "at": T,
        "store_away": False,
    }
    queue.set(WORKER_KEY + node, json.dumps(note), ex=30)


STATES: list[Document] = [
    photo("new"),
    photo("odd", record={"status": "started"}),
    photo(
        "pending",
        "http://host/field.jpg",
        {"status": "pending", "url": URL, "enqueued_at": bson_date(T), "force": True},
    ),
    photo("failed", record=failed()),
    photo("current", record=done()),
    photo("other-url", record=done("http://host/old.jpg")),
    photo("other-model", record=done(model="old")),
    photo("list", [URL]),
    {"_id": "nothing"},
]
MISSING = {"new", "odd", "pending"}
STALE = {"other-url", "other-model"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], MISSING | STALE),
        (["--only", "missing"], MISSING),
        (["--only", "failed"], {"failed"}),
        (["--only", "stale"], STALE),
        (["--only", "all"], MISSING | STALE | {"failed", "current"}),
        (["--query", '{"_id": {"$in": ["new", "current"]}}'], {"new"}),
    ],
)
def test_what_is_wanted_is_queued(
    options: list[str], expected: set[str], queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many(STATES)
    done = run("backfill", *FIELD, "--model", "m", *options, **env)
    assert done.returncode == 0, done.stderr
    kwargs = {one["image_id"]: one for one in queued_kwargs(queue)}
    assert set(kwargs) == expected
    is_all = "all" in options
    assert {one.get("force", False) for name, one in kwargs.items() if name != "pending"} <= {is_all}
    if "pending" in kwargs:  # the same job again
        assert kwargs["pending"] == {"image_id": "pending", "url": URL, "enqueued_at": T, "force": True}


def test_a_dry_run_counts_and_queues_nothing(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([*STATES, photo("bad", "ftp://host/")])
    done = run("backfill", *FIELD, "--model", "m", "--dry-run", **env)
    lines = [line.split() for line in done.stdout.splitlines()]
    counts = {" ".join(words[:-1]): int(words[-1]) for words in lines}
    assert counts == {
        "missing": 3,
        "stale": 2,
        "failed": 1,
        "current": 1,
        "without a URL": 2,
        "unusable": 1,
        "would enqueue": 5,
    }
    assert (done.returncode, queue.keys()) == (0, [])


def test_every_document_of_many_is_queued_once_and_the_bookmark_is_gone(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 1300)
    done = run("backfill", *FIELD, **env)
    assert (done.returncode, done.stdout) == (0, "enqueued 1300, skipped 0, unusable 0\n")
    assert sorted(queued_ids(queue)) == sorted(ids)
    assert queue.keys() == [b"images"]


def test_what_no_worker_could_use_is_named(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([photo(f"bad-{number}", "ftp://host/?secret") for number in range(9)] + [photo("good")])
    done = run("backfill", *FIELD, **env)
    assert (done.returncode, done.stdout) == (1, "enqueued 1, skipped 0, unusable 9\n")
    assert done.stderr.count("the URL's scheme is 'ftp'") == 5
    assert "secret" not in done.stderr
    assert queued_ids(queue) == ["good"]


def test_ids_of_another_type_are_left_out(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([photo(7), photo("a"), photo(ObjectId())])
    assert run("backfill", *FIELD, **env).stdout == "enqueued 2, skipped 0, unusable 0\n"


def test_what_is_enqueued_while_a_page_waits_knows_better(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Its URLs were read before, so its jobs must not win over one that a backend enqueues after that."""
    shop.insert_many([photo("first"), photo("second")])
    backfill = start(env, "--max-queued", "1")
    try:
        wait_for(lambda: queued_ids(queue) == ["first"], "the first of the page")
        backend_enqueues_at = now_ms()
        wait_for(lambda: now_ms() > backend_enqueues_at, "the next millisecond")
        queue.delete("images")
        wait_for(lambda: queued_ids(queue) == ["second"], "the second")
        assert queued_kwargs(queue)[0]["enqueued_at"] < backend_enqueues_at
        assert "waiting: as many jobs wait" in backfill.communicate(timeout=30)[1]
    finally:
        backfill.kill()


def test_workers_that_write_elsewhere_get_no_jobs(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """A message does not say where its document is: they would make it in their own collection."""
    shop.insert_one(photo("a"))
    live_worker(queue, "elsewhere@host", "m", collection="images")
    for command in (["backfill", *FIELD], ["retry"], ["sweep", "--age", "0"]):
        done = run(*command, **env)
        assert done.returncode == 1
        assert "write into clipqueue.images, and this is clipqueue.shop" in done.stderr
    live_worker(queue, "here@host", "m")
    assert run("backfill", *FIELD, **env).stdout.startswith("enqueued 1,")


def test_a_killed_backfill_goes_on_where_it_was(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """With kill -9, several times, in the middle of its moves; nothing is doubled and nothing left out."""
    ids = fill(shop, 700)
    for stop in (60, 250, 400):  # among the strings, and among the ObjectIds
        backfill = start(env, "--rate", "200")
        try:
            wait_for(lambda at=stop: queue.llen("images") >= at, "some jobs")  # type: ignore[misc]
        finally:
            backfill.kill()
            backfill.communicate()
    done = run("backfill", *FIELD, **env)
    assert "going on from ObjectId(" in done.stderr
    assert done.stdout == "enqueued 700, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_a_lost_connection_neither_doubles_nor_skips(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Redis closes its connections again and again while jobs are queued."""
    ids = fill(shop, 600)
    outputs = []
    for stop in (40, 110):
        backfill = start(env, "--rate", "100")
        wait_for(lambda at=stop: queue.llen("images") >= at, "some jobs")  # type: ignore[misc]
        while backfill.poll() is None:
            queue.client_kill_filter(_type="normal", skipme=True)
        outputs.append(backfill.communicate()[1])
    assert all("clipqueue: Redis at" in output for output in outputs)
    assert run("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_ctrl_c_says_that_the_same_command_goes_on(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 30)
    backfill = start(env, "--max-queued", "10")
    wait_for(lambda: queue.llen("images") == 10, "a full queue")
    backfill.send_signal(signal.SIGINT)
    assert "stopped after 10 jobs; the same command goes on" in backfill.communicate(timeout=30)[1]
    assert backfill.returncode == 1
    assert run("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_restart_begins_anew(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([photo("a"), photo("b"), photo("c")])
    assert run("backfill", *FIELD, "--limit", "2", **env).returncode == 0
    assert "going on" not in run("backfill", *FIELD, "--restart", **env).stderr
    assert queued_ids(queue) == ["a", "b", "a", "b", "c"]


def test_the_limit_counts_jobs_and_the_next_start_goes_on(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("a", record=done()), photo("b"), photo("c"), photo("d"), photo("e")])
    first = run("backfill", *FIELD, "--limit", "2", **env)
    assert first.stdout == "enqueued 2, skipped 1, unusable 0\n"
    assert "the limit is reached" in first.stderr
    assert queued_ids(queue) == ["b", "c"]
    run("backfill", *FIELD, "--limit", "2", **env)
    assert queued_ids(queue) == ["b", "c", "d", "e"]


def test_other_options_are_another_backfill(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    fill(shop, 4)
    run("backfill", *FIELD, "--limit", "2", **env)
    for others in (["--only", "missing"], ["--query", '{"x": null}'], ["--model", "m"]):
        assert "going on" not in run("backfill", *FIELD, "--limit", "1", *others, **env).stderr
    assert "going on" in run("backfill", *FIELD, "--limit", "1", **env).stderr


def test_the_queue_is_held_below_its_bound(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    """What is in flight counts too, and each job taken makes room for one more."""
    fill(shop, 30)
    queue.hset("unacked", mapping={"1": "taken", "2": "taken"})
    backfill = start(env, "--max-queued", "10")
    try:
        wait_for(lambda: queue.llen("images") == 8, "a full queue")
        queue.rpop("images", 3)
        wait_for(lambda: queue.llen("images") == 8, "a full queue again")
        assert backfill.poll() is None
    finally:
        backfill.kill()
        backfill.communicate()


def test_of_two_with_the_same_options_the_first_ends(
    redis_url: str, queue: redis.Redis, shop: Collection[Document], documents: ImageDocuments
) -> None:
    ids = fill(shop, 30)
    options = BackfillOptions(Selection("media.imageUrl"), {}, None, watch=False)
    with closing(Broker(redis_url)) as broker:
        first, second = Bookmark(broker, ["same"]), Bookmark(broker, ["same"])
        begun = first.take(anew=False)
        taken_over = second.take(anew=False)
        with pytest.raises(BackfillElsewhere, match="another backfill"):
            Backfill(documents, first, Pace(broker, 1000, None), options).run(begun, print)
        Backfill(documents, second, Pace(broker, 1000, None), options).run(taken_over, print)
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_a_redis_that_lost_the_bookmark_ends_the_backfill(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Its jobs may be lost too, so that going on would leave a gap; the next start finds them missing."""
    ids = fill(shop, 30)
    backfill = start(env, "--max-queued", "10")
    wait_for(lambda: queue.llen("images") == 10, "a full queue")
    queue.flushdb()
    assert "start it again" in backfill.communicate(timeout=30)[1]
    assert run("backfill", *FIELD, **env).returncode == 0
    assert sorted(queued_ids(queue)) == sorted(ids)


def test_the_model_is_that_of_the_workers(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([photo("of-a", record=done(model="a")), photo("of-b", record=done(model="b"))])
    alone = run("backfill", *FIELD, "--only", "stale", **env)
    assert (alone.returncode, "say with --model" in alone.stderr) == (1, True)
    assert "only URLs are compared" in run("backfill", *FIELD, **env).stderr
    assert queued_ids(queue) == []
    live_worker(queue, "one@host", "a")
    live_worker(queue, "elsewhere@host", "c", collection="another")
    assert run("backfill", *FIELD, "--only", "stale", "--limit", "1", **env).stdout.startswith("enqueued 1,")
    assert queued_ids(queue) == ["of-b"]
    live_worker(queue, "one@host", "b")
    assert run("backfill", *FIELD, "--only", "stale", **env).stdout.startswith("enqueued 1,"), "another model, anew"
    assert queued_ids(queue) == ["of-b", "of-a"]
    live_worker(queue, "one@host", "a")
    live_worker(queue, "two@host", "b")
    several = run("backfill", *FIELD, "--only", "stale", **env)
    assert (several.returncode, "--model" in several.stderr, "['a', 'b']" in several.stderr) == (1, True, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["backfill"], "--url-field"),
        (["backfill", *FIELD, "--only", "some"], "'some' is not one of"),
        (["backfill", *FIELD, "--query", "{'a': 1}"], "--query is no extended JSON"),
        (["backfill", *FIELD, "--query", "[1]"], "--query must be a JSON object"),
        (["retry", "--query", '{"_id": {"$oid": "12"}}'], "--query is no extended JSON"),
        (["retry", "--rate", "0"], "0"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], complaint: str, env: dict[str, str]) -> None:
    done = run(*arguments, **env)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_the_field_may_come_from_the_environment(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_one(photo("a"))
    assert run("backfill", CLIPQUEUE_URL_FIELD="media.imageUrl", **env).returncode == 0
    assert queued_ids(queue) == ["a"]


def test_retry_queues_failures_by_the_url_that_failed(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many(
        [
            photo("gone", record=failed("http_404", "http://host/gone.jpg")),
            photo("slow", record=failed("fetch_timeout", "http://host/slow.jpg")),
            photo("no-url", record={"status": "failed", "error": {"code": "http_404"}}),
            photo("done", record=done()),
            photo("new"),
        ]
    )
    one = run("retry", "--code", "http_404", **env)
    assert one.stdout == "enqueued 1, skipped 1 (1 without a URL), unusable 0\n"
    (kwargs,) = queued_kwargs(queue)
    assert (kwargs["image_id"], kwargs["url"]) == ("gone", "http://host/gone.jpg")
    assert run("retry", "--limit", "1", **env).returncode == 0
    assert run("retry", "--limit", "1", "--query", '{"_id": "slow"}', **env).returncode == 0
    assert run("retry", "--restart", **env).returncode == 0
    assert queued_ids(queue) == ["gone", "gone", "slow", "gone", "slow"]


def test_watch_waits_for_every_end_and_shows_the_codes(
    stack: Stack, worker_log: Path, images: ImageServer, collection: Collection[Document], new_id: str
) -> None:
    """With the worker of the run, in its collection."""
    urls = [images.add("/good.jpg", small_jpeg()), f"{images.url}/gone.jpg"]
    before = {**failed(), "finished_at": bson_date(T)}
    collection.insert_many([{"_id": f"{new_id}-{n}", "photo": urls[n % 3 == 0], "of": new_id} for n in range(12)])
    collection.insert_one({"_id": f"{new_id}-x", "photo": urls[0], "of": new_id, "embedding_job": before})
    env = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri}
    options = ["--url-field", "photo", "--query", json.dumps({"of": new_id}), "--watch"]
    watched = run("backfill", *options, **env)
    assert watched.returncode == 1
    assert [line.split() for line in watched.stdout.splitlines()[1:]] == [["done", "8"], ["http_404", "4"]]
    again = run("backfill", *options, "--only", "failed", "--query", json.dumps({"_id": f"{new_id}-x"}), **env)
    assert again.returncode == 0
    assert again.stdout.splitlines()[1].split() == ["done", "1"]
    with redis.Redis.from_url(stack.redis_url) as broker:
        assert list(broker.scan_iter("clipqueue:backfill:*")) == []


def test_ctrl_c_leaves_the_watch_to_the_same_command(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Nothing is queued a second time, whether all was queued or the limit reached; a deleted document has ended."""
    shop.insert_many([photo(f"p-{number}") for number in range(4)])
    for limit in (["--limit", "3"], []):
        watching = start(env, "--watch", *limit)
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("enqueued ")
        watching.send_signal(signal.SIGINT)
        assert "the jobs go on" in watching.communicate(timeout=30)[1]
        watching = start(env, "--watch", *limit)
        shop.update_many(
            {"_id": {"$ne": "p-0"}}, {"$set": {"embedding_job": {**done(), "enqueued_at": bson_date(T * 2)}}}
        )
        shop.delete_one({"_id": "p-0"})
        output, _ = watching.communicate(timeout=30)
        assert watching.returncode == 0
        assert output.splitlines()[0].split()[0] == "done"
        shop.update_many({}, {"$unset": {"embedding_job": 1}})
    assert queued_ids(queue) == ["p-0", "p-1", "p-2", "p-3"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, "deleted"),
        ({}, None),
        ({"status": "pending", "enqueued_at": bson_date(T)}, None),
        ({"status": "done", "enqueued_at": bson_date(T)}, "done"),
        ({"status": "done", "enqueued_at": bson_date(T + 1)}, "done"),
        ({"status": "done", "enqueued_at": bson_date(T - 5000)}, None),
        ({"status": "done", "enqueued_at": bson_date(T - 4000)}, "done"),
        ({"status": "done", "enqueued_at": bson_date(T - 90_000)}, None),
        ({"status": "failed", "enqueued_at": bson_date(T), "error": {"code": "http_404"}}, "http_404"),
        ({"status": "failed", "enqueued_at": bson_date(T), "error": "gone"}, "unknown"),
        ({"status": "failed", "enqueued_at": bson_date(T), "error": {"code": "\x1b[2J"}}, "unknown"),
        ({"status": "done"}, None),
    ],
)
def test_a_job_has_ended_once_it_or_a_later_one_has(record: Document | None, expected: str | None) -> None:
    """The job before it was of 5 s earlier; a worker's clock may be behind by less than a minute."""
    assert end_of(Followed("a", T, T - 5000), record) == expected


def test_servers_that_are_away_are_named_without_passwords(env: dict[str, str]) -> None:
    no_redis = run("backfill", *FIELD, **{**env, "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
    assert no_redis.returncode == 1
    assert no_redis.stderr.startswith("clipqueue: Redis at 127.0.0.1:1")
    no_mongo = run("retry", **{**env, "MONGODB_URI": "mongodb://user:hunter2@127.0.0.1:1/?connectTimeoutMS=100"})
    assert no_mongo.returncode == 1
    assert "MongoDB did not answer" in no_mongo.stderr
    assert "hunter2" not in no_redis.stderr + no_mongo.stderr


def test_a_lost_answer_is_not_asked_for_again(
    redis_url: str, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """The connection breaks when Redis has run the transaction: it counts, and the next start goes on behind it."""
    ids = fill(shop, 3)
    port = urlsplit(redis_url).port or 0

    def lose_the_answer(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as server:
            while request := connection.recv(65_536):
                server.sendall(request)
                answer = server.recv(65_536)
                if b"LPUSH" in request:
                    return
                connection.sendall(answer)

    with SocketServer(lose_the_answer) as proxy:
        broken = run("backfill", *FIELD, **{**env, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/8"})
    assert broken.returncode == 1
    assert "did not take the jobs" in broken.stderr
    assert "the same command goes on" in broken.stderr
    done = run("backfill", *FIELD, **env)
    assert done.stdout == "enqueued 3, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)


def start(env: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "backfill", *FIELD, *options],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
