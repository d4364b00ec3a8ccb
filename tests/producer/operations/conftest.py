"""Fixtures for tests of backfill, retry and sweep: a collection of their own, and an empty queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer.documents.documents import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack

Document = dict[str, Any]


@pytest.fixture
def shop(collection: Collection[Document], queue: redis.Redis) -> Collection[Document]:
    """An empty collection, beside an empty queue."""
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
