"""Undoes content codings (RFC 9110, section 8.4), as far as the bytes confirm them.

Servers announce codings that they did not use, or that do not exist: an upload leaves `aws-chunked` in the metadata of
an S3 object, and others write `UTF-8`, `binary` or `image/png` there. Chromium (net/filter) then takes the body as it
is. So do we, and we also take a body as it is that already starts like an image.
"""

from __future__ import annotations

import zlib

from worker.errors import BadEncoding, FetchTimeout
from worker.fetch.deadline import current_deadline
from worker.signatures import is_surely_supported

_INFLATED = {"gzip", "x-gzip", "deflate"}
# The other codings of IANA's HTTP Content Coding Registry that change the body. None is asked for, and a library for
# one more would decompress untrusted bytes in the worker's own process.
_NOT_UNDONE = {"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"}
_KNOWN = _INFLATED | _NOT_UNDONE
_MAX_CODINGS = 5  # as many as curl allows (CVE-2022-32206)

_GZIP_MAGIC = b"\x1f\x8b\x08"
_GZIP_HEADER_BYTES, _GZIP_TRAILER_BYTES = 10, 8
_HEADER_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16  # flags of a gzip header (RFC 1952, section 2.3.1)
_MAX_MEMBERS = 1000
_ZLIB_HEADER_BYTES = 2
_RAW_DEFLATE = -15
_CHUNK = 65_536


class Codings:
    """The content codings of one response.

    Args:
        header: The value of Content-Encoding. Names that no one has registered are ignored.
        shown: The URL as error messages show it.

    Raises:
        BadEncoding: There are more than five codings.
    """

    def __init__(self, header: str, shown: str) -> None:
        names = (part.partition(";")[0].strip().lower() for part in header.split(","))
        self._names = [name for name in names if name in _KNOWN]
        self._shown = shown
        if len(self._names) > _MAX_CODINGS:
            raise BadEncoding(f"the body of {shown} has more than {_MAX_CODINGS} content codings")

    def undo(self, body: bytes, max_bytes: int, *, is_start: bool = False) -> bytes:
        """Return the content of a body, cut after `max_bytes` + 1 bytes.

        Args:
            body: The body as it was sent.
            max_bytes: Maximum size of the content.
            is_start: Whether `body` is only the start of a body. Then returns the start of the content.

        Raises:
            BadEncoding: The body does not have a coding that it should have, and is no image as it is; or it has a
                coding that is not undone.
            FetchTimeout: The deadline of the download has passed.
        """
        for name in reversed(self._names):
            is_too_large = len(body) > max_bytes and not is_start
            if not body or is_too_large or is_surely_supported(body):
                break
            if name in _NOT_UNDONE:
                raise BadEncoding(f"the body of {self._shown} has the content coding {name}, which was not asked for")
            try:
                body = _inflate(body, max_bytes, is_start=is_start)
            except (ValueError, zlib.error):
                raise BadEncoding(f"the body of {self._shown} does not match its Content-Encoding") from None
        return body


def _inflate(body: bytes, max_bytes: int, *, is_start: bool) -> bytes:
    """Decompress gzip, zlib or raw deflate, whichever the body is. Many servers confuse the three.

    As in Chromium, the checksum at the end is not compared, and may be missing; bytes after it are ignored. Unlike
    there, a gzip body may have several members (RFC 1952, section 2.2).

    Raises:
        zlib.error: The body is damaged.
        ValueError: The body is incomplete, and `is_start` is false.
        FetchTimeout: The deadline of the download has passed.
    """
    content, position = bytearray(), 0
    for _ in range(_MAX_MEMBERS):
        has_members = body.startswith(_GZIP_MAGIC, position)
        position = _skip_header(body, position)
        stream = zlib.decompressobj(_RAW_DEFLATE)
        # In chunks, because zlib copies the bytes after the end of a member. And compressed blocks without content can
        # take several seconds of CPU time in all, which the deadline must limit.
        while not stream.eof and position < len(body) and len(content) <= max_bytes:
            if current_deadline().is_expired:
                raise FetchTimeout("the download took too long")
            chunk = body[position : position + _CHUNK]
            content += stream.decompress(chunk, max_bytes + 1 - len(content))
            position += len(chunk) - len(stream.unused_data)
        if len(content) > max_bytes or (is_start and not stream.eof):
            break
        if not stream.eof:
            raise ValueError
        position += _GZIP_TRAILER_BYTES
        if not (has_members and body.startswith(_GZIP_MAGIC, position)):
            break
    return bytes(content)


def _skip_header(body: bytes, start: int) -> int:
    """Return where the compressed data starts, after the header of gzip or zlib."""
    if not body.startswith(_GZIP_MAGIC, start):
        has_zlib_header = body[:1] and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
        return _ZLIB_HEADER_BYTES if has_zlib_header else 0
    flags, position = int.from_bytes(body[start + 3 : start + 4], "big"), start + _GZIP_HEADER_BYTES
    if flags & _EXTRA:
        position += 2 + int.from_bytes(body[position : position + 2], "little")
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            position = body.find(b"\0", position) + 1 or len(body)
    return position + (2 if flags & _HEADER_CRC else 0)
