"""Jobs whose server is slow, endless, broken or malicious. A real worker runs them."""

from __future__ import annotations

import gzip
import socket
import struct
import time
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.hostile import FETCH_TOTAL_S, MAX_BYTES, SECRET
from tests.support.pictures import small_jpeg
from tests.support.servers import SocketServer, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hostile import HostileWorker, Outcome

GOOD = small_jpeg()
LATIN = "latin-1"


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode(LATIN)


def good(*headers: str) -> bytes:
    return head(f"Content-Length: {len(GOOD)}", *headers) + GOOD


def redirect(location: str, status: str = "302 Found") -> bytes:
    return head(f"Location: {location}", "Content-Length: 0", status=status)


def cookies(line: str) -> bytes:
    lines = [f"Set-Cookie: {line.format(number)}" for number in range(90)]
    return head("Location: /", "Content-Length: 0", *lines, status="302 Found")


def sends(*parts: bytes) -> Callable[[socket.socket], None]:
    """Return a handler that reads one request and sends `parts`."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        for part in parts:
            connection.sendall(part)

    return serve


def endless(start: bytes, part: bytes, pause_s: float = 0.0) -> Callable[[socket.socket], None]:
    """Return a handler that reads one request and sends `start`, then `part` until the client disconnects."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(start)
        while True:
            connection.sendall(part)
            if pause_s:
                time.sleep(pause_s)

    return serve


