"""A collection of four images to search, behind an API of its own."""

from __future__ import annotations

import base64
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import ObjectId

from tests.support.api import Api, running_api
from tests.support.pictures import small_jpeg
from tests.support.workers import FAKE_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.local.stack import Stack

OID = ObjectId()
IDS = ["photo/1", "photo-2", "photo-3", str(OID)]


@contextmanager
def running_shop(stack: Stack) -> Iterator[Api]:
    """Run the API for a block, with a collection of four images that its worker embedded, two of them the same."""
    uri = stack.mongodb_uri.rpartition("/")[0] + f"/shop{uuid.uuid4().hex[:8]}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPQUEUE_FILTER_FIELDS", "album,taken_at")
        with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=uri) as api, pymongo.MongoClient[Any](uri) as mongo:
            images = mongo.get_default_database()["images"]
            images.insert_many([_document(api, number, one) for number, one in enumerate([*IDS[:3], OID])])
            yield api


def _document(api: Api, number: int, image_id: object) -> dict[str, Any]:
    body = {"input": {"image": base64.b64encode(small_jpeg(max(number, 1))).decode()}}
    vector = api.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    url = f"https://example.com/{number}.jpg"
    return {
        "_id": image_id,
        "url": url,
        "album": "summer" if number < 2 else "winter",
        "taken_at": datetime(2026, 1, 1 + number, tzinfo=UTC),
        "embedding": vector,
        "embedding_job": {
            "status": "done",
            "model": FAKE_MODEL["CLIP_MODEL"],
            "dim": len(vector),
            "url": url,
            "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
        },
    }
