"""The fetcher against real servers on loopback, well-behaved and hostile."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.support.servers import Answer, Proxy, SocketServer, tls_context
from worker import errors
from worker.fetch.deadline import Deadline
from worker.fetch.dns import ThreadedResolver, system_resolve
from worker.fetch.fetcher import FetchRules, HttpFetcher, _host_of
from worker.fetch.guard import Guard
from worker.fetch.host_limits import HostLimits
from worker.fetch.http import GuardedAdapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.servers import ImageServer

ANY_PORT = (range(1, 65_536),)
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
RULES = FetchRules(total_s=1.0, connect_s=0.5, read_s=0.5, max_bytes=100_000, user_agent="clipqueue/test")
LOCAL_GUARD = Guard(ANY_PORT, LOOPBACK)


def fetcher_with(guard: Guard, proxy: str = "", per_host: int = 4, **rules: Any) -> HttpFetcher:
    return HttpFetcher(GuardedAdapter(guard, 4, proxy), HostLimits(per_host, wait_s=0.1), replace(RULES, **rules))


@pytest.fixture
def fetcher() -> Iterator[HttpFetcher]:
    fetcher = fetcher_with(LOCAL_GUARD)
    yield fetcher
    fetcher.close()


def answer(*parts: bytes, pause_s: float = 0.0) -> Callable[[socket.socket], None]:
    """Return a server that reads one request and sends `parts`, with pauses between them."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)

    return serve


def test_the_body_comes_whole(fetcher: HttpFetcher, images: ImageServer) -> None:
    body = bytes(range(256)) * 300
    assert fetcher.fetch(images.add("/a.jpg", body)) == body


def test_connections_are_used_again(fetcher: HttpFetcher) -> None:
    """One connection serves several downloads, and the deadline of the last one still watches it."""
    seen: list[int] = []

    def serve(connection: socket.socket) -> None:
        seen.append(1)
        for _ in range(3):
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(65_536)
        for _ in range(100):  # the fourth answer never ends
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-A: " if _ == 0 else b"x")
            time.sleep(0.05)

    with SocketServer(serve) as server:
        assert [fetcher.fetch(server.url) for _ in range(3)] == [b"ok"] * 3
        with pytest.raises(errors.FetchTimeout):
            fetcher.fetch(server.url)
    assert len(seen) == 1


def test_it_asks_for_an_uncompressed_image_and_says_who_it_is(fetcher: HttpFetcher, images: ImageServer) -> None:
    fetcher.fetch(images.add("/a.jpg", b"x"))
    (headers,) = images.requests
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("clipqueue/")
    assert not {"Cookie", "Authorization"} & set(headers)


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, errors.HttpRefused, "http_400"),
        (401, errors.HttpRefused, "http_401"),
        (404, errors.HttpRefused, "http_404"),
        (410, errors.HttpRefused, "http_410"),
        (304, errors.HttpRefused, "http_304"),
        (302, errors.HttpRefused, "http_302"),  # without a Location
        (408, errors.HttpUnavailable, "http_408"),
        (425, errors.HttpUnavailable, "http_425"),
        (429, errors.HttpUnavailable, "http_429"),
        (500, errors.HttpUnavailable, "http_500"),
        (503, errors.HttpUnavailable, "http_503"),
    ],
)
def test_a_status_is_an_error_with_its_number(
    status: int, error: type[errors.JobError], code: str, fetcher: HttpFetcher, images: ImageServer
) -> None:
    with pytest.raises(error, match=str(status)) as caught:
        fetcher.fetch(images.add("/a.jpg", Answer(b"", status)))
    assert (caught.value.code, caught.value.stage) == (code, "fetch")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        ("soon", None),
        ("Wed, 21 Oct 99999999999 07:28:00 GMT", None),
        ("1" * 400, float("inf")),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (None, None),
    ],
)
def test_retry_after_is_read(
    header: str | None, expected: float | None, fetcher: HttpFetcher, images: ImageServer
) -> None:
    headers = {"Retry-After": header} if header else {}
    with pytest.raises(errors.HttpUnavailable) as caught:
        fetcher.fetch(images.add("/a.jpg", Answer(b"", 503, headers)))
    assert caught.value.retry_after_s == expected


