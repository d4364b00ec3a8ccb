"""The telemetry server: what it answers, and that no client and no hanging answer keeps it from doing so."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from producer.contract.errors import ConfigurationError
from producer.telemetry.server import Limits, TelemetryServer
from tests.support.telemetry import get, read_answer, send
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.registry import Collector


def _registry(*collectors: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("clipqueue_tests", "Tests.", registry=registry).inc(3)
    for collector in collectors:
        registry.register(collector)
    return registry


@contextmanager
def _serving(
    *collectors: Collector,
    live: Callable[[], str] = str,
    ready: Callable[[], str] = lambda: "the model is loading",
    limits: Limits | None = None,
    host: str = "127.0.0.1",
) -> Iterator[TelemetryServer]:
    registries = {"/metrics": _registry(), "/metrics/queue": _registry(*collectors)}
    server = TelemetryServer(host, 0, registries=registries, live=live, ready=ready, limits=limits)
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with _serving() as server:
        yield server.port


class _Hanging:
    """A collector that waits until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.calls = 0

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self.calls += 1
        self.entered.set()
        self.release.wait(60)
        yield GaugeMetricFamily("clipqueue_late", "Late.", 1)


@pytest.fixture
def hanging() -> Iterator[_Hanging]:
    collector = _Hanging()
    yield collector
    collector.release.set()


def test_checks_are_answered_as_text(port: int) -> None:
    live, ready = get(port, "/livez"), get(port, "/readyz")
    assert (live.status, live.text) == (200, "ok\n")
    assert (ready.status, ready.text) == (503, "the model is loading\n")
    assert live.headers["content-type"] == "text/plain; charset=utf-8"
    assert live.headers["connection"] == "close"


def test_metrics_come_in_the_form_and_the_coding_that_the_client_accepts(port: int) -> None:
    plain = get(port, "/metrics")
    assert plain.status == 200
    assert plain.headers["content-type"].startswith("text/plain")
    assert next(one.name for one in parse(plain.text)) == "clipqueue_tests"
    zipped = get(port, "/metrics", "Accept-Encoding: gzip")
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    # What Prometheus 2.42 sends.
    wanted = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    openmetrics = get(port, "/metrics", wanted)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert [one.name for one in parse_openmetrics(openmetrics.text)] == ["clipqueue_tests"]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/nothing"])
def test_head_has_the_headers_and_no_body(port: int, path: str) -> None:
    body, head = get(port, path), get(port, path, method="HEAD")
    assert head.body == b""
    assert (head.status, head.headers["content-length"]) == (body.status, str(len(body.body)))


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        ("POST /livez HTTP/1.1\r\n\r\n", 405),
        ("DELETE /metrics HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", 405),
        ("GET / HTTP/1.1\r\n\r\n", 404),
        ("GET /livez/ HTTP/1.1\r\n\r\n", 404),
        ("GET /%6Civez HTTP/1.1\r\n\r\n", 404),
        ("GET //livez HTTP/1.1\r\n\r\n", 404),
        ("GET /livez?a=b HTTP/1.0\r\n\r\n", 200),
        ("GET http://elsewhere/livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/2.0\r\n\r\n", 400),
        ("GET /livez\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nno colon\r\n: \r\nAccept\x00: \xff\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nAccept: " + ",;=q" * 3000 + "\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text;version=one\r\n\r\n", 200),
        ("GET /metrics HTTP/1.1\r\nAccept: text/plain;version=" + "9" * 5000 + "\r\n\r\n", 200),
        ("GET /metrics?name[]=" + "%" * 9000 + " HTTP/1.1\r\n\r\n", 200),
        ("GET /livez HTTP/1.1\r\nX: " + "x" * 20_000 + "\r\n\r\n", 431),
        ("GET /" + "x" * 100_000 + " HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_odd_requests_are_answered_or_refused(port: int, request_head: str, status: int) -> None:
    sock = send(port, request_head.encode("latin-1")[:17_000])
    assert read_answer(sock).status == status
    assert get(port, "/livez").status == 200


def test_checks_are_answered_while_a_scrape_hangs(hanging: _Hanging) -> None:
    """Two scrapers that ask for the same share one answer, so that hanging scrapes cost no threads."""
    with _serving(hanging) as server, ExitStack() as stack:
        scrapes = [stack.enter_context(send(server.port, b"GET /metrics/queue HTTP/1.1\r\n\r\n")) for _ in range(60)]
        refused = scrapes[32:]
        assert hanging.entered.wait(60)
        assert {read_answer(sock).status for sock in refused} == {503}
        assert get(server.port, "/livez").status == 200
        assert get(server.port, "/metrics", "Accept-Encoding: gzip").status == 503, "32 scrapes wait"
        hanging.release.set()
        assert {read_answer(sock).status for sock in scrapes[:32]} == {200}
        assert hanging.calls == 1
        assert get(server.port, "/metrics").status == 200


def test_an_answer_that_takes_too_long_is_a_failure(hanging: _Hanging) -> None:
    never = threading.Event()

    def live() -> str:
        never.wait(60)
        return ""

    with _serving(hanging, live=live, limits=Limits(check_s=0.05, scrape_s=0.05)) as server:
        check, scrape = get(server.port, "/livez"), get(server.port, "/metrics/queue")
        threads = threading.active_count()
        for kind in range(20):  # different forms of the same, which cannot be shared
            get(server.port, "/metrics/queue", f"Accept: text/plain;q={kind}")
        assert threading.active_count() <= threads + 8
        never.set()
        wait_for(lambda: get(server.port, "/livez").status == 200, "the check")
    assert (check.status, check.text) == (503, "/livez has given no answer for 0.05 s\n")
    assert (scrape.status, scrape.text) == (503, "/metrics/queue has given no answer for 0.05 s\n")


def test_an_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def ready() -> str:
        raise ValueError("redis://:secret@host")

    with _serving(ready=ready) as server:
        answers = [get(server.port, "/readyz") for _ in range(3)]
    assert {answer.text for answer in answers} == {"/readyz failed: ValueError; the log has more\n"}
    assert [record.message for record in caplog.records] == ["/readyz fails"], "once, not at each scrape"


def test_a_problem_is_one_short_line() -> None:
    with _serving(ready=lambda: "a\r\nSet-Cookie: b\n" + "x" * 10_000) as server:
        answer = get(server.port, "/readyz")
    assert answer.text.count("\n") == 1
    assert len(answer.text) < 400
    assert "set-cookie" not in answer.headers


def test_slow_clients_keep_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    """The oldest of them loses its connection."""
    with _serving() as server, ExitStack() as stack:
        slow = [stack.enter_context(send(server.port, b"GET /livez HT")) for _ in range(200)]
        assert get(server.port, "/livez").status == 200
        with suppress(ConnectionResetError):
            assert slow[0].recv(1) == b"", "an end without an answer"
        slow[-1].sendall(b"TP/1.1\r\n\r\n")
        assert read_answer(slow[-1]).status == 200
    assert not caplog.records


def test_an_endless_head_ends_in_time() -> None:
    with _serving(limits=Limits(head_s=0.1)) as server:
        sock = send(server.port, b"GET /livez HTTP/1.1\r\n")

        def is_ended() -> bool:
            try:
                sock.sendall(b"X: y\r\n")
            except ConnectionError:
                return True
            return False

        with sock:
            wait_for(is_ended, "the end of the connection")
        assert get(server.port, "/livez").status == 200


def test_a_client_that_reads_nothing_ends_in_time() -> None:
    big = _Big()
    with _serving(big, limits=Limits(write_s=0.1)) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with sock:
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"GET /metrics/queue HTTP/1.1\r\n\r\n")
            assert big.asked.wait(60)
            wait_for(lambda: not server._connections, "the end of the connection")
        assert get(server.port, "/livez").status == 200


