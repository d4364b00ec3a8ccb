"""The route handler for Next.js searches. Next itself is not installed: its handlers are functions of a Request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.api import ENQUEUE_KEY, SEARCH_KEY, running_api
from tests.support.pictures import small_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producer.local.stack import Stack
    from tests.producer.js.examples.conftest import SendRequests
    from tests.support.api import Api
    from tests.support.servers import ImageServer

ROUTE = "next-search/app/api/search/route.js"
CAT = ("GET", "/api/search?q=a+cat+%26+a+dog", None)


@pytest.fixture(scope="module")
def api(stack: Stack, worker_log: Path) -> Iterator[Api]:
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        yield api


def test_a_search_returns_hits_that_may_be_cached(
    api: Api, send_requests: SendRequests, images: ImageServer, result_of: Callable[[Any], Any], new_id: str
) -> None:
    url = images.add("/cat.jpg", small_jpeg())
    assert api.post("/v1/images", json={"id": new_id, "url": url}).status_code == 202
    result_of(new_id)
    requests = [CAT, ("GET", "/api/search?q=+", None), ("GET", "/api/search?q=a&cursor=wrong", None)]
    sent = send_requests(ROUTE, *requests, CLIPQUEUE_URL=api.url, CLIPQUEUE_SEARCH_KEY=SEARCH_KEY)
    found, empty, wrong = sent.answers
    assert found["status"] == 200
    assert all(hit.keys() == {"id", "url", "score"} for hit in found["body"]["hits"])
    assert found["body"]["hits"]
    assert found["headers"]["cache-control"] == "public, s-maxage=30, stale-while-revalidate=60"
    assert [answer["status"] for answer in (empty, wrong)] == [400, 400]
    assert "cursor" in wrong["body"]["error"]
    assert empty["headers"]["cache-control"] == "no-store"


def test_a_visitor_learns_what_to_do_and_the_log_why(api: Api, stack: Stack, send_requests: SendRequests) -> None:
    [refused] = send_requests(ROUTE, CAT, CLIPQUEUE_URL=api.url, CLIPQUEUE_SEARCH_KEY=ENQUEUE_KEY).answers
    assert (refused["status"], refused["body"]["error"]) == (500, "Search is not set up correctly.")
    away = send_requests(ROUTE, CAT, CLIPQUEUE_URL="http://127.0.0.1:9", CLIPQUEUE_SEARCH_KEY=SEARCH_KEY)
    [answer] = away.answers
    assert (answer["status"], answer["headers"]["retry-after"]) == (503, "1")
    assert "127.0.0.1:9" in away.log
    assert "127.0.0.1" not in answer["body"]["error"]
    assert SEARCH_KEY not in away.log


def test_too_many_searches_say_when_to_try_again(stack: Stack, worker_log: Path, send_requests: SendRequests) -> None:
    # One request in 20 s: the client does not wait so long, and gives the API's answer on.
    settings = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri, "api_requests_per_s": 0.05}
    with running_api(**settings) as api:
        sent = send_requests(ROUTE, CAT, CAT, CLIPQUEUE_URL=api.url, CLIPQUEUE_SEARCH_KEY=SEARCH_KEY)
    assert [answer["status"] for answer in sent.answers] == [200, 429]
    assert 10 < int(sent.answers[1]["headers"]["retry-after"]) <= 20
