"""What every request passes: keys, rates, pages of other sites, bodies, headers and the log."""

from __future__ import annotations

import json
import logging
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

from producer.api.bodies import MAX_BODY_BYTES, Bodies
from producer.api.rates import RateLimit
from producer.contract.names import QUERIES, QUERY_KEY
from tests.producer.api.conftest import SILENT_MODEL
from tests.support.api import ENQUEUE_KEY, KEY, SEARCH_KEY, running_api
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from producer.local.stack import Stack
from tests.support.api import Api

TEXT = {"input": "a cat"}


def send(api: Api, head: str, body: bytes = b"", *, wait_s: float = 20.0) -> bytes:
    """Send a request as it is, and return all that the server sends until it closes the connection."""
    with connect(api) as stream:
        stream.settimeout(wait_s)
        stream.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        answer = b""
        while chunk := stream.recv(65_536):
            answer += chunk
        return answer


def connect(api: Api) -> socket.socket:
    parts = urlsplit(api.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


@pytest.fixture(scope="module")
def open_api(stack: Stack) -> Iterator[Api]:
    """An API without keys."""
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_keys=()) as api:
        yield api


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({"authorization": "", "x-api-key": KEY}, 200),
        ({"authorization": f"Bearer {SEARCH_KEY}"}, 200),
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong-0123456789abcdef"}, 401),
        ({"authorization": f"Bearer {KEY}x"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": KEY}, 401),
        ({"authorization": f"Bearer {ENQUEUE_KEY}"}, 403),
    ],
)
def test_an_embedding_needs_a_key_that_may_search(api: Api, headers: dict[str, str], status: int) -> None:
    answer = api.post("/v1/embeddings", json=TEXT, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("POST", "/v1/images", "enqueue"),
        ("PUT", "/v1/images/a", "enqueue"),
        ("DELETE", "/v1/images/a", "enqueue"),
        ("GET", "/v1/images/a", "either"),
        ("GET", "/v1/models", "either"),
        ("GET", "/v1/search", "search"),
        ("POST", "/v1/search", "search"),
        ("GET", "/v1/duplicates", "search"),
        ("POST", "/models/clip", "search"),
        ("POST", "/hf-inference/models/clip", "search"),
        ("POST", "/pipeline/feature-extraction/clip", "search"),
        ("POST", "/embed", "search"),
        ("POST", "/", "search"),
        ("GET", "/info", "search"),
        ("GET", "/unknown", "search"),
    ],
)
def test_every_route_but_the_public_ones_needs_a_key_of_its_kind(api: Api, method: str, path: str, needs: str) -> None:
    def status(key: str) -> int:
        return api.request(method, path, headers={"authorization": f"Bearer {key}"}).status_code

    assert status("no-such-key-0123456789") == 401
    assert (status(SEARCH_KEY) == 403) == (needs == "enqueue")
    assert (status(ENQUEUE_KEY) == 403) == (needs == "search")


def test_two_keys_in_one_request_are_none(api: Api) -> None:
    head = f"GET /v1/models HTTP/1.1\nHost: a\nConnection: close\nAuthorization: Bearer {KEY}\nAuthorization: Bearer x"
    assert send(api, head).startswith(b"HTTP/1.1 401")


def test_health_says_little_and_needs_no_key(api: Api) -> None:
    answer = requests.get(api.url + "/healthz", timeout=20)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "redis": True, "mongo": True, "workers": 1})


