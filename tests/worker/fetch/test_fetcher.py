"""What a download sends, which body it returns, and which error each response causes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import Answer, SocketServer
from tests.worker.fetch.conftest import serve
from worker import errors

if TYPE_CHECKING:
    from tests.support.servers import ImageServer
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher


def test_the_whole_body_is_returned(fetcher: HttpFetcher, images: ImageServer) -> None:
    body = bytes(range(256)) * 300
    assert fetcher.fetch(images.add("/a.jpg", body)) == body


def test_requests_ask_for_an_uncompressed_image_and_name_the_user_agent(
    fetcher: HttpFetcher, images: ImageServer
) -> None:
    fetcher.fetch(images.add("/a.jpg", b"x"))
    (headers,) = images.requests
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("clipqueue/")
    assert not {"Cookie", "Authorization"} & set(headers)


def test_the_operator_can_set_the_user_agent(make_fetcher: MakeFetcher, images: ImageServer) -> None:
    make_fetcher(user_agent="PixFind (ops@example.com)").fetch(images.add("/a.jpg", b"x"))
    assert images.requests[0]["User-Agent"] == "PixFind (ops@example.com)"


def test_proxies_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, fetcher: HttpFetcher, images: ImageServer
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert fetcher.fetch(images.add("/a.jpg", b"image")) == b"image"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, errors.HttpRefused, "http_400"),
        (401, errors.HttpRefused, "http_401"),
        (404, errors.HttpRefused, "http_404"),
        (410, errors.HttpRefused, "http_410"),
        (304, errors.HttpRefused, "http_304"),
        (302, errors.HttpRefused, "http_302"),  # without a Location header
        (408, errors.HttpUnavailable, "http_408"),
        (425, errors.HttpUnavailable, "http_425"),
        (429, errors.HttpUnavailable, "http_429"),
        (500, errors.HttpUnavailable, "http_500"),
        (503, errors.HttpUnavailable, "http_503"),
    ],
)
def test_an_error_status_raises_an_error_with_its_number(
    status: int, error: type[errors.JobError], code: str, fetcher: HttpFetcher, images: ImageServer
) -> None:
    with pytest.raises(error, match=str(status)) as caught:
        fetcher.fetch(images.add("/a.jpg", Answer(b"", status)))
    assert (caught.value.code, caught.value.stage) == (code, "fetch")


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
    ids=["announced", "huge length", "length of 5,000 digits", "chunked", "no length", "gzip bomb"],
)
def test_a_body_above_the_limit_is_refused(headers: str, body: bytes, fetcher: HttpFetcher) -> None:
    head = f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode()
    with SocketServer(serve(head, body)) as server, pytest.raises(errors.TooManyBytes, match="100000"):
        fetcher.fetch(server.url)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", errors.EmptyBody),
        (b"HTTP/1.1 204 No Content\r\n\r\n", errors.EmptyBody),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", errors.ConnectionFailed),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", errors.ConnectionFailed),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", errors.BadEncoding),
        (b"\x00\x01garbage\r\n\r\n", errors.ConnectionFailed),
        (b"", errors.ConnectionFailed),
    ],
    ids=["empty", "204", "short", "bad chunk", "bad gzip", "not HTTP", "closed at once"],
)
def test_a_broken_response_raises_its_error(
    response: bytes, error: type[errors.JobError], fetcher: HttpFetcher
) -> None:
    with SocketServer(serve(response)) as server, pytest.raises(error):
        fetcher.fetch(server.url)


@pytest.mark.parametrize("url", ["http://*.example.com/", "http://.example.com/x", "http://%zz/", "http://./x"])
def test_an_invalid_host_is_a_permanent_error(url: str, fetcher: HttpFetcher) -> None:
    with pytest.raises((errors.BadUrl, errors.UnknownHost)):
        fetcher.fetch(url)


def test_a_refused_connection_is_a_transient_error(fetcher: HttpFetcher) -> None:
    with pytest.raises(errors.ConnectionFailed, match="refused"):
        fetcher.fetch("http://127.0.0.1:1/a.jpg?sig=secret")


def test_error_messages_do_not_repeat_the_servers_reason_phrase(fetcher: HttpFetcher) -> None:
    reason = b"HTTP/1.1 404 \x1b[31m" + b"x" * 5000 + b"\r\nContent-Length: 0\r\n\r\n"
    with SocketServer(serve(reason)) as server, pytest.raises(errors.HttpRefused) as caught:
        fetcher.fetch(server.url)
    assert str(caught.value).endswith("answered 404 Not Found")


@pytest.mark.parametrize("status", [404, 503, 302])
def test_error_messages_do_not_contain_the_query(status: int, fetcher: HttpFetcher, images: ImageServer) -> None:
    url = images.add("/a.jpg", Answer(b"", status, {"Location": "gopher://x/?sig=secret"} if status == 302 else {}))
    with pytest.raises(errors.JobError) as caught:
        fetcher.fetch(url + "?sig=secret")
    assert "secret" not in str(caught.value)
