"""The code of docs/javascript.md works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo

from tests.support.api import KEY, running_api
from tests.support.pictures import small_jpeg
from tests.support.queued import queued_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

PAGE = (Path(__file__).parents[3] / "docs" / "javascript.md").read_text()
ENQUEUE, ENQUEUE_MANY, API = re.findall(r"```js\n(.*?)```", PAGE, re.DOTALL)
# What the page takes for granted: the backend's collection, and one of its documents.
BACKEND = """
import { MongoClient } from "mongodb";
const mongo = new MongoClient(process.env.MONGODB_URI);
const images = mongo.db().collection("images");
const document = await images.findOne({ title: "first" });
"""


def test_the_code_that_enqueues_works(
    run_js: Callable[..., Any], stack: Stack, redis_url: str, queue: redis.Redis
) -> None:
    uri = f"{stack.mongodb_uri}-page"
    with pymongo.MongoClient[dict[str, Any]](uri) as mongo:
        collection = mongo.get_default_database()["images"]
        url = "https://example.com/cat.jpg"
        first = collection.insert_one({"title": "first", "url": url}).inserted_id
        second = collection.insert_one({"title": "second", "url": url}).inserted_id
        end = "console.log(JSON.stringify(await images.countDocuments())); process.exit();"
        run_js(f"{BACKEND}{ENQUEUE}{ENQUEUE_MANY}{end}", MONGODB_URI=uri, REDIS_URL=redis_url)
        collection.drop()
    assert sorted(map(str, queued_ids(queue))) == sorted(map(str, [first, first, second]))


def test_the_code_that_calls_the_api_works(
    run_js: Callable[..., Any],
    stack: Stack,
    worker_log: Path,
    images: ImageServer,
    collection: Collection[dict[str, Any]],
) -> None:
    code = API.replace("https://example.com/cat.jpg", images.add("/cat.jpg", small_jpeg()))
    end = "console.log(JSON.stringify([image.status, page.data.length, vector.length]));"
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        status, hits, dim = run_js(code + end, CLIPQUEUE_URL=api.url, CLIPQUEUE_KEY=KEY)
    collection.delete_one({"_id": "photo-1"})
    assert (status, dim) == ("done", 48)
    assert hits >= 1
