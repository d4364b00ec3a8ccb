"""Cookies that redirects set: which come back, where, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers import Answer, SocketServer, tls_context
from tests.worker.fetch.conftest import NAMED_GUARD, OK, serve
from worker import errors
from worker.fetch.cookies import Cookies
from worker.fetch.target import parse_target

if TYPE_CHECKING:
    import socket

    import trustme

    from tests.support.servers import ImageServer
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher

URL = "https://cdn.test/photos/2026/a.jpg"


def sent(*lines: str, url: str = URL, then: str = URL) -> str:
    """Return the Cookie header for `then`, after `url` has set cookies."""
    cookies = Cookies()
    cookies.keep(parse_target(url), lines)
    return cookies.header(parse_target(then))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=1", "a=1"),
        ("a=1; Path=/; Secure; HttpOnly; SameSite=Strict; Priority=High", "a=1"),
        (" a = 1 2 ;path=/", "a=1 2"),
        ('a="x,y"', 'a="x,y"'),
        ("a=b=c", "a=b=c"),
        ("a=", "a="),
        ("alone", "alone"),
        ("=alone", "alone"),
        ("a=\xe9", "a=\xe9"),
        ("a=1; Domain=cdn.test", "a=1"),
        ("a=1; Domain=.CDN.test", "a=1"),
        ("a=1; Domain=test", "a=1"),
        ("a=1; Domain=", "a=1"),
        ("a=1" + "; x" * 15 + "; Path=/other", ""),
        ("a=1" + "; x" * 16 + "; Path=/other", "a=1"),
        ("a=1; Domain=other.test", ""),
        ("a=1; Domain=images.cdn.test", ""),
        ("a=1; Domain=n.test", ""),
        ("a=1; Path=/photos", "a=1"),
        ("a=1; Path=/photos/", "a=1"),
        ("a=1; Path=/photo", ""),
        ("a=1; Path=/other", ""),
        ("a=1; Path=relative", "a=1"),
        ("a=1; Path=/photos/2026/a.jpg", "a=1"),
        ("a=1; Max-Age=60", "a=1"),
        ("a=1; Max-Age=0", ""),
        ("a=1; Max-Age=-1", ""),
        ("a=1; Max-Age=soon", "a=1"),
        ("a=1; Max-Age=" + "9" * 5000, "a=1"),
        ("a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=1"),
        ("a=1; Expires=Thu, 01-Jan-1970 00:00:01 GMT", ""),
        ("a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", "a=1"),
        ("a=1; Expires=never", "a=1"),
        ("a=1; Expires=Wed, 21 Oct 99999999999 07:28:00 GMT", "a=1"),
        ("", ""),
        ("=", ""),
        ("; a=1", ""),
        ("a=1\x00", ""),
        ("a=1\r\nX: y", ""),
        ("a=" + "1" * 4096, ""),
        ("a=1; Path=/" + "x" * 9000, ""),
    ],
)
def test_a_cookie_comes_back_as_from_a_browser(line: str, expected: str) -> None:
    assert sent(line) == expected


@pytest.mark.parametrize(
    ("url", "then", "expected"),
    [
        (URL, "https://cdn.test/photos/2026/b.jpg?x=1", "a=1"),
        (URL, "https://CDN.test./photos/2026/", "a=1"),
        (URL, "https://cdn.test:8443/photos/2026/b.jpg", "a=1"),  # a port isolates nothing (RFC 6265, section 8.5)
        (URL, "http://cdn.test/photos/2026/b.jpg", "a=1"),
        (URL, "https://cdn.test/photos/", ""),
        (URL, "https://cdn.test/", ""),
        ("https://cdn.test", "https://cdn.test/any", "a=1"),
        (URL, "https://images.cdn.test/photos/2026/a.jpg", ""),
        (URL, "https://test/photos/2026/a.jpg", ""),
        (URL, "https://other.test/photos/2026/a.jpg", ""),
    ],
)
def test_a_cookie_goes_to_its_host_and_path_only(url: str, then: str, expected: str) -> None:
    assert sent("a=1", url=url, then=then) == expected
    assert sent("a=1; Domain=test", url=url, then=then) == expected


def test_a_secure_cookie_needs_https() -> None:
    plain = URL.replace("https", "http")
    assert sent("a=1; Secure", url=URL, then=plain) == ""
    assert sent("a=1; Secure", url=plain, then=URL) == ""


def test_a_later_cookie_replaces_the_earlier_one_and_longer_paths_come_first() -> None:
    assert sent("a=1; Path=/", "b=1", "a=2; Path=/") == "b=1; a=2"
    assert sent("a=1", "a=; Max-Age=0") == ""


def test_cookies_are_limited_in_number_and_size() -> None:
    assert sent(*[f"c{number}=x" for number in range(100)]).count("=") == 50
    assert len(sent(*[f"c{number}={'x' * 3000}" for number in range(100)])) <= 8000
    cookies = Cookies()
    target = parse_target(URL)
    cookies.keep(target, [f"c{number}=x" for number in range(100)])
    cookies.keep(target, ["c0=new"])
    assert "c0=new" in cookies.header(target)


def test_a_server_that_wants_its_cookie_back_gets_it(fetcher: HttpFetcher, images: ImageServer) -> None:
    """Without its cookie, the server would redirect to the same URL again."""
    seen = Answer(status=302, headers={"Location": "/a.jpg", "Set-Cookie": "seen=1; Path=/"})
    url = images.add("/a.jpg", seen, b"image")
    assert fetcher.fetch(url) == b"image"
    assert [request.get("Cookie") for request in images.requests] == [None, "seen=1"]


@pytest.mark.parametrize("cookie", ["\xa0a=1", "\x85alone", "a=\xe9"])
def test_a_cookie_in_latin_1_comes_back(cookie: str, fetcher: HttpFetcher, images: ImageServer) -> None:
    url = images.add("/a.jpg", Answer(status=302, headers={"Location": "/a.jpg", "Set-Cookie": cookie}), b"image")
    assert fetcher.fetch(url) == b"image"
    assert images.requests[1]["Cookie"] == cookie


def test_cookies_end_with_their_download(fetcher: HttpFetcher, images: ImageServer) -> None:
    """The second download uses the same connection and the same URL."""
    images.add("/end.jpg", b"image")
    url = images.add("/a.jpg", Answer(status=302, headers={"Location": "/end.jpg", "Set-Cookie": "a=1; Path=/"}))
    fetcher.fetch(url)
    fetcher.fetch(url)
    assert [request.get("Cookie") for request in images.requests] == [None, "a=1", None, "a=1"]


def test_each_set_cookie_line_counts(fetcher: HttpFetcher) -> None:
    seen: list[bytes] = []
    cookies = b"Set-Cookie: a=1, b=2\r\nSet-Cookie: c=\xe9\r\n"
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /b\r\n" + cookies + b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    responses = iter([redirect, OK])

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(65_536))
        connection.sendall(next(responses))

    with SocketServer(answer) as server:
        assert fetcher.fetch(server.url) == b"image"
    assert b"\r\nCookie: a=1, b=2; c=\xe9\r\n" in seen[1]


def test_redirects_that_set_cookies_count_as_others_do(fetcher: HttpFetcher, images: ImageServer) -> None:
    url = images.add("/loop", Answer(status=302, headers={"Location": "/loop", "Set-Cookie": "a=1"}))
    with pytest.raises(errors.BadRedirect, match="more than 5"):
        fetcher.fetch(url)
    assert images.hits["/loop"] == 6


def test_a_cookie_does_not_follow_to_another_host(
    make_fetcher: MakeFetcher, authority: trustme.CA, images: ImageServer
) -> None:
    target = images.add("/a.jpg", b"image").replace("127.0.0.1", "other.images.test")
    moved = f"HTTP/1.1 302 x\r\nLocation: {target}\r\nSet-Cookie: a=1; Domain=images.test; Path=/\r\n\r\n"
    with SocketServer(serve(moved.encode()), tls_context(authority, "images.test")) as server:
        fetcher = make_fetcher(NAMED_GUARD, allow_downgrade=True)
        assert fetcher.fetch(f"https://images.test:{server.port}/") == b"image"
    assert "Cookie" not in images.requests[0]
