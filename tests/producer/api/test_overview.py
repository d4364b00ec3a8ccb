"""`GET /v1/overview`: the counts, the queue and the workers that the search page shows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from producer.api.overview import Overview
from producer.client.broker import Broker
from producer.contract.names import DELAYED
from producer.documents.documents import connect
from tests.support.api import ENQUEUE_KEY, running_api

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack
    from tests.support.api import Api


@pytest.fixture
def documents(stack: Stack, new_id: str) -> Iterator[ImageDocuments]:
    """Four images: one is done, one has failed, one is pending, and one has no job."""
    with closing(connect(stack.mongodb_uri, new_id.replace("-", "_"))) as documents:
        jobs: list[dict[str, Any]] = [{"embedding_job": {"status": one}} for one in ("done", "failed", "pending")]
        documents._collection.insert_many([{"_id": str(number), **job} for number, job in enumerate([*jobs, {}])])
        yield documents


def test_the_overview_counts_images_jobs_and_workers(
    stack: Stack, redis_url: str, queue: redis.Redis, documents: ImageDocuments
) -> None:
    queue.lpush("images", "1", "2", "3")
    queue.zadd(DELAYED, {"4": 1, "5": 2})
    with running_api(REDIS_URL=redis_url, MONGODB_URI=stack.mongodb_uri, collection=documents.name) as api:
        assert api.get("/v1/overview").json() == {
            "models": [],
            "workers": 0,
            "queued": 3,
            "delayed": 2,
            "images": {"done": 1, "failed": 1, "pending": 2},
            "filter_fields": [],
        }


def test_the_overview_names_the_models_of_the_workers_to_every_key(api: Api) -> None:
    answer = api.get("/v1/overview", headers={"authorization": f"Bearer {ENQUEUE_KEY}"}).json()
    assert (answer["models"], answer["workers"]) == (["fake/model"], 1)
    assert api.get("/v1/overview", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_images_are_not_counted_again_at_once(redis_url: str, queue: redis.Redis, documents: ImageDocuments) -> None:
    overview = Overview(Broker(redis_url), documents, ["album"])
    assert overview.read()["images"]["done"] == 1
    documents._collection.insert_one({"_id": "new", "embedding_job": {"status": "done"}})
    assert overview.read()["images"]["done"] == 1
    overview._count_after = 0.0
    assert overview.read()["images"]["done"] == 2
    assert overview.read()["filter_fields"] == ["album"]


def test_without_mongodb_the_rest_is_still_there(redis_url: str, queue: redis.Redis) -> None:
    with closing(connect("mongodb://127.0.0.1:1/", "images", timeout_s=0.1)) as documents:
        answer = Overview(Broker(redis_url), documents, []).read()
    assert (answer["images"], answer["queued"]) == (None, 0)
