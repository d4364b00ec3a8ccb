"""The Vercel Function stores an upload and enqueues it, over TCP and over REST."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import ObjectId
from ephemeral_port_reserve import reserve

from tests.support.commands import invoke
from tests.support.queued import accepted_jobs
from tests.support.upstash import Upstash

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.producer.js.examples.conftest import SendRequests

URL = "https://cdn.example/cat.jpg?token=secret"
SUSPENDED = Path(__file__).parents[3] / "support" / "node" / "suspended.mjs"
MODULES = {"tcp": "vercel-enqueue/api/upload.js", "rest": "vercel-enqueue/api/upload-rest.js"}


@pytest.fixture
def mongodb_uri(stack: Stack) -> str:
    return f"{stack.mongodb_uri}-uploads"


@pytest.fixture
def uploads(mongodb_uri: str) -> Iterator[Collection[dict[str, Any]]]:
    """The collection of the example, in a database that no worker reads."""
    with pymongo.MongoClient[dict[str, Any]](mongodb_uri) as mongo:
        uploads = mongo.get_default_database()["images"]
        yield uploads
        uploads.delete_many({})


@pytest.fixture
def variables(redis_url: str, mongodb_uri: str) -> Iterator[dict[str, str]]:
    with Upstash(redis_url) as rest:
        yield {
            "REDIS_URL": redis_url,
            "MONGODB_URI": mongodb_uri,
            "UPSTASH_REDIS_REST_URL": rest.url,
            "UPSTASH_REDIS_REST_TOKEN": rest.token,
        }


def upload(body: object) -> tuple[str, str, str]:
    return "POST", "/api/upload", body if isinstance(body, str) else json.dumps(body)


@pytest.mark.parametrize("way", MODULES)
def test_an_upload_is_stored_and_its_job_enqueued(
    way: str,
    send_requests: SendRequests,
    variables: dict[str, str],
    queue: redis.Redis,
    uploads: Collection[dict[str, Any]],
) -> None:
    requests = [upload({"url": URL}), upload({"url": "ftp://cdn.example/cat.jpg"}), upload("no JSON"), upload({})]
    sent = send_requests(MODULES[way], *requests, **variables)
    assert [answer["status"] for answer in sent.answers] == [202, 400, 400, 400]
    stored, refused, *_ = (answer["body"] for answer in sent.answers)
    assert stored["status"] == "queued"
    assert "http" in refused["error"]

    [document] = uploads.find()  # that of the URL which was refused is gone
    assert (document["_id"], document["url"]) == (ObjectId(stored["id"]), URL)
    [job] = accepted_jobs(queue)
    assert (job["image_id"], job["url"]) == ({"$oid": stored["id"]}, URL)


@pytest.mark.parametrize("way", MODULES)
def test_without_redis_the_upload_is_kept_and_a_sweep_enqueues_it(
    way: str,
    send_requests: SendRequests,
    variables: dict[str, str],
    redis_url: str,
    queue: redis.Redis,
    uploads: Collection[dict[str, Any]],
) -> None:
    closed = reserve("127.0.0.1")
    away = {
        "REDIS_URL": f"redis://:pass-word@127.0.0.1:{closed}",
        "UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{closed}",
    }
    sent = send_requests(MODULES[way], upload({"url": URL}), **{**variables, **away})
    [answer] = sent.answers
    assert (answer["status"], answer["body"]["status"]) == (202, "stored")
    assert f"127.0.0.1:{closed}" in sent.log
    assert not any(secret in sent.log for secret in ("pass-word", variables["UPSTASH_REDIS_REST_TOKEN"], "token="))
    assert queue.llen("images") == 0

    env = {"REDIS_URL": redis_url, "MONGODB_URI": variables["MONGODB_URI"], "CLIPQUEUE_SWEEP_AGE_S": "0"}
    swept = invoke("sweep", "--adopt", **env)
    assert swept.stdout.startswith("queued again: 1,"), swept.stderr


@pytest.mark.parametrize(
    ("way", "how", "after"),
    [
        ("tcp", "closed", ["queued", "queued"]),
        ("tcp", "silent", ["queued", "queued"]),
        ("rest", "closed", ["queued", "queued"]),
        ("rest", "silent", ["stored", "queued"]),  # the first waits for its deadline, and `fetch` drops the connection
    ],
)
def test_a_connection_that_died_between_two_requests_is_replaced(
    way: str,
    how: str,
    after: list[str],
    send_requests: SendRequests,
    variables: dict[str, str],
    queue: redis.Redis,
    uploads: Collection[dict[str, Any]],
    examples: Path,
) -> None:
    """Platforms suspend an instance between two requests, and its connections die meanwhile."""
    shutil.copy(SUSPENDED, examples.parent)
    module = {"UPLOAD": str(examples / MODULES[way]), "HOW": how}
    [answer] = send_requests("../suspended.mjs", upload({"url": URL}), **variables, **module).answers
    assert answer["body"] == {"dead": 1, "states": ["queued", *after]}
    assert queue.llen("images") == 1 + after.count("queued")
