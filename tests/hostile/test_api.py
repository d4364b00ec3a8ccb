"""Hostile requests to the API. Each is answered with its own error, and the API and its worker go on."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from producer.api import server
from tests.hostile.api_bodies import MALFORMED, TYPES
from tests.hostile.api_expected import check_hides_secrets, openai
from tests.hostile.api_files import ENQUEUED, FILES, SERVED, URLS
from tests.hostile.api_http import IMAGES, exchange, head, post, raw, read_answers
from tests.hostile.api_names import IDS, KEYS, PATHS, STORED
from tests.hostile.api_pages import HOSTS, ORIGIN, ORIGINS
from tests.hostile.api_searches import FIELDS, FILTERS, PARTS
from tests.hostile.api_target import Target
from tests.hostile.api_wire import AMBIGUOUS, NOT_READABLE, SLOW, TOO_LARGE
from tests.support import api as support
from tests.support.pictures import small_jpeg
from tests.support.servers import ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.local.stack import Stack
    from tests.hostile.api_expected import Expected
    from tests.hostile.api_http import Answer, Request

TABLES: dict[str, dict[str, tuple[Request, Expected]]] = {
    "unreadable": NOT_READABLE,
    "too large": TOO_LARGE,
    "ambiguous": AMBIGUOUS,
    "id": IDS,
    "path": PATHS,
    "key": KEYS,
    "origin": ORIGINS,
    "body": MALFORMED,
    "type": TYPES,
    "filter": FILTERS,
    "search": PARTS,
    "file": FILES,
    "URL": URLS,
}
ROWS = {f"{table}: {name}": row for table, rows in TABLES.items() for name, row in rows.items()}
UPLOADS = 4
WORKER_ENV = {
    # Only this address of loopback is allowed. Its other addresses and ::1 stand for the operator's network.
    "CLIPQUEUE_FETCH_ALLOW_NETWORKS": "127.0.0.1/32",
    "CLIPQUEUE_FETCH_PORTS": "80,443,1024-65000",
    "CLIPQUEUE_FETCH_TOTAL_S": "2",
}
API_ENV = {
    "CLIPQUEUE_API_KEYS": support.KEYS,
    "CLIPQUEUE_API_HOST": "127.0.0.1",
    "CLIPQUEUE_API_PORT": "0",
    "CLIPQUEUE_API_UPLOADS": str(UPLOADS),
    "CLIPQUEUE_API_REQUESTS_PER_S": "10000",
    "CLIPQUEUE_API_CORS_ORIGINS": ORIGIN,
    "CLIPQUEUE_FILTER_FIELDS": FIELDS,
}
FLOOD, FLOOD_BYTES = 200, 1_000_000
LARGE_FILE = "/docs/assets/swagger-ui-bundle.js"
MIB = 1024**2
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]{12} (INFO|WARNING) (clipqueue\.api|uvicorn\.error) ")


@pytest.fixture(scope="module")
def target(own: Stack, own_dir: Path) -> Iterator[Target]:
    """The API and a worker, with two stored images."""
    images = ImageServer()
    for path, answer in SERVED.items():
        images.add(path, answer)
    worker = start_fake_worker(own, own_dir, "worker", WORKER_ENV)
    command = [sys.executable, "-m", "tests.hostile.api_server"]
    api = own.start("api", command, env={**own.environment(), **API_ENV})
    target = Target(api, own_dir / "api.log", worker, images.url)
    for number, name in enumerate(STORED):
        stored = target.request("PUT", f"/v1/images/{name}", data=small_jpeg(number))
        assert stored.status_code == 200, stored.text
    yield target
    images.close()


@pytest.fixture(scope="module")
def peaks(target: Target) -> dict[str, int]:
    """The most memory that each process had before the first hostile request."""
    return target.peaks()


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_request_is_refused_and_the_api_goes_on(name: str, target: Target, peaks: dict[str, int]) -> None:
    assert peaks
    request, expected = ROWS[name]
    logged = len(target.log)
    expected.check(target.send(request))
    target.check_answers()
    check_hides_secrets(target.log[logged:])


@pytest.fixture(scope="module")
def slow_answers(target: Target) -> dict[str, list[Answer]]:
    """The answers to all slow requests, which are sent at once; the API answers others meanwhile."""
    with ThreadPoolExecutor(len(SLOW)) as threads:
        answers = {name: threads.submit(target.send, request) for name, (request, _) in SLOW.items()}
        target.check_answers()
        assert not answers["half a body"].done()
        return {name: answer.result() for name, answer in answers.items()}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_request_is_ended(name: str, slow_answers: dict[str, list[Answer]], target: Target) -> None:
    SLOW[name][1].check(slow_answers[name])
    target.check_answers()


@pytest.fixture(scope="module")
def open_port(own: Stack, target: Target) -> Iterator[int]:
    """The port of an API without keys."""
    settings = {"REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri, "api_keys": ""}
    with support.running_api(**settings) as api:
        assert requests.get(api.url + "/v1/models", timeout=10).status_code == 200
        yield int(api.url.rpartition(":")[2])


@pytest.mark.parametrize("name", HOSTS)
def test_a_page_of_another_site_is_refused(name: str, open_port: int) -> None:
    request, expected = HOSTS[name]
    expected.check(read_answers(exchange(open_port, request(""))))


@pytest.mark.parametrize("name", [name for name in ORIGINS if "another origin" in name])
def test_a_browser_shows_no_answer_to_another_origin(name: str, target: Target) -> None:
    [answer] = target.send(ORIGINS[name][0])
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("name", ENQUEUED)
def test_a_job_for_a_blocked_address_fails(name: str, target: Target) -> None:
    url = ENQUEUED[name].replace(IMAGES, target.images_url)
    enqueued = target.request("POST", "/v1/images", json={"id": name, "url": f"{url}?sig=deadbeef"})
    assert enqueued.status_code == 202, enqueued.text
    state = target.request("GET", f"/v1/images/{name}?wait=20")
    assert state.json()["status"] == "failed"
    assert state.json()["error"]["code"] == "blocked_address"
    assert "deadbeef" not in state.json()["error"]["message"]


def test_of_a_refused_list_no_job_is_enqueued(target: Target) -> None:
    target.send(URLS["one bad job of two"][0])
    assert target.request("GET", "/v1/images/good").status_code == 404


def test_200_slow_uploads_at_once_take_the_place_of_few(target: Target, peaks: dict[str, int]) -> None:
    logged, peak = len(target.log), target.peaks()["api"]
    start = head("PUT", "/v1/images/flood", "Content-Length: 8000000")
    slow = raw(start, b"\xff\xd8\xff" + bytes(FLOOD_BYTES))
    with ThreadPoolExecutor(FLOOD) as threads:
        for _ in range(FLOOD):
            threads.submit(target.send, slow)
        target.check_answers()
    ends = [line.split()[-5] for line in target.log[logged:].splitlines() if "/v1/images/flood" in line]
    statuses: Counter[str] = Counter(ends)
    assert statuses.keys() <= {"408", "429", "499"}, statuses
    assert statuses["429"] > FLOOD / 2, statuses
    assert target.peaks()["api"] - peak < FLOOD * FLOOD_BYTES / 4
    target.check_answers()


def test_other_requests_get_their_turn_between_thousands_of_chunks(
    open_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    parse = server._TimedProtocol.data_received

    def watch(self: Any, received: bytes) -> None:
        parsed.append(len(received))
        parse(self, received)

    monkeypatch.setattr(server._TimedProtocol, "data_received", watch)
    start = head("POST", "/v1/embeddings", "Transfer-Encoding: chunked", key=None)
    chunks = raw(start + "1\r\n[\r\n" * 40_000 + "0\r\n\r\n")
    openai(400).check(read_answers(exchange(open_port, chunks(""))))
    assert sum(parsed) > 240_000
    assert max(parsed) <= server._READ_BYTES


def test_a_client_that_reads_nothing_is_left(target: Target) -> None:
    with target.connect(receive_buffer=4096) as connection:
        connection.sendall(head("GET", LARGE_FILE, key=None, connection="keep-alive").encode() * 20)
        port = connection.getsockname()[1]
        assert target.is_connected(port)
        wait_for(lambda: not target.is_connected(port), "the API to leave a client that reads nothing", 15)
    target.check_answers()


@pytest.mark.parametrize(
    "change",
    [
        {"text": "another text"},
        {"filter": {"album": "a"}},
        {"min_score": -0.9},
        {"exact": True},
        {"like": "tea"},
        {"cursor": "offset"},
        {"cursor": "case"},
    ],
    ids=str,
)
def test_a_cursor_is_refused_if_it_or_its_search_was_changed(change: dict[str, Any], target: Target) -> None:
    search = {"text": "a cat", "limit": 1}
    cursor = wait_for(lambda: target.request("POST", "/v1/search", json=search).json()["next"], "a second page")
    assert target.request("POST", "/v1/search", json={**search, "cursor": cursor}).status_code == 200
    offset, *rest = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps([offset + 10**6, *rest]).encode()).decode()
    cursors = {"offset": forged, "case": cursor.swapcase()}
    changed = {**search, "cursor": cursor, **change}
    [answer] = target.send(post("/v1/search", {**changed, "cursor": cursors.get(changed["cursor"], cursor)}))
    openai(400, "invalid_request", "cursor").check([answer])


def test_the_same_processes_run_with_little_more_memory(target: Target, peaks: dict[str, int]) -> None:
    assert target.api.poll() is None
    assert target.worker.process.poll() is None
    after = target.peaks()
    assert after["api"] - peaks["api"] < 150 * MIB
    assert after["worker"] - peaks["worker"] < 50 * MIB


def test_the_logs_show_no_secret_and_no_traceback(target: Target) -> None:
    check_hides_secrets(target.log)
    check_hides_secrets(target.worker.log)


def test_no_request_writes_a_line_of_its_own_to_the_log(target: Target) -> None:
    _, *lines = target.log.splitlines()
    assert lines
    assert [line for line in lines if not (LOG_LINE.match(line) and line.isprintable())] == []


def test_the_stored_image_is_untouched(target: Target) -> None:
    state: Any = target.request("GET", f"/v1/images/{STORED[0]}").json()
    assert (state["id"], state["status"]) == (STORED[0], "done")
