"""Which bytes are taken from a response: its content codings, its type, and its status.

What Chromium 156 shows in an `<img>` for the same response stands beside each row in which it differs.
"""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING

import pytest

from tests.support.pictures import small_jpeg
from tests.support.servers import SocketServer
from tests.worker.fetch.conftest import serve
from worker import errors
from worker.fetch.codings import Codings

if TYPE_CHECKING:
    import socket

    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.deadline import Deadline, DownloadWatchdog
    from worker.fetch.fetcher import HttpFetcher

PICTURE = small_jpeg()
ZIPPED = gzip.compress(PICTURE)
BMP = b"BM" + bytes(12) + b"\x28\0\0\0" + bytes(60)
WEB_PAGE = b"<!doctype html><title>Log in</title>"
# A gzip header with each optional part (RFC 1952, section 2.3.1).
FULL_HEADER = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x03\0abc" + b"a.jpg\0" + b"a comment\0" + b"\0\0"
RAW = zlib.compress(PICTURE, wbits=-15)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def coded(coding: str, body: bytes) -> bytes:
    return answer(body, f"Content-Encoding: {coding}")


@pytest.mark.parametrize(
    "coding",
    [
        "aws-chunked",
        "UTF-8",
        "none",
        "binary",
        "image/png",
        "",
        "identity",
        ",,",
        "x" * 1000,
        "\xff",
        "gzipped",
        "GZIP-",
    ],
)
def test_a_coding_that_does_not_exist_is_ignored(coding: str, fetcher: HttpFetcher) -> None:
    with SocketServer(serve(coded(coding, PICTURE))) as server:
        assert fetcher.fetch(server.url) == PICTURE


@pytest.mark.parametrize(
    "response",
    [
        coded("gzip", ZIPPED),
        coded("X-GZip", ZIPPED),
        coded("deflate", zlib.compress(PICTURE)),
        coded("deflate", RAW),
        coded("gzip, gzip", gzip.compress(ZIPPED)),
        answer(gzip.compress(ZIPPED), "Content-Encoding: gzip", "Content-Encoding: gzip"),
        coded("deflate, gzip", gzip.compress(zlib.compress(PICTURE))),
        coded("gzip", ZIPPED + b"more"),
        coded("gzip", ZIPPED + bytes(100)),
        coded("gzip", ZIPPED[:-8]),
        coded("gzip", ZIPPED[:-4]),
        coded("gzip", ZIPPED[:-8] + bytes(8)),
        coded("gzip", FULL_HEADER + RAW + bytes(8)),
        # Chromium: an error in each of these.
        coded("gzip, identity", ZIPPED),
        coded("identity,gzip", ZIPPED),
        coded("aws-chunked,gzip", ZIPPED),
        coded("gzip,aws-chunked", ZIPPED),
        coded("gzip,,", ZIPPED),
        coded("gzip;q=1", ZIPPED),
        coded("gzip", gzip.compress(PICTURE[:500]) + gzip.compress(PICTURE[500:])),
        coded("gzip", gzip.compress(b"") * 99 + ZIPPED),
        coded("deflate", ZIPPED),
        coded("gzip", zlib.compress(PICTURE)),
    ],
    ids=[
        *("gzip", "x-gzip", "zlib", "raw deflate", "gzip twice", "two lines", "deflate in gzip", "bytes after the end"),
        *("zeros after the end", "no trailer", "half a trailer", "wrong checksum", "each part of a header"),
        *("identity last", "identity first", "unknown first", "unknown last", "empty names", "a parameter"),
        *("two members", "empty members", "gzip called deflate", "zlib called gzip"),
    ],
)
def test_gzip_and_deflate_are_undone(response: bytes, fetcher: HttpFetcher) -> None:
    with SocketServer(serve(response)) as server:
        assert fetcher.fetch(server.url) == PICTURE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "compress", "aws-chunked,gzip", "gzip, br"])
@pytest.mark.parametrize("picture", [PICTURE, b"\x89PNG\r\n\x1a\n" + bytes(50), b"RIFF\1\0\0\0WEBPVP8 ", BMP])
def test_an_image_that_was_not_coded_is_an_image(coding: str, picture: bytes, fetcher: HttpFetcher) -> None:
    """Chromium: an error, unless a name in the list is unknown."""
    with SocketServer(serve(coded(coding, picture))) as server:
        assert fetcher.fetch(server.url) == picture


def test_a_coding_announced_twice_and_applied_once_is_undone(fetcher: HttpFetcher) -> None:
    with SocketServer(serve(coded("gzip, gzip", ZIPPED))) as server:
        assert fetcher.fetch(server.url) == PICTURE


