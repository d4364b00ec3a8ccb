"""A collection in which jobs are recorded, a client and a recorder for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer import EmbeddingClient
from producer.documents.recording import JobRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack

Document = dict[str, Any]


@pytest.fixture
def recorded(collection: Collection[Document]) -> Collection[Document]:
    return collection.database["recorded"]


@pytest.fixture
def client(stack: Stack, redis_url: str) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(redis_url, mongodb_uri=stack.mongodb_uri, collection="recorded") as client:
        yield client


@pytest.fixture
def recorder(stack: Stack) -> Iterator[JobRecorder]:
    recorder = JobRecorder.connect(stack.mongodb_uri, "recorded", 5.0)
    yield recorder
    recorder.close()
