"""`clipqueue backfill --watch`: waits for the results of its jobs."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
import redis

from producer.contract.records import bson_date
from producer.operations.requeue.progress import WatchedJob
from producer.operations.requeue.watch import result_of
from tests.producer.operations.shop import (
    Document,
    T,
    done,
    failed,
    photo,
    start_backfill,
)
from tests.support.commands import invoke
from tests.support.pictures import small_jpeg
from tests.support.queued import queued_ids

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer


def test_watch_waits_for_all_results_and_counts_the_codes(
    stack: Stack, worker_log: Path, images: ImageServer, collection: Collection[Document], new_id: str
) -> None:
    """Uses the worker and the collection that all tests share."""
    urls = [images.add("/good.jpg", small_jpeg()), f"{images.url}/gone.jpg"]
    before = {**failed(), "finished_at": bson_date(T)}
    collection.insert_many([{"_id": f"{new_id}-{n}", "photo": urls[n % 3 == 0], "of": new_id} for n in range(12)])
    collection.insert_one({"_id": f"{new_id}-x", "photo": urls[0], "of": new_id, "embedding_job": before})
    env = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri}
    options = ["--url-field", "photo", "--query", json.dumps({"of": new_id}), "--watch"]
    watched = invoke("backfill", *options, **env)
    assert watched.returncode == 1
    assert [line.split() for line in watched.stdout.splitlines()[1:]] == [["done", "8"], ["http_404", "4"]]
    again = invoke("backfill", *options, "--only", "failed", "--query", json.dumps({"_id": f"{new_id}-x"}), **env)
    assert again.returncode == 0
    assert again.stdout.splitlines()[1].split() == ["done", "1"]
    with redis.Redis.from_url(stack.redis_url) as broker:
        assert list(broker.scan_iter("clipqueue:backfill:*")) == []


def test_after_ctrl_c_the_same_command_watches_again(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """No job is enqueued twice, whether or not the limit was reached; a deleted document counts as finished."""
    shop.insert_many([photo(f"p-{number}") for number in range(4)])
    for limit in (["--limit", "3"], []):
        watching = start_backfill(env, "--watch", *limit)
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("enqueued ")
        watching.send_signal(signal.SIGINT)
        assert "the jobs continue" in watching.communicate(timeout=120)[1]
        watching = start_backfill(env, "--watch", *limit)
        shop.update_many(
            {"_id": {"$ne": "p-0"}}, {"$set": {"embedding_job": {**done(), "enqueued_at": bson_date(T * 2)}}}
        )
        shop.delete_one({"_id": "p-0"})
        output, _ = watching.communicate(timeout=120)
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
        ({"status": "done", "enqueued_at": bson_date(T - 1)}, None),
        ({"status": "done", "enqueued_at": bson_date(T - 90_000)}, None),
        ({"status": "failed", "enqueued_at": bson_date(T), "error": {"code": "http_404"}}, "http_404"),
        ({"status": "failed", "enqueued_at": bson_date(T), "error": "gone"}, "unknown"),
        ({"status": "failed", "enqueued_at": bson_date(T), "error": {"code": "\x1b[2J"}}, "unknown"),
        ({"status": "done"}, None),
    ],
)
def test_the_result_of_a_job_or_of_a_later_one_counts(record: Document | None, expected: str | None) -> None:
    assert result_of(WatchedJob("a", T), record) == expected
