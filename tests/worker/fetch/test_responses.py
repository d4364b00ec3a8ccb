"""Answers that browsers take although they break rules, and answers that nobody should take.

Chromium 156 was given each of these: the comments say where it does something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.raw_requests import RawServer
from tests.support.servers import SocketServer
from tests.worker.fetch.conftest import Drip, serve
from worker import errors

if TYPE_CHECKING:
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher

LENGTH = "Content-Length: 5"
CHUNKED = "Transfer-Encoding: chunked"
BODY = b"5\r\nimage\r\n0\r\n\r\n"


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


def image(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """An answer whose body is followed by something else, which only its Content-Length tells apart."""
    return head(*lines, status=status) + b"imageXX"


def chunked(*parts: bytes) -> bytes:
    return head(CHUNKED) + b"".join(parts)


# fmt: off
TAKEN = {
    # Interim answers
    "100": head(status="HTTP/1.1 100 Continue") + image(LENGTH),
    "102": head(status="HTTP/1.1 102 Processing") + image(LENGTH),
    "103, three times, with headers": head("Link: </a>; rel=preload", "Content-Length: 99", "Location: /x",
                                           status="HTTP/1.1 103 Early Hints") * 3 + image(LENGTH),
    "199": head(status="HTTP/1.1 199 x") + image(LENGTH),
    # Lines that are no headers, before those that matter
    "a line without a colon": image("garbage", LENGTH),
    "a line without a colon, and its continuation": image("garbage", " Content-Length: 3", LENGTH),
    "white space before the first header": image(" X: y", LENGTH),
    "a folded header": image("X: y", "\tfolded", LENGTH),
    "a folded length": image("Content-Length:", " 5"),
    "a name with a space at its end": image("Content-Length : 5"),
    "a name with a space in it": image("X Y: z", LENGTH),
    "no name": image(": z", LENGTH),
    "a name in Latin-1": image("X\xe9: z", LENGTH),
    "a bare CR": image("X: a\rb", LENGTH),
    "an mbox line": image("From x@y", LENGTH),
    # Chromium ends a line at a bare CR, and so finds two lengths. For RFC 9112, section 2.2, it is a space.
    "a length after a bare CR": image("X: a\rContent-Length: 3", LENGTH),
    # Chromium and curl refuse these. By RFC 9110, section 5.5, a NUL may also be read as a space.
    "a NUL in a value": image("X: a\0b", LENGTH),
    "a NUL in a name": image("X\0: a", LENGTH),
    "a NUL and a length": image("X: a\0Content-Length: 3", LENGTH),
    "300 headers": image(*[f"X-{number}: y" for number in range(300)], LENGTH),
    "a header of 200 KB": image("X: " + "y" * 200_000, LENGTH),
    # Line ends
    "LF only": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nimageXX",
    "LF and CRLF": b"HTTP/1.1 200 OK\nX: y\r\nContent-Length: 5\r\n\nimageXX",
    "an empty line before the status": b"\r\n" + image(LENGTH),
    # Status lines
    "no reason": image(LENGTH, status="HTTP/1.1 200"),
    "junk after the status": image(LENGTH, status="HTTP/1.1 200OK"),
    "lower case": image(LENGTH, status="http/1.1 200 ok"),
    "more spaces": image(LENGTH, status="HTTP/1.1  200\tOK"),
    "no version": image(LENGTH, status="HTTP 200 OK"),
    "HTTP/1": image(LENGTH, status="HTTP/1 200 OK"),
    "HTTP/2": image(LENGTH, status="HTTP/2 200"),
    "HTTP/1.10": image(LENGTH, status="HTTP/1.10 200 OK"),
    "HTTP/1.0 without headers": b"HTTP/1.0 200 OK\r\n\r\nimage",
    # Lengths
    "the same length twice": image(LENGTH, LENGTH),
    "the same length twice in one header": image("Content-Length: 5, 5"),
    "zeros before the length": image("Content-Length: 00005"),
    "an unknown transfer coding": image("Transfer-Encoding: xchunked", LENGTH),
    "transfer coding identity": image("Transfer-Encoding: identity", LENGTH),
    "chunked and a length": head("Content-Length: 3", CHUNKED) + BODY,
    "chunked and two lengths": head(CHUNKED, "Content-Length: 3", "Content-Length: 4") + BODY,
    "no length": head() + b"image",
    # Chunks
    "Chunked": head("Transfer-Encoding: Chunked") + BODY,
    "chunked twice": head(CHUNKED, CHUNKED) + BODY,
    "gzip, chunked": head("Transfer-Encoding: gzip, chunked") + BODY,
    # Chromium does not read chunks in HTTP/1.0. Old proxies send them, and the picture is there.
    "chunks in HTTP/1.0": head(CHUNKED, status="HTTP/1.0 200 OK") + BODY,
    "extensions of chunks": chunked(b'5;a=b;c="d"\r\nimage\r\n0;x\r\n\r\n'),
    "spaces after a size": chunked(b"5  \r\nimage\r\n0\r\n\r\n"),
    "zeros before a size": chunked(b"0005\r\nimage\r\n000\r\n\r\n"),
    "LF in chunks": chunked(b"5\nimage\n0\n\n"),
    "several chunks": chunked(b"1\r\ni\r\n", b"4\r\nmage\r\n0\r\n\r\n"),
    "trailers": chunked(b"5\r\nimage\r\n0\r\nX: y\r\nContent-Length: 3\r\n\r\n"),
    # Chromium wants the empty line after the last chunk. All bytes of the picture are there without it.
    "no end of the trailers": chunked(b"5\r\nimage\r\n0\r\n"),
}
# Chromium ignores a length that is no number, and reads until the connection is closed.
UNTIL_THE_END = ["+5", "-5", "5x", "", "0x5", "5.0", "5_0"]
REFUSED = {
    "two lengths": (image(LENGTH, "Content-Length: 3"), "ConflictingHeaders"),
    "two lengths in one header": (image("Content-Length: 5, 3"), "ConflictingHeaders"),
    "two Locations": (head("Location: /a", "Location: /b", status="HTTP/1.1 302 x"), "ConflictingHeaders"),
    "600 headers": (image(*[f"X-{number}: y" for number in range(600)], LENGTH), "TooManyHeaders"),
    "101 interim answers": (
        head(status="HTTP/1.1 102 Processing") * 101 + image(LENGTH),
        "TooManyInterimAnswers",
    ),
    "trailers of 8 MB": (chunked(b"0\r\n", (b"X: " + b"y" * 60_000 + b"\r\n") * 134), "TooManyHeaders"),
    "a header of 300 KB": (image("X: " + "y" * 300_000, LENGTH), "TooManyHeaders"),
    "a status of four digits": (image(LENGTH, status="HTTP/1.1 2000 OK"), "BadStatusLine"),  # Chromium: 2000
    "a status of two digits": (image(LENGTH, status="HTTP/1.1 20 OK"), "BadStatusLine"),  # Chromium: 20
    "a status below 100": (image(LENGTH, status="HTTP/1.1 099 OK"), "BadStatusLine"),
    "no status": (image(LENGTH, status="HTTP/1.1 OK"), "BadStatusLine"),  # Chromium: 200
    "another protocol": (image(LENGTH, status="ICY 200 OK"), "BadStatusLine"),
    "HTTP/0.9": (b"image", "BadStatusLine"),
    "junk before the status": (b"xxxxx" + image(LENGTH), "BadStatusLine"),
    "a longer length": (head("Content-Length: 9") + b"image", "IncompleteRead"),
    "a space before a size": (chunked(b" 5\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "0x before a size": (chunked(b"0x5\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "a sign before a size": (chunked(b"+5\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "a negative size": (chunked(b"-5\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "an underscore in a size": (chunked(b"0_5\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "a size of 17 digits": (chunked(b"00000000000000005\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "a smaller size": (chunked(b"4\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "an empty line before a size": (chunked(b"\r\n5\r\nimage\r\n0\r\n\r\n"), "BadChunk"),
    "no last chunk": (chunked(b"5\r\nimage\r\n"), "IncompleteRead"),
    "a cut chunk": (chunked(b"9\r\nimage"), "IncompleteRead"),
}
# fmt: on


@pytest.mark.parametrize("answer", TAKEN.values(), ids=list(TAKEN))
def test_an_answer_that_a_browser_takes_is_taken(answer: bytes, fetcher: HttpFetcher) -> None:
    with SocketServer(serve(answer)) as server:
        assert fetcher.fetch(server.url) == b"image"


@pytest.mark.parametrize("length", UNTIL_THE_END)
def test_a_length_that_is_no_number_is_ignored(length: str, fetcher: HttpFetcher) -> None:
    with SocketServer(serve(image(f"Content-Length: {length}"))) as server:
        assert fetcher.fetch(server.url) == b"imageXX"


@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_an_answer_that_cannot_be_read_is_an_error_that_says_why(
    answer: bytes, reason: str, fetcher: HttpFetcher
) -> None:
    with SocketServer(serve(answer)) as server, pytest.raises(errors.ConnectionFailed, match=reason):
        fetcher.fetch(server.url)


def test_a_shorter_length_ends_the_body(fetcher: HttpFetcher) -> None:
    with SocketServer(serve(head("Content-Length: 3") + b"image")) as server:
        assert fetcher.fetch(server.url) == b"ima"


def test_101_is_an_error(fetcher: HttpFetcher) -> None:
    """Nothing asked for another protocol. Chromium skips the answer."""
    answer = head("Upgrade: x", "Connection: upgrade", status="HTTP/1.1 101 Switching Protocols") + image(LENGTH)
    with SocketServer(serve(answer)) as server, pytest.raises(errors.HttpRefused, match="101"):
        fetcher.fetch(server.url)


def test_endless_interim_answers_end_with_the_deadline(make_fetcher: MakeFetcher) -> None:
    drip = Drip(b"", head("Link: </a>", status="HTTP/1.1 103 Early Hints"))
    with SocketServer(drip) as server, pytest.raises(errors.FetchTimeout):
        make_fetcher(total_s=0.3).fetch(server.url)
    assert not drip.is_complete


@pytest.mark.parametrize("line", ["garbage", " X: y", "X : y", "X: a\rb"])
def test_headers_after_a_bad_line_are_read(line: str, fetcher: HttpFetcher) -> None:
    moved = head(line, "Location: /next", "Content-Length: 0", status="HTTP/1.1 302 Found")
    with RawServer(moved) as server:
        assert fetcher.fetch(server.url) == b"image"
        assert server.lines == ["/", "/next"]


def test_the_same_location_twice_is_one(fetcher: HttpFetcher) -> None:
    moved = head("Location: /next", "Location: /next", "Content-Length: 0", status="HTTP/1.1 302 Found")
    with RawServer(moved) as server:
        assert fetcher.fetch(server.url) == b"image"
        assert server.lines == ["/", "/next"]


SMUGGLED = head("Content-Length: 8") + b"smuggled"


@pytest.mark.parametrize(
    "answer",
    [
        image("garbage", LENGTH)[:-2] + SMUGGLED,
        image("X: y", " folded", LENGTH)[:-2] + SMUGGLED,
        image("Content-Length : 5")[:-2] + SMUGGLED,
        image("X: a\rb", LENGTH)[:-2] + SMUGGLED,
        image("X: a\0b", LENGTH)[:-2] + SMUGGLED,
        head("Content-Length: 3", CHUNKED) + BODY + SMUGGLED,
        head(CHUNKED, "Connection: keep-alive", status="HTTP/1.0 200 OK") + BODY + SMUGGLED,
        head("Transfer-Encoding: gzip, chunked") + BODY + SMUGGLED,
        head("Transfer-Encoding: x", LENGTH) + b"image" + SMUGGLED,
        image(LENGTH, "Connection: close")[:-2] + SMUGGLED,
        image(LENGTH, status="HTTP/1.0 200 OK")[:-2] + SMUGGLED,
    ],
)
def test_the_connection_of_an_answer_that_breaks_a_rule_is_not_kept(answer: bytes, fetcher: HttpFetcher) -> None:
    connections = []

    def handle(connection: object) -> None:
        connections.append(connection)
        serve(answer)(connection)  # type: ignore[arg-type]
        serve(SMUGGLED)(connection)  # type: ignore[arg-type]

    with SocketServer(handle) as server:
        assert [fetcher.fetch(server.url) for _ in range(2)] == [b"image"] * 2
    assert len(connections) == 2


@pytest.mark.parametrize(
    "answer",
    [
        head(LENGTH) + b"image",
        head(CHUNKED) + BODY,
        head(LENGTH, "Connection: Keep-Alive", status="HTTP/1.0 200 OK") + b"image",
        head(LENGTH, "Keep-Alive: timeout=5", status="HTTP/1.0 200 OK") + b"image",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nimage",
    ],
)
def test_the_connection_of_a_sound_answer_is_kept(answer: bytes, fetcher: HttpFetcher) -> None:
    connections = []

    def handle(connection: object) -> None:
        connections.append(connection)
        for _ in range(3):
            serve(answer)(connection)  # type: ignore[arg-type]

    with SocketServer(handle) as server:
        assert [fetcher.fetch(server.url) for _ in range(3)] == [b"image"] * 3
    assert len(connections) == 1


def test_what_follows_a_body_is_not_the_next_answer(fetcher: HttpFetcher) -> None:
    """The next download gets an answer of its own, whether its connection is new or not."""
    with RawServer(head(LENGTH) + b"image" + SMUGGLED) as server:
        assert [fetcher.fetch(server.url) for _ in range(2)] == [b"image"] * 2
