"""A store on the embedded MongoDB server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.store.mongo import MongoStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.local.stack import Stack


@pytest.fixture
def store(stack: Stack) -> Iterator[MongoStore]:
    store = MongoStore(stack.mongodb_uri, "images", call_s=10.0)
    yield store
    store.close()