@pytest.mark.parametrize(
    ("coding", "body", "message"),
    [
        ("br", b"\x0b\x02\x80text\x03", "content coding br,"),
        ("gzip, zstd", b"\x28\xb5\x2f\xfd" + bytes(9), "content coding zstd,"),
        ("br, gzip", gzip.compress(b"\x0b\x02\x80text\x03"), "content coding br,"),
        ("gzip", b"not gzip", "does not match"),
        ("gzip", ZIPPED[:-40], "does not match"),
        ("gzip", ZIPPED[:5], "does not match"),
        ("gzip", FULL_HEADER[:20], "does not match"),
        ("deflate", zlib.compress(PICTURE)[:-40], "does not match"),
        ("gzip, " * 6, ZIPPED, "more than 5"),
    ],
    # Zipped bytes contain the time, so xdist's processes would collect tests of different names.
    ids=lambda value: "body" if isinstance(value, bytes) else value,
)
def test_a_body_that_cannot_be_undone_is_refused(coding: str, body: bytes, message: str, fetcher: HttpFetcher) -> None:
    with (
        SocketServer(serve(coded(coding, body))) as server,
        pytest.raises(errors.BadEncoding, match=message),
    ):
        fetcher.fetch(server.url)


def test_an_unregistered_name_is_not_repeated(fetcher: HttpFetcher) -> None:
    with SocketServer(serve(coded("secret, gzip", b"x"))) as server, pytest.raises(errors.BadEncoding) as caught:
        fetcher.fetch(server.url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("coding", ["gzip", "gzip, gzip", "deflate", "gzip, deflate"])
def test_decompressed_content_is_limited(coding: str, fetcher: HttpFetcher) -> None:
    bomb = bytes(10_000_000)
    for name in coding.split(", "):
        bomb = gzip.compress(bomb, 1) if name == "gzip" else zlib.compress(bomb, 1)
    with SocketServer(serve(coded(coding, bomb))) as server, pytest.raises(errors.TooManyBytes):
        fetcher.fetch(server.url)


def test_members_together_are_limited(fetcher: HttpFetcher) -> None:
    with (
        SocketServer(serve(coded("gzip", gzip.compress(bytes(60_000)) * 2))) as server,
        pytest.raises(errors.TooManyBytes),
    ):
        fetcher.fetch(server.url)


def test_the_deadline_limits_decompression(watchdog: DownloadWatchdog) -> None:
    with watchdog.limit(0), pytest.raises(errors.FetchTimeout):
        Codings("gzip", "x").undo(ZIPPED, 100_000)


def test_at_most_a_thousand_members_are_read(deadline: Deadline) -> None:
    """Without this limit, 20 MB of empty members would take eight seconds of CPU time."""
    empty = gzip.compress(b"")
    assert Codings("gzip", "x").undo(empty * 999 + ZIPPED, 100_000) == PICTURE
    assert Codings("gzip", "x").undo(empty * 1000 + ZIPPED, 100_000) == b""


TYPES = [
    *("text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml", "text/plain", "application/json", "text/css"),
    *("application/octet-stream", "video/mp4", "image/svg+xml", "image/png", "binary/octet-stream", "nonsense", ""),
]


@pytest.mark.parametrize("headers", [(), ("X-Content-Type-Options: nosniff",), ("Content-Encoding: gzip",)])
@pytest.mark.parametrize("media_type", TYPES)
def test_an_image_of_any_type_is_an_image(media_type: str, headers: tuple[str, ...], fetcher: HttpFetcher) -> None:
    """Chromium: an error only for image/svg+xml."""
    body = ZIPPED if "Content-Encoding: gzip" in headers else PICTURE
    response = answer(body, *headers, *([f"Content-Type: {media_type}"] if media_type else []))
    with SocketServer(serve(response)) as server:
        assert fetcher.fetch(server.url) == PICTURE


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        *((media_type, WEB_PAGE) for media_type in TYPES),
        ("image/png", b"\xef\xbb\xbf\r\n\t<HTML>"),
        ("image/png", b"<!-- a comment -->\n<html>"),
        ("image/png", b"<meta charset=utf-8>"),
        ("text/html", b"Please log in."),
        ("text/html; charset=utf-8", b"BMW builds cars, and says so here."),
        ("application/xhtml+xml", b"<?xml version='1.0'?><p/>"),
    ],
)
@pytest.mark.parametrize("is_coded", [False, True])
def test_a_web_page_of_any_type_is_a_web_page(
    media_type: str, body: bytes, is_coded: bool, fetcher: HttpFetcher
) -> None:
    headers = ("Content-Encoding: gzip",) if is_coded else ()
    response = answer(gzip.compress(body) if is_coded else body, *headers, f"Content-Type: {media_type}")
    with SocketServer(serve(response)) as server, pytest.raises(errors.HtmlPage, match="a web page"):
        fetcher.fetch(server.url)


