"""Reads the body of a response: limits its size, undoes its content codings, and refuses web pages.

An image is recognized by its first bytes, whatever Content-Type says, as browsers do for an `<img>` (WHATWG MIME
Sniffing, section 8.1). So is a web page, such as a login page, before all of it is downloaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import EmptyBody, HtmlPage, TooManyBytes
from worker.fetch.codings import Codings
from worker.signatures import SIGNATURE_BYTES, is_surely_supported, is_web_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

_READ_CHUNK = 65_536
_MAX_LENGTH_DIGITS = 20  # Python refuses to parse a number of thousands of digits
_HTML_TYPES = {"text/html", "application/xhtml+xml"}


def read_body(response: requests.Response, url: str, max_bytes: int) -> bytes:
    """Read the body and undo its content codings.

    Raises:
        HtmlPage, TooManyBytes, EmptyBody, BadEncoding, FetchTimeout: See `worker.errors`.
    """
    shown = redact_url(url)
    too_many_bytes = TooManyBytes(f"{shown} is larger than {max_bytes} bytes (CLIPQUEUE_FETCH_MAX_BYTES)")
    if _content_length(response) > max_bytes:
        raise too_many_bytes
    codings = Codings(response.headers.get("Content-Encoding", ""), shown)
    body = bytearray()
    for chunk in _read_chunks(response):
        is_looked_at = len(body) >= SIGNATURE_BYTES
        body += chunk
        if len(body) > max_bytes:
            raise too_many_bytes
        if not is_looked_at and (len(body) >= SIGNATURE_BYTES or not chunk):
            start = codings.undo(bytes(body[:SIGNATURE_BYTES]), SIGNATURE_BYTES, is_start=True)
            _refuse_web_page(start, response, shown)
    content = codings.undo(bytes(body), max_bytes)
    if len(content) > max_bytes:
        raise too_many_bytes
    if not content:
        raise EmptyBody(f"{shown} has an empty body")
    return content


def _read_chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it arrives, and an empty chunk at its end."""
    # read1 instead of iter_content: it returns the bytes that have arrived, so the size is checked after each read.
    while chunk := response.raw.read1(_READ_CHUNK, decode_content=False):
        yield chunk
    yield b""


def _refuse_web_page(start: bytes, response: requests.Response, shown: str) -> None:
    if is_web_page(start):
        raise HtmlPage(f"{shown} is a web page, not an image")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if start and media_type in _HTML_TYPES and not is_surely_supported(start):
        raise HtmlPage(f"{shown} has the type of a web page and does not start like an image")


def _content_length(response: requests.Response) -> int:
    length = response.headers.get("Content-Length", "")
    return int(length[:_MAX_LENGTH_DIGITS]) if length.isdecimal() else 0
