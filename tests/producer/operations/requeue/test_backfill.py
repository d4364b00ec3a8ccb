"""`clipqueue backfill` and `clipqueue retry`: which documents are enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

from producer.contract.records import bson_date
from tests.producer.operations.shop import (
    FIELD,
    URL,
    Document,
    T,
    done,
    failed,
    fill,
    photo,
    write_worker,
)
from tests.support.commands import invoke
from tests.support.queued import queued_ids, queued_kwargs

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection


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
def test_selected_documents_are_enqueued(
    options: list[str], expected: set[str], queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many(STATES)
    completed = invoke("backfill", *FIELD, "--model", "m", *options, **env)
    assert completed.returncode == 0, completed.stderr
    kwargs = {one["image_id"]: one for one in queued_kwargs(queue)}
    assert set(kwargs) == expected
    is_all = "all" in options
    assert {one.get("force", False) for name, one in kwargs.items() if name != "pending"} <= {is_all}
    if "pending" in kwargs:  # the same job again
        assert kwargs["pending"] == {"image_id": "pending", "url": URL, "enqueued_at": T, "force": True}


def test_a_dry_run_counts_and_enqueues_nothing(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([*STATES, photo("bad", "ftp://host/")])
    done = invoke("backfill", *FIELD, "--model", "m", "--dry-run", **env)
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


def test_every_document_is_enqueued_once_and_the_checkpoint_is_deleted(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 1300)
    done = invoke("backfill", *FIELD, **env)
    assert (done.returncode, done.stdout) == (0, "enqueued 1300, skipped 0, unusable 0\n")
    assert sorted(queued_ids(queue)) == sorted(ids)
    assert queue.keys() == [b"images"]


def test_unusable_documents_are_named(queue: redis.Redis, shop: Collection[Document], env: dict[str, str]) -> None:
    shop.insert_many([photo(f"bad-{number}", "ftp://host/?secret") for number in range(9)] + [photo("good")])
    done = invoke("backfill", *FIELD, **env)
    assert (done.returncode, done.stdout) == (1, "enqueued 1, skipped 0, unusable 9\n")
    assert done.stderr.count("the URL's scheme is 'ftp'") == 5
    assert "secret" not in done.stderr
    assert queued_ids(queue) == ["good"]


def test_an_id_that_no_job_can_have_is_named(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo(7), photo("a"), photo(ObjectId()), photo({"a": 1})])
    done = invoke("backfill", *FIELD, **env)
    assert (done.returncode, done.stdout) == (1, "enqueued 3, skipped 0, unusable 1\n")
    assert "{'a': 1}: " in done.stderr


def test_nothing_is_enqueued_if_all_workers_write_to_another_collection(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """A message does not name a collection, so they would write the vectors to their own."""
    shop.insert_one(photo("a"))
    write_worker(queue, "other@host", "m", collection="images")
    for command in (["backfill", *FIELD], ["retry"], ["sweep", "--age", "0"]):
        done = invoke(*command, **env)
        assert done.returncode == 1
        assert "write to clipqueue.images, but this command reads clipqueue.shop" in done.stderr
    write_worker(queue, "here@host", "m")
    assert invoke("backfill", *FIELD, **env).stdout.startswith("enqueued 1,")


def test_the_default_model_is_that_of_the_workers(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("of-a", record=done(model="a")), photo("of-b", record=done(model="b"))])
    alone = invoke("backfill", *FIELD, "--only", "stale", **env)
    assert (alone.returncode, "no live worker reports its model; set it with --model" in alone.stderr) == (1, True)
    assert "only URLs are compared" in invoke("backfill", *FIELD, **env).stderr
    assert queued_ids(queue) == []
    write_worker(queue, "one@host", "a")
    write_worker(queue, "other@host", "c", collection="another")
    assert invoke("backfill", *FIELD, "--only", "stale", **env).stdout.startswith("enqueued 1,")
    assert queued_ids(queue) == ["of-b"]
    write_worker(queue, "two@host", "b")
    several = invoke("backfill", *FIELD, "--only", "stale", **env)
    assert (several.returncode, "--model" in several.stderr, "['a', 'b']" in several.stderr) == (1, True, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["backfill"], "--url-field"),
        (["backfill", *FIELD, "--only", "some"], "'some' is not one of"),
        (["backfill", *FIELD, "--query", "{'a': 1}"], "--query is not valid Extended JSON"),
        (["backfill", *FIELD, "--query", "[1]"], "--query must be a JSON object"),
        (["retry", "--query", '{"_id": {"$oid": "12"}}'], "--query is not valid Extended JSON"),
        (["retry", "--query", '{"a": 99999999999999999999}'], "--query is not valid Extended JSON"),
        (["retry", "--query", '{"a": {"$binary": {"base64": "AA=="}}}'], "--query is not valid Extended JSON"),
        (["retry", "--query", '{"a": {"$numberDecimal": "x"}}'], "--query is not valid Extended JSON"),
        (["retry", "--query", '{"\\u0000": 1}'], "--query is not valid Extended JSON"),
        (["retry", "--query", '{"a": "\\ud800"}'], "--query is not valid Extended JSON"),
        (["retry", "--query", '{"a": ' * 100_000], "--query is not valid Extended JSON"),
        (["retry", "--rate", "0"], "0"),
        (["retry", "--rate", "nan"], "nan is no number up to 1e+09"),
        (["sweep", "--every", "inf"], "inf is no number up to 1e+09"),
        (["sweep", "--age", "1e300"], "1e300 is no number up to 1e+09"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], complaint: str, env: dict[str, str]) -> None:
    done = invoke(*arguments, **env)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_an_id_that_is_a_url_is_shown_without_its_query(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = [f"https://host/{name}.jpg?token=secret" for name in "abc"]
    shop.insert_many([photo(ids[0], "no URL"), photo(ids[1]), photo(ids[2])])
    limited = invoke("backfill", *FIELD, "--limit", "1", **env)
    assert "'https://host/a.jpg: the URL has no scheme" in limited.stderr
    sweeping = invoke("sweep", "--age", "0", "--url-field", FIELD[1], **env)
    assert "'https://host/a.jpg: the URL has no scheme" in sweeping.stderr
    continued = invoke("backfill", *FIELD, **env)
    assert "continuing after 'https://host/b.jpg: 1 enqueued before" in continued.stderr
    assert "secret" not in limited.stderr + sweeping.stderr + continued.stderr


def test_the_field_may_come_from_the_environment(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_one(photo("a"))
    assert invoke("backfill", CLIPQUEUE_URL_FIELD="media.imageUrl", **env).returncode == 0
    assert queued_ids(queue) == ["a"]


def test_retry_enqueues_failed_jobs_with_the_url_that_failed(
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
    one = invoke("retry", "--code", "http_404", **env)
    assert one.stdout == "enqueued 1, skipped 1 (1 without a URL), unusable 0\n"
    (kwargs,) = queued_kwargs(queue)
    assert (kwargs["image_id"], kwargs["url"]) == ("gone", "http://host/gone.jpg")
    assert invoke("retry", "--limit", "1", **env).returncode == 0
    assert invoke("retry", "--limit", "1", "--query", '{"_id": "slow"}', **env).returncode == 0
    assert invoke("retry", "--restart", **env).returncode == 0
    assert queued_ids(queue) == ["gone", "gone", "slow", "gone", "slow"]


def test_unavailable_servers_are_named_without_passwords(env: dict[str, str]) -> None:
    no_redis = invoke("backfill", *FIELD, **{**env, "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
    assert no_redis.returncode == 1
    assert no_redis.stderr.startswith("clipqueue: Redis at 127.0.0.1:1")
    no_mongo = invoke("retry", **{**env, "MONGODB_URI": "mongodb://user:hunter2@127.0.0.1:1/?connectTimeoutMS=100"})
    assert no_mongo.returncode == 1
    assert "MongoDB at 127.0.0.1:1 did not answer" in no_mongo.stderr
    assert "hunter2" not in no_redis.stderr + no_mongo.stderr