def test_health_is_503_while_a_server_is_away(stack: Stack) -> None:
    with running_api(REDIS_URL="redis://127.0.0.1:1/0", MONGODB_URI=stack.mongodb_uri) as api:
        answer = api.get("/healthz")
        assert (answer.status_code, answer.json()["redis"], answer.json()["mongo"]) == (503, False, True)
        answer = api.post("/v1/embeddings", json=TEXT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "redis_unavailable")
        assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]"}, 200),
        ({"host": "attacker.example"}, 403),
        ({"host": "127.0.0.1.attacker.example"}, 403),
        ({"host": "localhost@attacker.example"}, 403),
        ({"host": "]["}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"origin": "https://attacker.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_without_keys_pages_of_other_sites_reach_nothing(open_api: Api, headers: dict[str, str], status: int) -> None:
    answer = open_api.get("/healthz", headers={"authorization": "", **headers})
    assert answer.status_code == status


def test_each_key_has_its_own_rate(stack: Stack) -> None:
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_requests_per_s=0.5) as api:
        assert api.get("/v1/images/none").status_code == 404
        answer = api.get("/v1/images/none")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 2
        assert api.get("/v1/images/none", headers={"authorization": f"Bearer {SEARCH_KEY}"}).status_code == 404
        assert api.get("/healthz").status_code == 200


def test_a_rate_recovers_with_time() -> None:
    now = 0.0
    rates = RateLimit(2, lambda: now)
    assert [rates.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 1]
    now = 0.5
    assert [rates.wait_s("a") for _ in range(2)] == [0, 1]


