"""Reads the answers of servers as browsers do, also those that http.client refuses or misreads.

http.client skips no interim answer but 100, forgets all headers after a line without a colon, and takes `0x5` and
`-5` for sizes of chunks. Here the head is read line by line, and http.client only gets what it needs to read the body,
in one form: the status, the length or `chunked`, and whether the connection stays open.

An answer that breaks a rule in a harmless way is the last one of its connection, so nothing that follows it can pass
for the answer to another request. An answer that two readers could understand differently is an error. Each case of
tests/worker/fetch/test_responses.py was tried with Chromium 156.
"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader

_MAX_LINE = 262_144  # Chromium's limit of all headers together
_MAX_HEAD_BYTES = 6_553_600  # http.client's limit: 100 lines of 64 KiB
_MAX_HEADERS = 500
_MAX_INTERIM_ANSWERS = 100
_MAX_EMPTY_LINES = 2  # before a status line, left over from the answer before; Chromium skips four bytes there

_STATUS_LINE = re.compile(rb"HTTP(?:/(\d{1,3})(?:\.(\d{1,3}))?)?[ \t]+([1-9]\d\d)(?!\d)", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r?\n", re.DOTALL)
_AS_SPACE = bytes.maketrans(b"\r\0", b"  ")  # RFC 9110, section 5.5
_LINE_ENDS = (b"\r\n", b"\n")
# http.client gets these in one form; all other headers are added as they came.
_FRAMING = {b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"transfer-encoding"}


class NoAnswer(http.client.RemoteDisconnected):
    """The connection was closed before a byte of an answer came."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason


class ConflictingHeaders(http.client.HTTPException):
    """Two lengths or two Locations differ, so two readers could see two different answers."""


class TooManyHeaders(http.client.HTTPException):
    """The head has more lines or bytes than a server has reason to send."""


class TooManyInterimAnswers(http.client.HTTPException):
    """No final answer came after a hundred interim ones."""


class BadChunk(http.client.HTTPException):
    """The size of a chunk is no hexadecimal number, or the chunk does not end where it should."""


class Response(http.client.HTTPResponse):
    """http.client's response with another reader of heads and chunks."""

    def begin(self) -> None:
        """Read the head of the final answer (called by http.client). It follows a hundred interim answers at most.

        Raises:
            NoAnswer: The connection was closed before the first byte.
            http.client.HTTPException: The head cannot be read.
        """
        stream = self.fp
        _wait_for_first_byte(stream)
        head = _read_final_head(stream)
        self.fp = BytesIO(head.framing())  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            self.fp = stream
        for name, value in head.others():
            self.headers[name.decode()] = value.decode("latin-1")

    def read1(self, n: int = -1) -> bytes:
        """Return up to `n` bytes of the body, none at its end (called by urllib3)."""
        if not self.chunked:
            return super().read1(n)
        if self.isclosed() or (not self.chunk_left and not self._start_chunk()):
            return b""
        left = self.chunk_left or 0
        content = self.fp.read1(left if n < 0 else min(n, left))
        if not content:
            raise http.client.IncompleteRead(b"")
        self.chunk_left = left - len(content)
        return content

    def _start_chunk(self) -> bool:
        """Read the end of a chunk and the size of the next one; return False, and end the body, if it was the last."""
        if self.chunk_left is not None and self._chunk_line(3) not in _LINE_ENDS:
            raise BadChunk
        # int() would also take a sign, spaces, underscores and `0x`.
        size = _CHUNK_SIZE.fullmatch(self._chunk_line(_MAX_LINE))
        if size is None:
            raise BadChunk
        self.chunk_left = int(size[1], 16)
        if not self.chunk_left:
            # A server may close the connection without trailers: the body is complete.
            self._skip_trailers()
            self.close()
        return bool(self.chunk_left)

    def _skip_trailers(self) -> None:
        size = 0
        while (line := self.fp.readline(_MAX_LINE)) not in (*_LINE_ENDS, b""):
            size += len(line)
            if size > _MAX_HEAD_BYTES:
                raise TooManyHeaders

    def _chunk_line(self, limit: int) -> bytes:
        line = self.fp.readline(limit)
        if not line:
            raise http.client.IncompleteRead(b"")
        return line


