"""Fixtures: the API on the session's servers, and one without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.api import Api, running_api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.local.stack import Stack


@pytest.fixture(scope="session")
def api(stack: Stack, worker_log: Path) -> Iterator[Api]:
    """The API, with a worker that has the fake encoder."""
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        yield api


@pytest.fixture(scope="session")
def lonely_api(stack: Stack) -> Iterator[Api]:
    """The API on a Redis database without a worker."""
    with running_api(REDIS_URL=stack.redis_url.removesuffix("0") + "6", MONGODB_URI=stack.mongodb_uri) as api:
        yield api
