"""What the body of one answer may be: how many bytes, in which content coding, and no web page."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import BadEncoding, EmptyBody, HtmlPage, TooManyBytes

if TYPE_CHECKING:
    from requests import Response

_READ_CHUNK = 65_536
_MAX_DIGITS = 20  # of a Content-Length: more than any file has, and Python refuses to read thousands
_PAGES = {"text/html", "application/xhtml+xml"}
# zlib's window bits for each content coding (RFC 9110, section 8.4.1), as zlib.decompressobj wants them.
_CODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def read_body(response: Response, url: str, max_bytes: int) -> bytes:
    """Return the body, read and decoded within `max_bytes`.

    Raises:
        HtmlPage, TooManyBytes, EmptyBody, BadEncoding: See `worker.errors`.
    """
    shown = redact_url(url)
    too_many = TooManyBytes(f"{shown} is larger than {max_bytes} bytes (CLIPQUEUE_FETCH_MAX_BYTES)")
    if _media_type(response) in _PAGES:
        raise HtmlPage(f"{shown} answered with a web page and not with an image")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced[:_MAX_DIGITS]) > max_bytes:
        raise too_many
    body = bytearray()
    # read1 and not iter_content: it returns what has come, so the size is known at every step.
    while chunk := response.raw.read1(_READ_CHUNK, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise too_many
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    content = bytes(body) if coding in ("identity", "") else _decode(bytes(body), coding, max_bytes)
    if content is None:
        raise BadEncoding(f"the body of {shown} cannot be decoded as its Content-Encoding says")
    if len(content) > max_bytes:
        raise too_many
    if not content:
        raise EmptyBody(f"{shown} answered with an empty body")
    return content


def _media_type(response: Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _decode(body: bytes, coding: str, max_bytes: int) -> bytes | None:
    """Return at most one byte more than `max_bytes`; None if that is not what the body is."""
    bits = _CODINGS.get(coding)
    if bits is None:
        return None
    if coding == "deflate" and body[:1] and body[0] & 0x0F != zlib.DEFLATED:
        bits = -15  # some servers send the bare stream (RFC 9110, section 8.4.1.2, note)
    stream = zlib.decompressobj(bits)
    try:
        content = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        return None
    return content if stream.eof or len(content) > max_bytes else None
