"""Reads the body of a response: limits its size, undoes its content coding, and refuses web pages."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import BadEncoding, EmptyBody, HtmlPage, TooManyBytes

if TYPE_CHECKING:
    import requests

_READ_CHUNK = 65_536
_MAX_LENGTH_DIGITS = 20  # Python refuses to parse a number of thousands of digits
_HTML_TYPES = {"text/html", "application/xhtml+xml"}
# The `wbits` of zlib.decompressobj for each content coding (RFC 9110, section 8.4.1).
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_RAW_DEFLATE_WINDOW_BITS = -15


def read_body(response: requests.Response, url: str, max_bytes: int) -> bytes:
    """Read and decompress the body.

    Raises:
        HtmlPage, TooManyBytes, EmptyBody, BadEncoding: See `worker.errors`.
    """
    shown = redact_url(url)
    too_many_bytes = TooManyBytes(f"{shown} is larger than {max_bytes} bytes (CLIPQUEUE_FETCH_MAX_BYTES)")
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _HTML_TYPES:
        raise HtmlPage(f"{shown} is an HTML page, not an image")
    if _content_length(response) > max_bytes:
        raise too_many_bytes
    body = bytearray()
    # read1 instead of iter_content: it returns the bytes that have arrived, so the size is checked after each read.
    while chunk := response.raw.read1(_READ_CHUNK, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise too_many_bytes
    content = _decompress(bytes(body), response.headers.get("Content-Encoding", ""), max_bytes)
    if content is None:
        raise BadEncoding(f"the body of {shown} does not match its Content-Encoding")
    if len(content) > max_bytes:
        raise too_many_bytes
    if not content:
        raise EmptyBody(f"{shown} has an empty body")
    return content


def _content_length(response: requests.Response) -> int:
    length = response.headers.get("Content-Length", "")
    return int(length[:_MAX_LENGTH_DIGITS]) if length.isdecimal() else 0


def _decompress(body: bytes, coding: str, max_bytes: int) -> bytes | None:
    """Return the content, cut after `max_bytes` + 1 bytes; None if the coding is unknown or the body is invalid."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    window_bits = _WINDOW_BITS.get(coding)
    if window_bits is None:
        return None
    if coding == "deflate" and body[:1] and body[0] & 0x0F != zlib.DEFLATED:
        window_bits = _RAW_DEFLATE_WINDOW_BITS  # some servers omit zlib's header (RFC 9110, section 8.4.1.2, note)
    stream = zlib.decompressobj(window_bits)
    try:
        content = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        return None
    return content if stream.eof or len(content) > max_bytes else None