class _Big:
    """A collector with more than what the buffers of a connection hold."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("clipqueue_big", "Big.", labels=["text"])
        for number in range(100):
            family.add_metric([f"{number}" + "x" * 100_000], 1)
        self.asked.set()
        yield family


_WITHOUT_FILES = """
import resource, sys
from tests.producer.telemetry.test_server import _serving
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
with _serving() as server:
    with open("/dev/null") as next_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free.fileno(), most))
    print(server.port, flush=True)
    sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.stdin.readline()
"""


def test_a_process_without_free_file_descriptors_says_so_once() -> None:
    """asyncio tells each failed `accept`, a hundred times a second. A process of its own, because of its limit."""
    pipe, command = subprocess.PIPE, [sys.executable, "-c", _WITHOUT_FILES]
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        port = int(process.stdout.readline())
        with send(port, b"GET /livez HTTP/1.1\r\n\r\n") as waiting:
            assert "Too many open files" in process.stderr.readline()
            process.stdin.write("\n")
            process.stdin.flush()
            assert read_answer(waiting).status == 200
        _, errors = process.communicate("\n", timeout=60)
    assert errors == ""


def test_it_starts_and_stops_again_and_again() -> None:
    server = TelemetryServer("127.0.0.1", 0, registries={}, live=str, ready=str)
    for _ in range(3):
        server.start()
        assert get(server.port, "/readyz").status == 200
        server.close()
        with pytest.raises(ConnectionRefusedError):
            send(server.port, b"")
    server.close()


def test_it_answers_on_both_families() -> None:
    with _serving(host="::") as server:
        assert get(server.port, "/livez").status == 200
        with socket.create_connection(("::1", server.port), 30) as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_a_port_in_use_is_a_clear_error(host: str) -> None:
    with _serving(host=host) as server:
        second = TelemetryServer(host, server.port, registries={}, live=str, ready=str)
        with pytest.raises(ConfigurationError, match=rf"'{host}', port {server.port}: .*in use.* free port"):
            second.start()


@pytest.mark.parametrize("host", ["198.51.100.1", "no such host", "\N{SNOWMAN}" * 80, ""])
def test_an_address_of_another_machine_is_a_clear_error(host: str) -> None:
    with pytest.raises(ConfigurationError, match="CLIPQUEUE_METRICS_HOST"):
        TelemetryServer(host, 0, registries={}, live=str, ready=str).start()