def test_only_the_pages_that_are_allowed_may_call(stack: Stack, api: Api) -> None:
    origin = "https://shop.example"
    preflight = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_cors_origins=origin) as open_to_shop:
        answer = open_to_shop.request("OPTIONS", "/v1/embeddings", headers=preflight)
        assert answer.headers["access-control-allow-origin"] == origin
        assert open_to_shop.get("/nope", headers={"origin": origin}).headers["access-control-allow-origin"] == origin
        other = open_to_shop.get("/nope", headers={"origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in api.get("/nope", headers={"origin": origin}).headers


@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_that_is_too_large_is_refused(api: Api, *, is_announced: bool) -> None:
    """Either by its length, or while it arrives."""
    body = b" " * (MAX_BODY_BYTES + 1)
    chunks = body if is_announced else iter([body[:1_000_000]] * 13)
    answer = api.post("/v1/embeddings", data=chunks)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_body_that_arrives_too_slowly_is_refused(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> None:
    monkeypatch.setattr("producer.api.app.Bodies", partial(Bodies, grace_s=0.2))
    head = f"POST /v1/embeddings HTTP/1.1\nHost: a\nX-API-Key: {KEY}\nContent-Length: 100"
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        assert send(api, head, b'{"inp').startswith(b"HTTP/1.1 408")


def test_there_is_a_limit_to_large_bodies_at_once(stack: Stack) -> None:
    with running_api(REDIS_URL=stack.redis_url, MONGODB_URI=stack.mongodb_uri, api_uploads=1) as api:
        head = f"PUT /v1/images/a HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: 200000\r\n\r\n"
        with connect(api) as first:
            first.sendall(head.encode() + b" " * 100_000)
            large = " " * 100_000 + json.dumps(TEXT)
            refused = wait_for(
                lambda: (one := api.post("/v1/embeddings", data=large)).status_code == 429 and one.json(),
                "the second body to be refused",
            )
            assert refused["error"]["code"] == "too_many_uploads"
            assert api.post("/v1/models").status_code == 405, "small requests are answered"
        wait_for(lambda: api.post("/v1/embeddings", data=large).status_code != 429, "the place to be free again")


def ask_silent(api: Api, text: str) -> socket.socket:
    """Send a text that is not answered, and return the connection."""
    body = json.dumps({"input": text, "model": SILENT_MODEL}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n"
    stream = connect(api)
    stream.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    return stream


def test_a_client_that_leaves_takes_its_query_back(silent_api: Api, silent_queue: redis.Redis) -> None:
    waiting = f"{QUERIES}:{SILENT_MODEL}"
    with ask_silent(silent_api, "a cat"):
        wait_for(lambda: silent_queue.llen(waiting), "the query")
    wait_for(lambda: not silent_queue.llen(waiting), "the query to be taken back", 4)
    assert not list(silent_queue.scan_iter(QUERY_KEY + "*"))


def test_equal_texts_at_once_are_asked_once(
    silent_api: Api, silent_queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.api.vectors.TEXT_S", 0.5)
    added = Counter[str]()
    with silent_queue.monitor() as monitor:  # type: ignore[no-untyped-call]
        streams = [ask_silent(silent_api, text) for text in ("cafe\u0301  au lait", " caf\u00e9 au\tlait ", "other")]
        answers = [stream.recv(100) for stream in streams]
        silent_queue.echo("end")
        for command in monitor.listen():
            if command["command"] == "ECHO end":
                break
            added[command["command"].partition(" ")[0]] += 1
    assert all(answer.startswith(b"HTTP/1.1 504") for answer in answers)
    assert added["LPUSH"] == 2
    for stream in streams:
        stream.close()


def test_a_queue_that_is_full_is_429(stack: Stack, silent_queue: redis.Redis) -> None:
    silent_queue.lpush(f"{QUERIES}:{SILENT_MODEL}", "0" * 16)
    redis_url = stack.redis_url.removesuffix("0") + "7"
    with running_api(REDIS_URL=redis_url, MONGODB_URI=stack.mongodb_uri, queries_max=1) as api:
        answer = api.post("/v1/embeddings", json=TEXT)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert answer.json()["error"]["code"] == "overloaded"
        assert api.post("/models/clip", json={"inputs": "a cat"}).status_code == 429


def test_the_log_has_no_secrets(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="clipqueue.api")
    answer = api.get(
        "/v1/images/https:%2F%2Fe.com%2Fa.jpg%3Fsig=secret", params={"q": "secret"}, headers={"x-request-id": "mine-1"}
    )
    assert answer.headers["x-request-id"] == "mine-1"
    [line] = wait_for(
        lambda: [record.getMessage() for record in caplog.records if "mine-1" in record.getMessage()],
        "the log line, which follows the answer",
    )
    assert line.startswith("GET /v1/images/https://e.com/a.jpg 404 ")
    assert "secret" not in line
    assert KEY not in line
    assert "key=" in line


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\u00e4"])
def test_a_request_id_that_could_harm_a_log_is_replaced(api: Api, given: str) -> None:
    answered = api.get("/healthz", headers={"x-request-id": given.encode("latin-1")}).headers["x-request-id"]
    assert len(answered) == 32
    assert answered != given


def test_answers_forbid_what_browsers_would_guess(api: Api) -> None:
    headers = api.get("/healthz").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("DELETE", "/v1/embeddings", 405),
        ("GET", "/v1/images/", 400),
        ("POST", "/v1/models", 405),
    ],
)
def test_what_does_not_exist_has_an_error_of_our_shape(api: Api, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_a_head_that_never_ends_is_cut(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.api.server._HEAD_S", 0.2)
    with connect(api) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert stream.recv(100) == b""


def test_the_documentation_loads_nothing_from_elsewhere(api: Api) -> None:
    page = requests.get(api.url + "/docs", timeout=20)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "//" not in page.text.replace("<!doctype", "")
    for path in ("/docs/assets/swagger-ui.css", "/docs/assets/swagger-ui-bundle.js", "/docs/start.js"):
        assert path in page.text
        assert requests.get(api.url + path, timeout=20).status_code == 200


def test_a_request_that_outlasts_the_server_is_told_to_try_again(stack: Stack, redis_url: str, new_id: str) -> None:
    """Whoever waits for an image then asks the API that is started next."""
    with ThreadPoolExecutor(1) as pool, running_api(REDIS_URL=redis_url, MONGODB_URI=stack.mongodb_uri) as api:
        api.post("/v1/images", json={"id": new_id, "url": "https://example.com/a.jpg"})
        waiting = pool.submit(api.get, f"/v1/images/{new_id}?wait=20")
        wait_for(api.in_progress, "the request")
        api.stop()
        answer = waiting.result()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
    assert answer.headers["retry-after"] == "1"