@pytest.mark.parametrize("is_coded", [False, True])
def test_a_web_page_is_not_downloaded_whole(is_coded: bool, make_fetcher: MakeFetcher) -> None:
    """The server never ends the page, so only its start can have been read."""
    page = WEB_PAGE + os.urandom(5000)
    compressor = zlib.compressobj(wbits=31)
    start = compressor.compress(page) + compressor.flush(zlib.Z_SYNC_FLUSH) if is_coded else page
    headers = "Content-Length: 20000000\r\n" + ("Content-Encoding: gzip\r\n" if is_coded else "")

    def endless(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode() + start)
        connection.recv(1)  # until the client closes

    with SocketServer(endless) as server, pytest.raises(errors.HtmlPage):
        make_fetcher(max_bytes=20_000_000).fetch(server.url)


@pytest.mark.parametrize("media_type", ["text/html", "image/png"])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_body_of_any_type_may_be_empty(media_type: str, coding: str, fetcher: HttpFetcher) -> None:
    response = answer(b"", f"Content-Type: {media_type}", f"Content-Encoding: {coding}")
    with SocketServer(serve(response)) as server, pytest.raises(errors.EmptyBody):
        fetcher.fetch(server.url)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK", ("Content-Range: bytes 5-100/200",)),  # has a meaning only with 206 and 416
        ("200 OK", ("Location: /other",)),
        ("200 OK", ("Refresh: 0; url=/other",)),
        ("200 OK", ("Content-Disposition: attachment; filename=a.zip",)),
        ("201 Created", ("Location: /other",)),
        ("202 Accepted", ()),
        ("203 Non-Authoritative Information", ()),
        ("206 Partial Content", ()),
        ("206 Partial Content", (f"Content-Range: bytes 0-{len(PICTURE) - 1}/{len(PICTURE)}",)),
        ("206 Partial Content", (f"Content-Range: bytes 0-{len(PICTURE) - 1}/*",)),
        ("206 Partial Content", ("Content-Range: nonsense",)),
        ("226 IM Used", ()),
        ("299 x", ()),
    ],
)
def test_a_status_of_success_with_an_image_is_an_image(
    status: str, headers: tuple[str, ...], fetcher: HttpFetcher
) -> None:
    with SocketServer(serve(answer(PICTURE, *headers, status=status))) as server:
        assert fetcher.fetch(server.url) == PICTURE


@pytest.mark.parametrize(
    ("status", "headers", "code"),
    [
        ("200 OK", ("Location: /other",), "empty_body"),
        ("200 OK", ("Refresh: 0; url=/other",), "empty_body"),
        ("201 Created", ("Location: /other",), "empty_body"),
        ("204 No Content", ("Location: /other",), "empty_body"),
        ("205 Reset Content", (), "empty_body"),
        ("206 Partial Content", (), "empty_body"),
        ("300 Multiple Choices", ("Location: /other",), "http_300"),
        ("304 Not Modified", ("Location: /other",), "http_304"),
        ("305 Use Proxy", ("Location: http://127.0.0.1:1/",), "http_305"),
        ("306 x", ("Location: /other",), "http_306"),
    ],
)
def test_only_the_five_statuses_of_a_redirect_lead_elsewhere(
    status: str, headers: tuple[str, ...], code: str, fetcher: HttpFetcher
) -> None:
    """As in Chromium."""
    with SocketServer(serve(answer(b"", *headers, status=status))) as server, pytest.raises(errors.JobError) as caught:
        fetcher.fetch(server.url)
    assert caught.value.code == code


@pytest.mark.parametrize("content_range", ["bytes 0-599/10000", "bytes 100-699/700", "BYTES 1-600/*"])
def test_a_part_of_an_image_that_no_one_asked_for_is_refused(content_range: str, fetcher: HttpFetcher) -> None:
    response = answer(PICTURE[:600], f"Content-Range: {content_range}", status="206 Partial Content")
    with SocketServer(serve(response)) as server, pytest.raises(errors.HttpRefused, match="a part") as caught:
        fetcher.fetch(server.url)
    assert caught.value.code == "http_206"


@pytest.mark.parametrize("status", ["302 Found", "404 Not Found", "410 Gone", "500 x", "503 x"])
def test_the_image_of_an_error_is_not_taken(status: str, fetcher: HttpFetcher) -> None:
    """A browser shows it, but it is a placeholder, and its vector would say nothing about the image."""
    with SocketServer(serve(answer(PICTURE, status=status))) as server, pytest.raises(errors.JobError) as caught:
        fetcher.fetch(server.url)
    assert caught.value.code == f"http_{status[:3]}"
