"""What the request line and the Host header say, byte for byte, and which host the guard is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.contract.errors import InvalidJob
from producer.contract.urls import check_url
from tests.support.raw_requests import RawServer
from tests.support.servers import tls_context
from tests.worker.fetch.conftest import ALL_PORTS, LOOPBACK, NAMED_GUARD, RecordingResolver, resolve_to
from worker import errors
from worker.fetch.guard import Guard
from worker.fetch.target import parse_target, resolve_location

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import trustme

    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher

# Chromium 156 sends each of these as given, except that it removes dot segments and sends `'` in a query as `%27`.
AS_GIVEN = [
    "/a%7Eb",
    "/%2D%2d%41",
    "/x%3ay%3A",
    "/[1]",
    "/%",
    "/%zz%4",
    "/a/../b",
    "/a/./b/..",
    "/a/%2e%2E/b",
    "/empty?",
    "//x//y/",
    "/q?a=%7E&b=[1]&c=%zz&&=",
    "/q?a=../b&c=./d",
    "/q?a=?/b",
    "/q?sig=a+b/c%2Bd%2fe=",
    "/s;p=1,2",
    "/@:&=+$,!*()'~",
    "/q?'`{}|^",
    "/http://other.test/a",
    "/?",
]
# What is not allowed on the wire, and how Chromium sends it.
ESCAPED = [
    ("/\xe9", "/%C3%A9"),
    ("/q?\xe9=\U0001f600", "/q?%C3%A9=%F0%9F%98%80"),
    ('/"<>`{}|^', "/%22%3C%3E%60%7B%7D%7C%5E"),
    ('/q?"<>', "/q?%22%3C%3E"),
    ("", "/"),
    ("?x=1", "/?x=1"),
    ("#f", "/"),
    ("/a?b#f?g", "/a?b"),
    ("/a#", "/a"),
]
# Location -> what is asked for next, after a request for `/l/d?y=1`. Chromium sends the same, except for `/a/../b`.
LOCATIONS = [
    (b"/%7Ea%2D[1]%", "/%7Ea%2D[1]%"),
    (b"/a/../b", "/a/../b"),
    (b"/empty?", "/empty?"),
    (b"/x\xe9y?q=\xff", "/x%E9y?q=%FF"),  # Latin-1
    (b"/\xc3\xa9?\xc3\xbc", "/%C3%A9?%C3%BC"),  # UTF-8
    (b"/a b?c d", "/a%20b?c%20d"),
    (b"?x=%7e", "/l/d?x=%7e"),
    (b"?", "/l/d?"),
    (b"/p#frag?x", "/p"),
    (b"../r/./s", "/r/s"),
    (b"../../../t", "/t"),
    (b"a%2D/b?../c", "/l/a%2D/b?../c"),
    (b".", "/l/"),
    (b"e/..", "/l/"),
    (b";p", "/l/;p"),
    (b"a:b/c", None),
    (b"./a:b/c", "/l/a:b/c"),
    (b"/a\tb", "/ab"),
    (b"\\a\\b", "/a/b"),
    (b'/"<>`{}|^?"<>`{}|^\\', "/%22%3C%3E%60%7B%7D%7C%5E?%22%3C%3E`{}|^%5C"),
    (b"  /lead  ", "/lead"),
    (b"/a\x01b\x7f", "/a%01b%7F"),
    (b"http:rel?z", "/l/rel?z"),
    (b"http:/abs", "/abs"),
    (b"///x", None),
    (b"http:///x", None),
    (b"", None),
    (b"https:rel", None),
    (b"http://\xe9.test/", None),  # a host must be UTF-8
]
# URLs that programs read differently -> the host and the port that the guard is asked about. None: it is asked about
# nothing, because the job is refused, or because no request can be made.
CONFUSING = {
    "http://127.0.0.1:80#@10.0.0.1/": ("127.0.0.1", 80),
    "http://127.0.0.1?@10.0.0.1/": ("127.0.0.1", 80),
    "http://127.0.0.1/@10.0.0.1/": ("127.0.0.1", 80),
    "http://127.0.0.1/:81@10.0.0.1": ("127.0.0.1", 80),
    "http://127.0.0.1:/x": ("127.0.0.1", 80),
    "http://127.0.0.1:0080/": ("127.0.0.1", 80),
    "HTTP://A.Test:80/": ("a.test", 80),
    "http://a.test./": ("a.test.", 80),
    "http://a..test/": ("a..test", 80),
    "http://\u212aa.test/": ("ka.test", 80),
    "http://[::FFFF:7f00:1]/": ("::ffff:7f00:1", 80),
    "http://127.0.0.1\\@10.0.0.1/": None,
    "http://127.0.0.1\\.evil.test/": None,
    "http://a@127.0.0.1@10.0.0.1/": None,
    "http://127.0.0.1:80:81/": None,
    "http://127.0.0.1 10.0.0.1/": None,
    "http://127.0.0.1\t10.0.0.1/": None,
    "http://127.0.0.1%2f@10.0.0.1/": None,
    "http://127.0.0.1%00.evil.test/": None,
    "http://[::1]@10.0.0.1/": None,
    "http://[::1].evil.test/": None,
    "http://a[::1]/": None,
    "http://[::1]:80:81/": None,
    "http://[::ffff:127.0.0.1%25x]/": None,
    "http://127.0.0.1;a=10.0.0.1/": None,
    "http://127.0.0.1,10.0.0.1/": None,
    "http://127.0.0.1&@10.0.0.1#@11.0.0.1/": None,
    "http://127.0.0.1:+80/": None,
    "http://127.0.0.1:\uff18\uff10/": None,
    "http://127\u30020\u30020\u30021/": None,
    "http://\uff11\uff12\uff17.0.0.1/": None,
    "http://a\uff0fb@10.0.0.1/": None,
    "http://b\xfccher.test\uff20evil.test/": None,
    "http\u017f://a.test/": None,
    "http://*.test/": None,
    "http://!$&'()*+,;=.test/": None,
    "http:////10.0.0.1/": None,
    "http:10.0.0.1/": None,
}


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


def after(server: RawServer, path: str) -> str:
    return server.url.rstrip("/") + path


@pytest.mark.parametrize("path", AS_GIVEN)
def test_a_target_goes_out_as_given(path: str, fetcher: HttpFetcher, server: RawServer) -> None:
    assert fetcher.fetch(after(server, path)) == b"image"
    assert server.lines == [path]


@pytest.mark.parametrize(("path", "sent"), ESCAPED)
def test_only_what_the_wire_does_not_allow_is_escaped(
    path: str, sent: str, fetcher: HttpFetcher, server: RawServer
) -> None:
    fetcher.fetch(after(server, path))
    assert server.lines == [sent]


@pytest.mark.parametrize(("location", "sent"), LOCATIONS)
def test_a_location_is_followed_as_a_browser_does(location: bytes, sent: str | None, fetcher: HttpFetcher) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with RawServer(moved) as server:
        if sent is None:
            with pytest.raises(errors.BadRedirect):
                fetcher.fetch(after(server, "/l/d?y=1"))
        else:
            assert fetcher.fetch(after(server, "/l/d?y=1")) == b"image"
        assert server.lines == ["/l/d?y=1", *([] if sent is None else [sent])]


@pytest.mark.parametrize("start", ["http://127.0.0.1:{}", "//127.0.0.1:{}", "\\\\127.0.0.1:{}", "HTTP://127.0.0.1:{}"])
def test_a_location_with_a_host_keeps_its_target(start: str, fetcher: HttpFetcher, server: RawServer) -> None:
    location = start.format(server.port) + "/%7E/../[1]?%3a#f"
    moved = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with RawServer(moved) as first:
        assert fetcher.fetch(first.url) == b"image"
    assert server.lines == ["/%7E/../[1]?%3a"]


def test_a_location_may_have_a_host_in_utf8() -> None:
    location = "//B\xfccher.test/\xfc".encode().decode("latin-1")
    url = resolve_location(parse_target("https://a.test/"), location)
    assert url == "https://B\xfccher.test/%C3%BC"
    assert parse_target(url).absolute == "https://xn--bcher-kva.test/%C3%BC"


@pytest.mark.parametrize(
    ("url", "absolute", "host"),
    [
        ("http://a.test/%7E[1]?", "http://a.test/%7E[1]?", "a.test"),
        ("http://A.Test:80/a/../b", "http://a.test/a/../b", "a.test"),
        ("http://a.test:443", "http://a.test:443/", "a.test:443"),
        ("http://a.test.:0080/", "http://a.test./", "a.test"),
        ("http://b\xfccher.test:8080/?\xe9", "http://xn--bcher-kva.test:8080/?%C3%A9", "xn--bcher-kva.test:8080"),
        ("http://[2606:4700::1111]/x", "http://[2606:4700::1111]/x", "[2606:4700::1111]"),
    ],
)
def test_a_plain_request_to_a_proxy_has_the_whole_url(
    url: str, absolute: str, host: str, make_fetcher: MakeFetcher, server: RawServer
) -> None:
    make_fetcher(Guard(ALL_PORTS, ()), server.url).fetch(url)
    assert (server.lines, server.hosts) == ([absolute], [host])


@pytest.mark.parametrize(
    ("name", "host"), [("Images.Test", "images.test"), ("b\xfccher.test", "xn--bcher-kva.test"), ("a.test.", "a.test")]
)
def test_the_host_header_is_the_name_that_is_looked_up(name: str, host: str, make_fetcher: MakeFetcher) -> None:
    resolver = RecordingResolver("127.0.0.1")
    with RawServer() as server:
        make_fetcher(Guard(ALL_PORTS, LOOPBACK, resolver)).fetch(f"http://{name}:{server.port}/")
        assert server.hosts == [f"{host}:{server.port}"]
    assert [asked.rstrip(".") for asked in resolver.names] == [host]


def test_a_target_goes_out_as_given_over_tls(make_fetcher: MakeFetcher, authority: trustme.CA) -> None:
    with RawServer(tls=tls_context(authority, "images.test")) as server:
        make_fetcher(NAMED_GUARD).fetch(f"https://images.test:{server.port}/%7E[1]/../%3a?")
        assert server.lines == ["/%7E[1]/../%3a?"]


asked: list[tuple[str, int]] = []


class RecordingGuard(Guard):
    """A guard that allows nothing, and records what it is asked."""

    def connect(self, host: str, port: int, connect_s: float, options: Any) -> socket.socket:
        asked.append((host, port))
        return super().connect(host, port, connect_s, options)


@pytest.mark.parametrize(("url", "host"), CONFUSING.items())
def test_the_guard_is_asked_about_the_host_that_every_parser_sees(
    url: str, host: tuple[str, int] | None, make_fetcher: MakeFetcher
) -> None:
    asked.clear()
    fetcher = make_fetcher(RecordingGuard(ALL_PORTS, (), resolve_to("10.9.9.9")))
    if host is None:
        with pytest.raises((InvalidJob, errors.BadUrl)):  # noqa: PT012  (either refuses)
            check_url(url)
            fetcher.fetch(url)
        with pytest.raises(ValueError):  # noqa: PT011  (also without the check of the job)
            parse_target(url)
    else:
        check_url(url)
        with pytest.raises(errors.BlockedAddress):
            fetcher.fetch(url)
        assert (urlsplit(parse_target(url).absolute).hostname, urlsplit(url).port or 80) == (host[0], 80)
    assert asked == ([] if host is None else [host])


def test_no_library_sees_the_path_and_the_query(fetcher: HttpFetcher, caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 logs the request lines that it knows."""
    with caplog.at_level("DEBUG"), RawServer() as server:
        fetcher.fetch(after(server, "/secret?sig=secret"))
    assert caplog.records
    assert "secret" not in caplog.text