def test_redirects_are_followed_relative_and_absolute(fetcher: HttpFetcher, images: ImageServer) -> None:
    end = images.add("/end.jpg", b"image")
    images.add("/middle", Answer(status=307, headers={"Location": end}))
    assert fetcher.fetch(images.add("/start", Answer(status=301, headers={"Location": "middle?x=1"}))) == b"image"


@pytest.mark.parametrize("location", ["ftp://host/a", "//", "http://[::1", "http://host/" + "x" * 3000, "data:,x"])
def test_a_redirect_to_what_is_not_fetched_is_refused(location: str, fetcher: HttpFetcher, images: ImageServer) -> None:
    with pytest.raises(errors.BadRedirect):
        fetcher.fetch(images.add("/start", Answer(status=302, headers={"Location": location})))


def test_redirects_end(fetcher: HttpFetcher, images: ImageServer) -> None:
    url = images.add("/loop", Answer(status=302, headers={"Location": "/loop"}))
    with pytest.raises(errors.BadRedirect, match="more than 5"):
        fetcher.fetch(url)
    assert images.hits["/loop"] == 6


def test_the_body_of_a_redirect_is_never_read(fetcher: HttpFetcher, images: ImageServer) -> None:
    """The redirect's body never ends; the download does."""
    sent = threading.Event()
    end = images.add("/end.jpg", b"image")

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {end}\r\nContent-Length: 999999999\r\n\r\n".encode())
        try:
            for _ in range(10_000):
                connection.sendall(b"x" * 65_536)
        finally:
            sent.set()

    with SocketServer(serve) as server:
        assert fetcher.fetch(server.url) == b"image"
        assert sent.wait(10), "the connection with the unread body must be closed"


@pytest.mark.parametrize(
    ("parts", "pause_s"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", *[b"x"] * 50], 0.1),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 50], 0.1),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 50], 0.1),
        ([b"", b""], 3.0),
    ],
    ids=["body drips", "headers drip", "chunks drip", "silence"],
)
def test_a_slow_server_is_given_up(parts: list[bytes], pause_s: float, fetcher: HttpFetcher) -> None:
    """Each byte comes within the read timeout; only the total deadline ends it."""
    with SocketServer(answer(*parts, pause_s=pause_s)) as server, pytest.raises(errors.FetchTimeout):
        fetcher.fetch(server.url)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Content-Length: 200000", b""),
        ("Content-Length: 99999999999999999999", b""),
        ("Content-Length: " + "9" * 5000, b""),
        ("Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (200_000, b"x" * 200_000)),
        ("Connection: close", b"x" * 200_000),
        ("Content-Encoding: gzip\r\nConnection: close", gzip.compress(b"x" * 50_000_000)),
    ],
    ids=["announced", "announced absurdly", "announced in 5,000 digits", "chunked", "unannounced", "gzip bomb"],
)
def test_too_many_bytes_are_refused(headers: str, body: bytes, fetcher: HttpFetcher) -> None:
    head = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode()
    with SocketServer(answer(head, body)) as server, pytest.raises(errors.TooManyBytes, match="100000"):
        fetcher.fetch(server.url)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], errors.EmptyBody),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], errors.EmptyBody),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"], errors.ConnectionFailed),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], errors.ConnectionFailed),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"], errors.BadEncoding),
        ([b"\x00\x01garbage\r\n\r\n"], errors.ConnectionFailed),
        ([b""], errors.ConnectionFailed),
    ],
    ids=["empty", "204", "short", "bad chunk", "bad gzip", "no HTTP", "closed at once"],
)
def test_broken_answers_have_their_codes(
    parts: list[bytes], error: type[errors.JobError], fetcher: HttpFetcher
) -> None:
    with SocketServer(answer(*parts)) as server, pytest.raises(error):
        fetcher.fetch(server.url)


@pytest.mark.parametrize("url", ["http://*.example.com/", "http://.example.com/x", "http://%zz/", "http://./x"])
def test_a_host_that_no_request_can_be_made_of_is_not_tried_again(url: str, fetcher: HttpFetcher) -> None:
    with pytest.raises((errors.BadUrl, errors.UnknownHost)):
        fetcher.fetch(url)


def test_a_servers_own_words_are_not_repeated(fetcher: HttpFetcher) -> None:
    reason = b"HTTP/1.1 404 \x1b[31m" + b"x" * 5000 + b"\r\nContent-Length: 0\r\n\r\n"
    with SocketServer(answer(reason)) as server, pytest.raises(errors.HttpRefused) as caught:
        fetcher.fetch(server.url)
    assert str(caught.value).endswith("answered 404 Not Found")