@dataclass(frozen=True)
class _Head:
    """The head of one answer.

    Attributes:
        version: Such as (1, 1).
        status: From 100 to 999.
        headers: Names in lower case, and values.
        is_odd: Whether a line breaks the rules.
    """

    version: tuple[int, int]
    status: int
    headers: list[tuple[bytes, bytes]]
    is_odd: bool

    @property
    def is_interim(self) -> bool:
        """Whether another answer follows. After 101 another protocol would (RFC 9110, section 15.2)."""
        return self.status < HTTPStatus.OK and self.status != HTTPStatus.SWITCHING_PROTOCOLS

    def framing(self) -> bytes:
        """Return a head from which http.client learns how to read the body. Raises ConflictingHeaders."""
        codings, lengths = self._list(b"transfer-encoding"), self._list(b"content-length")
        lines = [b"HTTP/1.1 %d" % self.status]
        if b"chunked" in codings:
            lines.append(b"Transfer-Encoding: chunked")  # which replaces any length (RFC 9112, section 6.3)
        elif len(lengths) > 1:
            raise ConflictingHeaders
        elif lengths and min(lengths).isdigit():
            lines.append(b"Content-Length: " + min(lengths))
        if not self._is_kept(codings, lengths):
            lines.append(b"Connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def others(self) -> list[tuple[bytes, bytes]]:
        """Return the headers that do not say how to read the body. Raises ConflictingHeaders."""
        locations = {value for name, value in self.headers if name == b"location"}
        if len(locations) > 1:
            raise ConflictingHeaders
        return [
            *((name, value) for name, value in self.headers if name not in _FRAMING and name != b"location"),
            *((b"location", value) for value in locations),
        ]

    def _is_kept(self, codings: set[bytes], lengths: set[bytes]) -> bool:
        is_new = self.version >= (1, 1)
        # With both, or in HTTP/1.0, servers and proxies disagree on where the body ends (RFC 9112, section 6.1).
        if self.is_odd or codings - {b"chunked"} or (codings and (lengths or not is_new)):
            return False
        options = self._list(b"connection") | self._list(b"proxy-connection")
        is_asked_to_stay = b"keep-alive" in options or any(name == b"keep-alive" for name, _ in self.headers)
        return b"close" not in options and (is_new or is_asked_to_stay)

    def _list(self, name: bytes) -> set[bytes]:
        """Return the members of all headers of this name, which are lists."""
        values = b",".join(value for other, value in self.headers if other == name)
        return {member.strip(b" \t").lower() for member in values.split(b",")} if values else set()


def _wait_for_first_byte(stream: BufferedReader) -> None:
    try:
        if stream.peek(1):
            return
    except TimeoutError:
        raise
    except OSError as exc:  # reset, or TLS without its end
        raise NoAnswer(exc.strerror or type(exc).__name__) from None
    raise NoAnswer("the server closed the connection without an answer")


def _read_final_head(stream: BufferedReader) -> _Head:
    for _ in range(_MAX_INTERIM_ANSWERS + 1):
        head = _read_head(stream)
        if not head.is_interim:
            return head
    raise TooManyInterimAnswers


def _read_head(stream: BufferedReader) -> _Head:
    line = _read_line(stream)
    for _ in range(_MAX_EMPTY_LINES):
        if line in _LINE_ENDS:
            line = _read_line(stream)
    match = _STATUS_LINE.match(line)
    if match is None:
        raise http.client.BadStatusLine("")
    version = int(match[1] or 1), int(match[2] or 0)
    return _Head(version, int(match[3]), *_read_headers(stream))


def _read_headers(stream: BufferedReader) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Return the headers, and whether one of their lines breaks the rules.

    A line that is no header is ignored, as by browsers, and with it the lines that continue it. So is white space
    before the first header, and a name with characters that no name may have (RFC 9112, sections 2.2 and 5).
    """
    headers: list[tuple[bytes, list[bytes]]] = []
    is_odd = continues = False
    size = 0
    for _ in range(_MAX_HEADERS + 1):
        line = _read_line(stream)
        size += len(line)
        if size > _MAX_HEAD_BYTES:
            raise TooManyHeaders
        if line in (*_LINE_ENDS, b""):
            return [(name, b" ".join(values).strip(b" \t")) for name, values in headers], is_odd
        text = line.rstrip(b"\r\n").translate(_AS_SPACE)
        is_odd = is_odd or not line.startswith(text)
        name, colon, value = text.partition(b":")
        if text.startswith((b" ", b"\t")):
            is_odd = True
            if continues:
                headers[-1][1].append(text.strip(b" \t"))
            continue
        continues = bool(colon) and _TOKEN.fullmatch(name.rstrip(b" \t")) is not None
        is_odd = is_odd or not continues or name.endswith((b" ", b"\t"))
        if continues:
            headers.append((name.rstrip(b" \t").lower(), [value.strip(b" \t")]))
    raise TooManyHeaders


def _read_line(stream: BufferedReader) -> bytes:
    line = stream.readline(_MAX_LINE + 1)
    if len(line) > _MAX_LINE:
        raise TooManyHeaders
    return line