def silent(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


def resets(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(head("Content-Length: 1000") + b"x")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def chunked(*chunks: bytes) -> bytes:
    return head("Transfer-Encoding: chunked") + b"".join(chunks)


def bomb(coding: str, content: bytes) -> bytes:
    return head(f"Content-Encoding: {coding}", f"Content-Length: {len(content)}") + content


ZEROS = bytes(MAX_BYTES + 1)
GZIP_BOMB = gzip.compress(ZEROS, 1)
# A deflate block with its own codes and no content: 90 bits, so that zlib builds tables for every 11 bytes.
EMPTY_BLOCKS = (
    bytes.fromhex(
        "04c081000000000090ff6b100007020000000040feaf41001c080000000000f9bf060170200000000000e4ff1a04c081000000000090ff6b100007020000000040feaf41001c080000000000f9bf060170200000000000e4ff1a"
    )
    * 5000
)
DRIP_S = 0.1


@dataclass(frozen=True)
class Row:
    """What a server does, and the code with which its job must end."""

    serve: Callable[[socket.socket], None]
    code: str


def row(code: str, *parts: bytes) -> Row:
    return Row(sends(*parts), code)


# fmt: off
ROWS = {
    # Time
    "says nothing": Row(silent, "fetch_timeout"),
    "drips the status line": Row(endless(b"H", b"T", DRIP_S), "fetch_timeout"),
    "drips headers": Row(endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", DRIP_S), "fetch_timeout"),
    "drips one header": Row(endless(b"HTTP/1.1 200 OK\r\nX: ", b"y", DRIP_S), "fetch_timeout"),
    "drips the body": Row(endless(head("Content-Length: 1000"), b"x", DRIP_S), "fetch_timeout"),
    "drips a body without length": Row(endless(head(), b"x", DRIP_S), "fetch_timeout"),
    "drips chunks": Row(endless(chunked(), b"1\r\nx\r\n", DRIP_S), "fetch_timeout"),
    "drips a chunk's size": Row(endless(chunked(), b"0", DRIP_S), "fetch_timeout"),
    "drips trailers": Row(endless(chunked(b"1\r\nx\r\n0\r\n"), b"X: y\r\n", DRIP_S), "fetch_timeout"),
    "goes silent in the body": Row(endless(head("Content-Length: 1000") + b"x", b"", 0.05), "fetch_timeout"),
    "endless 100 Continue": Row(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "connection_failed"),
    "slow 100 Continue": Row(endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", DRIP_S), "fetch_timeout"),
    "endless 103 Early Hints": Row(endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"), "connection_failed"),
    "endless trailers": Row(endless(chunked(b"0\r\n"), b"X:" + b"y" * 60_000 + b"\r\n"), "connection_failed"),
    "drips a Location header": Row(endless(b"HTTP/1.1 302 Found\r\nLocation: /", b"x", DRIP_S), "fetch_timeout"),
    # Size
    "an endless body": Row(endless(head(), b"x" * 65_536), "too_many_bytes"),
    "endless chunks": Row(endless(chunked(), b"10000\r\n" + b"x" * 65_536 + b"\r\n"), "too_many_bytes"),
    "a length beyond the limit": row("too_many_bytes", head(f"Content-Length: {MAX_BYTES + 1}")),
    "a length of terabytes": row("too_many_bytes", head("Content-Length: 9999999999999")),
    "a length of 5,000 digits": row("too_many_bytes", head("Content-Length: " + "9" * 5000)),
    "a gzip bomb": row("too_many_bytes", bomb("gzip", GZIP_BOMB)),
    "a gzip bomb, chunked": row(
        "too_many_bytes", head("Transfer-Encoding: chunked", "Content-Encoding: gzip"),
        b"%x\r\n" % len(GZIP_BOMB) + GZIP_BOMB + b"\r\n0\r\n\r\n",
    ),
    "a deflate bomb": row("too_many_bytes", bomb("deflate", zlib.compress(ZEROS, 1))),
    "a raw deflate bomb": row("too_many_bytes", bomb("deflate", zlib.compress(ZEROS, 1, wbits=-15))),
    "a header of 100 MB": Row(endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65_536), "connection_failed"),
    "headers of 100 MB": Row(endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 60_000 + b"\r\n"), "connection_failed"),
    "a thousand headers": row("connection_failed", head(*[f"X-{n}: y" for n in range(1000)])),
    "a status line of 100 MB": Row(endless(b"HTTP/1.1 200 ", b"y" * 65_536), "connection_failed"),
    "a reason of 60 KB": row("done", head(f"Content-Length: {len(GOOD)}", status="200 " + "y" * 60_000) + GOOD),
    # Content coding
    "valid gzip": row("done", bomb("gzip", gzip.compress(GOOD))),
    "deflate with a zlib header": row("done", bomb("deflate", zlib.compress(GOOD))),
    "raw deflate": row("done", bomb("deflate", zlib.compress(GOOD, wbits=-15))),
    "an image that says gzip": row("done", bomb("gzip", GOOD)),
    "invalid gzip": row("bad_encoding", bomb("gzip", b"\x1f\x8b\x08" + GOOD)),
    "truncated gzip": row("bad_encoding", bomb("gzip", gzip.compress(GOOD)[:-20])),
    "gzip twice": row("done", bomb("gzip, gzip", gzip.compress(gzip.compress(GOOD)))),
    "a gzip bomb in gzip": row("too_many_bytes", bomb("gzip, gzip", gzip.compress(GZIP_BOMB, 1))),
    "gzip 6 times": row("bad_encoding", bomb(", ".join(["gzip"] * 6), GOOD)),
    "a hundred thousand members of gzip": row("empty_body", bomb("gzip", gzip.compress(b"") * 100_000)),
    "compressed blocks without content": row("bad_encoding", bomb("deflate", EMPTY_BLOCKS)),
    "brotli": row("bad_encoding", bomb("br", b"\x0b\x02\x80text\x03")),
    "zstd": row("bad_encoding", bomb("zstd", b"\x28\xb5\x2f\xfd\x00\x58\x21\x00\x00")),
    "an unknown coding": row("done", bomb("x" * 1000, GOOD)),
    "gzip of nothing": row("empty_body", bomb("gzip", gzip.compress(b""))),
    # No body, or not an image
    "an empty body": row("empty_body", head("Content-Length: 0")),
    "no body and no length": row("empty_body", head("Connection: close")),
    "204": row("empty_body", head(status="204 No Content")),
    "an HTML page": row("html_page", head("Content-Type: text/html", "Content-Length: 13") + b"<html></html>"),
    "a page with a charset": row("html_page", head("Content-Type: Text/HTML; charset=x", "Content-Length: 2") + b"hi"),
    "an XHTML page": row("html_page", head("Content-Type: application/xhtml+xml", "Content-Length: 2") + b"hi"),
    "an endless HTML page": Row(endless(head("Content-Type: text/html"), b"x" * 65_536), "html_page"),
    "an HTML page with the type of a JPEG": row(
        "html_page", head("Content-Type: image/jpeg", "Content-Length: 13") + b"<html></html>"
    ),
    "a JPEG behind HTML": row("html_page", head(f"Content-Length: {len(GOOD) + 6}") + b"<html>" + GOOD),
    "an image with the type of a text": row("done", good("Content-Type: text/plain")),
    "an image with the type of a page": row("done", good("Content-Type: text/html", "X-Content-Type-Options: nosniff")),
    "an endless page with the type of a JPEG": Row(
        endless(head("Content-Type: image/jpeg") + b"<!doctype html>", b"x" * 65_536), "html_page"
    ),
    "a part of an image": row(
        "http_206", head("Content-Range: bytes 0-9/100", "Content-Length: 10", status="206 x") + GOOD[:10]
    ),
    # Protocol
    "closes at once": row("connection_failed", b""),
    "resets": Row(resets, "connection_failed"),
    "closes early": row("connection_failed", head("Content-Length: 100000") + GOOD),
    "closes in the headers": row("empty_body", b"HTTP/1.1 200 OK\r\nContent-Len"),  # http.client accepts that
    "closes in a chunk": row("connection_failed", chunked(b"100\r\nx")),
    "HTTP/0.9": row("connection_failed", GOOD),
    "garbage": row("connection_failed", b"\x00\x01\x02\xff" * 100 + b"\r\n\r\n"),
    "Redis": row("connection_failed", b"-ERR unknown command\r\n"),
    "SSH": row("connection_failed", b"SSH-2.0-OpenSSH_9.2\r\n"),
    "TLS instead of HTTP": row("connection_failed", b"\x15\x03\x01\x00\x02\x02\x46"),
    "a status of letters": row("connection_failed", head(status="abc OK")),
    "a status of 99999": row("connection_failed", head(status="99999 OK")),
    "a negative status": row("connection_failed", head(status="-200 OK")),
    "a chunk size of letters": row("connection_failed", chunked(b"zz\r\nx\r\n")),
    "a negative chunk size": row("connection_failed", chunked(b"-5\r\nhello\r\n0\r\n\r\n")),
    "a chunk size beyond 64 bits": row("connection_failed", chunked(b"f" * 30 + b"\r\n" + GOOD)),
    "a chunk size of 70,000 digits": row("connection_failed", chunked(b"0" * 70_000 + b"5\r\nhello\r\n0\r\n\r\n")),
    "headers without a colon": row("done", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n" + GOOD),
    "a folded header": row("done", good("X: a\r\n b")),
    "null characters in headers": row("done", good("X: a\x00b")),
    "non-ASCII characters in headers": row("done", good("X: \xff\xfe", "Content-Disposition: \xe9")),
    "line feeds without carriage returns": row("done", good().replace(b"\r\n", b"\n")),
    "cookies": row("done", good("Set-Cookie: a=b; Domain=127.0.0.1")),
    "more bytes than announced": row("done", good() + b"HTTP/1.1 200 OK\r\n\r\nsmuggled"),
    "cookies that take minutes to parse": row(
        "done", head("Set-Cookie: a=b", *["Set-Cookie2: " + "a," * 32_000] * 90, f"Content-Length: {len(GOOD)}") + GOOD
    ),
    # Statuses
    "401": row("http_401", head("WWW-Authenticate: Basic realm=x", "Content-Length: 0", status="401 Unauthorized")),
    "404 with an endless body": Row(endless(head(status="404 Not Found"), b"x" * 65_536), "http_404"),
    "407": row("http_407", head("Proxy-Authenticate: Basic", "Content-Length: 0", status="407 x")),
    "418": row("http_418", head("Content-Length: 0", status="418 I'm a teapot")),
    "304": row("http_304", head(status="304 Not Modified")),
    "300": row("http_300", head("Content-Length: 0", status="300 Multiple Choices")),
    "503 with an invalid Retry-After": row("http_503", head("Retry-After: \xff", "Content-Length: 0", status="503 x")),
    "429 for 1000 years": row("http_429", head("Retry-After: 31536000000", "Content-Length: 0", status="429 x")),
    "599": row("http_599", head("Content-Length: 0", status="599 x")),
    # Redirects
    "to itself": row("bad_redirect", redirect("/")),
    "to itself, 308": row("bad_redirect", redirect("/", "308 Permanent Redirect")),
    "to a blocked address": row("blocked_address", redirect("http://127.0.0.2/")),
    "to the metadata service": row("blocked_address", redirect("http://169.254.169.254/latest/meta-data/")),
    "to a blocked address in decimal": row("blocked_address", redirect("http://2130706434/")),
    "to a blocked address, without scheme": row("blocked_address", redirect("//127.0.0.2/")),
    "to a blocked IPv6 address": row("blocked_address", redirect("http://[::1]/")),
    "to a blocked port": row("blocked_address", redirect("http://127.0.0.1:22/")),
    "to a name with a private address": row("blocked_address", redirect("http://inside-by-redirect.test/")),
    "to an unknown name": row("unknown_host", redirect("http://no-such-name.test/")),
    "to a file": row("bad_redirect", redirect("file:///etc/passwd")),
    "to gopher": row("bad_redirect", redirect("gopher://127.0.0.1:6379/_FLUSHALL")),
    "to data": row("bad_redirect", redirect("data:image/gif;base64,R0lGODlhAQABAAAAACw=")),
    "to javascript": row("bad_redirect", redirect("javascript:alert(1)")),
    "with a password": row("bad_redirect", redirect("http://user:password@127.0.0.1/")),
    "to an address with a zone id": row("bad_redirect", redirect("http://[fe80::1%25eth0]/")),
    "to a malformed address": row("bad_redirect", redirect("http://[::1")),
    "to port 0": row("bad_redirect", redirect("http://127.0.0.1:0/")),
    "to 60 KB": row("bad_redirect", redirect("/" + "x" * 60_000)),
    "to control characters": row("bad_redirect", redirect("http://127.0.0.1\x01/")),
    "to an empty location": row("bad_redirect", redirect("")),
    "to itself, with cookies of many attributes": row("bad_redirect", cookies("c{}=1" + ";a" * 4000)),
    "to itself, with cookies of 64 KB": row("bad_redirect", cookies("a=" + "b" * 64_000)),
    "without a Location header": row("http_302", head("Content-Length: 0", status="302 Found")),
    "with an endless body": Row(
        endless(head("Location: http://127.0.0.2/", status="302 Found"), b"x" * 65_536), "blocked_address"
    ),
}
# fmt: on


@pytest.fixture(scope="module")
def outcomes(hostile_worker: HostileWorker) -> Iterator[dict[str, Outcome]]:
    hostile_names = {"inside-by-redirect.test": ["10.0.0.1"]}
    with ExitStack() as servers:
        urls = {}
        for name, one in ROWS.items():
            urls[name] = servers.enter_context(SocketServer(one.serve)).url
        context = tls_context(trustme.CA(), "127.0.0.1")
        urls["an untrusted certificate"] = servers.enter_context(SocketServer(sends(good()), context)).url
        urls["HTTP instead of TLS"] = urls["cookies"].replace("http:", "https:")
        deaf = servers.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections, and no other server gets the port
        urls["no server on the port"] = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        for name, addresses in hostile_names.items():
            hostile_worker.names.add(name, addresses)
        yield hostile_worker.run(urls)


@pytest.mark.parametrize("name", ROWS)
def test_a_job_with_a_hostile_server_ends_with_its_code(name: str, outcomes: dict[str, Outcome]) -> None:
    outcomes[name].must_be(ROWS[name].code, "fetch", FETCH_TOTAL_S)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("an untrusted certificate", "connection_failed"),
        ("HTTP instead of TLS", "connection_failed"),
        ("no server on the port", "connection_failed"),
    ],
)
def test_a_job_without_a_connection_ends_with_its_code(name: str, code: str, outcomes: dict[str, Outcome]) -> None:
    outcomes[name].must_be(code, "fetch", FETCH_TOTAL_S)


def test_the_operators_headers_are_shown_nowhere(outcomes: dict[str, Outcome], hostile_worker: HostileWorker) -> None:
    shown = hostile_worker.everything_it_shows()
    assert "private.test" not in shown
    assert SECRET not in shown


def test_the_worker_still_embeds_images(outcomes: dict[str, Outcome], hostile_worker: HostileWorker) -> None:
    assert hostile_worker.embeds_a_good_image()