def test_a_connection_that_is_refused_is_worth_another_try(fetcher: HttpFetcher) -> None:
    with pytest.raises(errors.ConnectionFailed, match="refused"):
        fetcher.fetch("http://127.0.0.1:1/a.jpg?sig=secret")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
    ],
)
def test_loopback_in_any_spelling_is_blocked_by_default(url: str) -> None:
    fetcher = fetcher_with(Guard((range(80, 81),), ()))
    with pytest.raises(errors.BlockedAddress):
        fetcher.fetch(url)


def test_a_redirect_to_a_blocked_address_is_blocked(images: ImageServer) -> None:
    guard = Guard(ANY_PORT, (ipaddress.ip_network("127.0.0.1/32"),))
    url = images.add("/start", Answer(status=302, headers={"Location": "http://127.0.0.2/"}))
    with pytest.raises(errors.BlockedAddress, match=r"127\.0\.0\.2"):
        fetcher_with(guard).fetch(url)


def test_other_ports_are_blocked(images: ImageServer) -> None:
    with pytest.raises(errors.BlockedAddress, match="CLIPQUEUE_FETCH_PORTS"):
        fetcher_with(Guard((range(80, 81),), LOOPBACK)).fetch(images.add("/a", b"x"))


def resolving(*addresses: str) -> Callable[[str, int], Any]:
    """Return a name lookup that answers with these addresses, whatever the name."""
    return lambda _, port: [found for address in addresses for found in system_resolve(address, port)]


def test_one_blocked_address_among_several_blocks_the_host(images: ImageServer) -> None:
    guard = Guard(ANY_PORT, LOOPBACK, resolving("127.0.0.1", "10.0.0.1"))
    port = images.url.rpartition(":")[2]
    with pytest.raises(errors.BlockedAddress, match=r"10\.0\.0\.1"):
        fetcher_with(guard).fetch(f"http://images.test:{port}/")


def test_the_checked_address_is_the_one_connected_to(images: ImageServer) -> None:
    """A name server that changes its answer is asked once; the Host header keeps the name."""
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Any:
        asked.append(host)
        return system_resolve("127.0.0.1" if len(asked) == 1 else "10.0.0.1", port)

    images.add("/a.jpg", b"image")
    port = images.url.rpartition(":")[2]
    fetcher = fetcher_with(Guard(ANY_PORT, LOOPBACK, rebinding))
    assert fetcher.fetch(f"http://images.test:{port}/a.jpg") == b"image"
    assert asked == ["images.test"]
    assert images.requests[0]["Host"] == f"images.test:{port}"


def test_the_next_address_is_tried_when_one_refuses(images: ImageServer) -> None:
    images.add("/a.jpg", b"image")
    port = images.url.rpartition(":")[2]
    guard = Guard(ANY_PORT, LOOPBACK, resolving("127.0.0.9", "127.0.0.1"))  # the server listens on the second only
    assert fetcher_with(guard).fetch(f"http://images.test:{port}/a.jpg") == b"image"


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), errors.UnknownHost),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), errors.DnsFailure),
        (UnicodeError("label empty or too long"), errors.UnknownHost),
    ],
)
def test_a_name_that_does_not_exist_is_not_a_name_server_that_is_away(
    failure: Exception, error: type[errors.JobError]
) -> None:
    def resolve(_host: str, _port: int) -> Any:
        raise failure

    with pytest.raises(error, match=r"images\.test"):
        fetcher_with(Guard(ANY_PORT, (), resolve)).fetch("http://images.test/")


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A certificate authority that requests trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "ca.pem"))
    return authority


TLS_GUARD = Guard(ANY_PORT, LOOPBACK, resolving("127.0.0.1"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage"


def test_https_checks_the_certificate_against_the_name(authority: trustme.CA) -> None:
    """The connection goes to the checked address; SNI and certificate are still those of the name."""
    fetcher = fetcher_with(TLS_GUARD)
    with SocketServer(answer(OK), tls_context(authority, "images.test")) as server:
        assert fetcher.fetch(f"https://images.test:{server.port}/") == b"image"
        with pytest.raises(errors.ConnectionFailed, match="certificate"):
            fetcher.fetch(f"https://other.test:{server.port}/")


@pytest.mark.parametrize(
    "parts",
    [[OK[:20], *[b"x"] * 50], [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *[b"x"] * 50]],
    ids=["headers drip", "body drips"],
)
def test_a_slow_server_is_given_up_over_tls_too(parts: list[bytes], authority: trustme.CA) -> None:
    fetcher = fetcher_with(TLS_GUARD)
    context = tls_context(authority, "images.test")
    with SocketServer(answer(*parts, pause_s=0.1), context) as server, pytest.raises(errors.FetchTimeout):
        fetcher.fetch(f"https://images.test:{server.port}/")


def test_a_handshake_that_never_ends_is_given_up() -> None:
    record = [b"\x16\x03\x03\x40\x00", *[b"\x02"] * 50]  # a handshake record of 16 KB, byte by byte
    with SocketServer(answer(*record, pause_s=0.1)) as server, pytest.raises(errors.FetchTimeout):
        fetcher_with(TLS_GUARD).fetch(f"https://images.test:{server.port}/")


def test_a_redirect_from_https_to_http_is_refused(authority: trustme.CA) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://images.test/\r\nContent-Length: 0\r\n\r\n"
    fetcher = fetcher_with(TLS_GUARD)
    with (
        SocketServer(answer(moved), tls_context(authority, "images.test")) as server,
        pytest.raises(errors.BadRedirect, match="https to http"),
    ):
        fetcher.fetch(f"https://images.test:{server.port}/")


def test_a_name_server_that_hangs_is_given_up() -> None:
    """The lookup has no timeout of its own."""
    release = threading.Event()

    def hang(host: str, port: int) -> Any:
        release.wait(30)
        return system_resolve(host, port)

    fetcher = fetcher_with(Guard(ANY_PORT, LOOPBACK, ThreadedResolver(1, 0.3, hang)))
    try:
        with pytest.raises((errors.FetchTimeout, errors.DnsFailure)):
            fetcher.fetch("http://images.test/")
        assert not release.is_set()
    finally:
        release.set()


def test_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, fetcher: HttpFetcher, images: ImageServer
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert fetcher.fetch(images.add("/a.jpg", b"image")) == b"image"


@pytest.mark.parametrize("status", [404, 503, 302])
def test_no_message_contains_the_query(status: int, fetcher: HttpFetcher, images: ImageServer) -> None:
    url = images.add("/a.jpg", Answer(b"", status, {"Location": "gopher://x/?sig=secret"} if status == 302 else {}))
    with pytest.raises(errors.JobError) as caught:
        fetcher.fetch(url + "?sig=secret")
    assert "secret" not in str(caught.value)


def test_a_redirect_from_https_to_http_is_followed_where_the_operator_says_so(
    authority: trustme.CA, images: ImageServer
) -> None:
    moved = f"HTTP/1.1 302 Found\r\nLocation: {images.add('/a.jpg', b'image')}\r\nContent-Length: 0\r\n\r\n"
    fetcher = fetcher_with(TLS_GUARD, allow_downgrade=True)
    with SocketServer(answer(moved.encode()), tls_context(authority, "images.test")) as server:
        assert fetcher.fetch(f"https://images.test:{server.port}/") == b"image"


def test_the_user_agent_is_what_the_operator_says(images: ImageServer) -> None:
    fetcher_with(LOCAL_GUARD, user_agent="PixFind (ops@example.com)").fetch(images.add("/a.jpg", b"x"))
    assert images.requests[0]["User-Agent"] == "PixFind (ops@example.com)"


def test_a_host_that_is_busy_gives_the_job_back_and_others_go_on(images: ImageServer) -> None:
    """One download holds the only slot of its host; another host has its own."""
    release, arrived = threading.Event(), threading.Event()

    def hold(connection: socket.socket) -> None:
        connection.recv(65_536)
        arrived.set()
        release.wait(10)
        connection.sendall(OK)

    fetcher = fetcher_with(LOCAL_GUARD, per_host=1, total_s=10.0, read_s=10.0)
    with SocketServer(hold) as server:
        first = threading.Thread(target=fetcher.fetch, args=(server.url,))
        first.start()
        assert arrived.wait(10)
        with pytest.raises(errors.HostBusy, match="CLIPQUEUE_FETCH_PER_HOST"):
            fetcher.fetch(server.url)
        assert fetcher.fetch(images.add("/a.jpg", b"image")) == b"image"
        release.set()
        first.join()
        assert fetcher.fetch(server.url) == b"image"


def test_an_egress_proxy_gets_every_request_and_looks_the_names_up(authority: trustme.CA) -> None:
    """The worker itself looks up the proxy alone: no name server knows images.test."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> Any:
        asked.append(host)
        return system_resolve(host, port)

    with (
        SocketServer(answer(OK), tls_context(authority, "images.test")) as server,
        closing(Proxy({"images.test": server.port}, b"plain")) as proxy,
    ):
        url = proxy.url.replace("http://", "http://user:pass%40word@")
        with closing(fetcher_with(Guard((range(80, 81), range(443, 444)), (), resolve), url)) as fetcher:
            assert fetcher.fetch("https://images.test/a.jpg?sig=1") == b"image"
            assert fetcher.fetch("http://images.test/a.jpg?sig=1") == b"plain"
    assert asked
    assert set(asked) == {"127.0.0.1"}
    authorization = "Basic dXNlcjpwYXNzQHdvcmQ="
    assert [(line.rpartition(" ")[0], header) for line, header in proxy.seen] == [
        ("CONNECT images.test:443", authorization),
        ("GET http://images.test/a.jpg?sig=1", authorization),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1./",
        "http://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/",
        "http://localhost/",
        "https://a.LocalHost./",
        "https://images.test:22/",
        "https://refused-by-the-proxy.test/",
    ],
)
def test_what_an_egress_proxy_may_not_be_asked_for(url: str) -> None:
    with closing(Proxy({})) as proxy, pytest.raises(errors.BlockedAddress):
        fetcher_with(Guard((range(80, 81), range(443, 444)), ()), proxy.url).fetch(url)
    assert not [line for line, _ in proxy.seen if "refused-by" not in line]


def test_an_egress_proxy_that_is_slow_or_away_is_a_transient_error() -> None:
    drips = answer(b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 50, pause_s=0.1)
    with SocketServer(drips) as server, pytest.raises(errors.FetchTimeout):
        fetcher_with(LOCAL_GUARD, server.url).fetch("https://images.test:443/")
    with pytest.raises(errors.ConnectionFailed):
        fetcher_with(LOCAL_GUARD, "http://127.0.0.1:1").fetch("https://images.test/")


def test_a_redirect_seen_through_an_egress_proxy_is_checked_anew(authority: trustme.CA) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
    with (
        SocketServer(answer(moved), tls_context(authority, "images.test")) as server,
        closing(Proxy({"images.test": server.port})) as proxy,
        closing(fetcher_with(Guard((range(443, 444),), ()), proxy.url)) as fetcher,
        pytest.raises(errors.BlockedAddress),
    ):
        fetcher.fetch("https://images.test/")


def test_a_deadline_cuts_no_connection_that_another_download_has_taken_over() -> None:
    """Read to its end, a connection goes on to the next download before the last one's deadline is called off."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.2) as first, Deadline(30) as second:
        first.watch(ours)
        second.watch(ours)
        while not first.expired:
            time.sleep(0.02)
        time.sleep(0.1)
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_a_proxy_whose_name_is_away_fails_no_job_for_good() -> None:
    with pytest.raises(errors.ConnectionFailed, match="egress proxy"):
        fetcher_with(LOCAL_GUARD, "http://no-such-proxy.invalid:3128").fetch("https://images.test/")


def test_a_redirect_quotes_no_password() -> None:
    moved = "HTTP/1.1 302 Found\r\nLocation: http://user:hunter2\N{ACCOUNT OF}@h/\r\nContent-Length: 0\r\n\r\n"
    with SocketServer(answer(moved.encode())) as server, pytest.raises(errors.BadRedirect) as caught:
        fetcher_with(LOCAL_GUARD).fetch(server.url)
    assert "hunter2" not in str(caught.value)


def test_a_host_is_one_in_every_spelling() -> None:
    urls = ["http://Images.Test/a", "http://images.test./b", "http://images.test:80/c", "http://images.test:080/d"]
    assert {_host_of(url) for url in urls} == {"images.test:80"}
    assert _host_of("https://images.test/") == "images.test:443"
