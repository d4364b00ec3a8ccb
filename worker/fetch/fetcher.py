"""Downloads one image: follows redirects, checks the status, and limits time and size."""

from __future__ import annotations

import http.client
import re
import time
import zlib
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import requests
import urllib3

from producer.contract.errors import InvalidJob
from producer.contract.urls import check_url, redact_url
from worker.errors import (
    BadEncoding,
    BadRedirect,
    BadUrl,
    BlockedAddress,
    ConnectionFailed,
    EmptyBody,
    FetchTimeout,
    HtmlPage,
    HttpRefused,
    HttpUnavailable,
    JobError,
    TooManyBytes,
)
from worker.fetch.deadline import Deadline, DownloadWatchdog
from worker.fetch.http import host_and_port
from worker.fetch.target import parse_target, resolve_location

if TYPE_CHECKING:
    from worker.fetch.host_limits import HostLimits
    from worker.fetch.http import GuardedAdapter

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_RETRYABLE_4XX = {408, 425, 429}
# identity: images are already compressed, and a body without a content coding cannot be a decompression bomb.
_HEADERS = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
# http.client's error when an egress proxy refuses to connect to a host.
_PROXY_REFUSES = re.compile(r"Tunnel connection failed: 403")

_READ_CHUNK = 65_536
_MAX_LENGTH_DIGITS = 20  # Python refuses to parse a number of thousands of digits
_HTML_TYPES = {"text/html", "application/xhtml+xml"}
# The `wbits` of zlib.decompressobj for each content coding (RFC 9110, section 8.4.1).
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_RAW_DEFLATE_WINDOW_BITS = -15


class Fetcher(Protocol):
    """Downloads the content of a URL."""

    def fetch(self, url: str) -> bytes:
        """Return the body; raises PermanentError, TransientError or Requeue (`worker.errors`)."""
        ...


@dataclass(frozen=True)
class FetchRules:
    """Limits and options of a download.

    Attributes:
        total_s: Seconds for the whole download, redirects included.
        connect_s: Seconds to connect to one address.
        read_s: Seconds to wait for the next bytes.
        max_bytes: Maximum size of the body, as sent and as decompressed.
        user_agent: The User-Agent header.
        allow_downgrade: Whether to follow a redirect from https to http.
    """

    total_s: float
    connect_s: float
    read_s: float
    max_bytes: int
    user_agent: str = "clipqueue"
    allow_downgrade: bool = False


class HttpFetcher:
    """Downloads over http and https with pooled connections. Safe to share between threads."""

    def __init__(self, adapter: GuardedAdapter, host_limits: HostLimits, rules: FetchRules) -> None:
        # An adapter instead of a Session, because a Session reads the whole body of a redirect even when it does
        # not follow it (a 302 with 300 MB costs 900 MB of memory), keeps cookies, and reads .netrc and proxy variables.
        self._adapter = adapter
        self._host_limits = host_limits
        self._rules = rules
        self._headers = {**_HEADERS, "User-Agent": rules.user_agent}
        self._watchdog = DownloadWatchdog()

    def fetch(self, url: str) -> bytes:
        """Return the body of `url` after at most five redirects.

        Raises:
            PermanentError, TransientError: An error of the stage `fetch` in `worker.errors`.
            HostBusy: Too many downloads from the host are already running.
            ResolverBusy: All resolver threads are busy.
        """
        with self._watchdog.limit(self._rules.total_s) as deadline:
            try:
                body = self._follow_redirects(url)
            except (JobError, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
                raise self._to_job_error(exc, url, deadline) from None
        # The watchdog may have truncated the headers, and http.client treats truncated headers as complete.
        if deadline.is_expired:
            raise self._timeout_error(url)
        return body

    def close(self) -> None:
        """Close the idle connections. Running downloads can finish, but none may start after this."""
        self._adapter.close()
        self._watchdog.close()

    def _follow_redirects(self, url: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            with self._host_limits.hold(*host_and_port(url)):
                response = self._request(url)
                try:
                    if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                        _check_status(response, url)
                        return _read_body(response, url, self._rules.max_bytes)
                    url = self._redirect_target(url, response.headers["Location"])
                finally:
                    response.close()  # also closes the connection if the body was not read to its end
        raise BadRedirect(f"more than {_MAX_REDIRECTS} redirects, the last one to {redact_url(url)}")

    def _request(self, url: str) -> requests.Response:
        try:
            target = parse_target(url)
        except ValueError as exc:
            raise BadUrl(f"cannot make a request for {redact_url(url)}: {exc}") from None
        return self._adapter.get(target, self._headers, (self._rules.connect_s, self._rules.read_s))

    def _redirect_target(self, url: str, location: str) -> str:
        try:
            target = resolve_location(parse_target(url), location)
            check_url(target)
        except InvalidJob as exc:
            raise BadRedirect(f"{redact_url(url)} redirects to a URL that is not allowed: {exc}") from None
        except ValueError:  # its message may contain the target, and with it a password
            raise BadRedirect(f"{redact_url(url)} redirects to an invalid URL") from None
        is_downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http"
        if is_downgrade and not self._rules.allow_downgrade:
            raise BadRedirect(f"{redact_url(url)} redirects from https to http (CLIPQUEUE_FETCH_ALLOW_DOWNGRADE)")
        return target

    def _to_job_error(self, exc: Exception, url: str, deadline: Deadline) -> JobError:
        # The deadline comes first, because a socket that was shut down can fail in any of these ways.
        if deadline.is_expired or isinstance(exc, requests.Timeout | urllib3.exceptions.TimeoutError):
            return self._timeout_error(url)
        if isinstance(exc, JobError):
            return exc
        if isinstance(exc, requests.exceptions.ProxyError) and _PROXY_REFUSES.search(str(exc)):
            return BlockedAddress(f"the egress proxy refuses to connect to {redact_url(url)}")
        if isinstance(exc, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
            return BadUrl(f"cannot make a request for {redact_url(url)}")
        return ConnectionFailed(f"{redact_url(url)}: {_innermost_reason(exc)}")

    def _timeout_error(self, url: str) -> FetchTimeout:
        limits = f"{self._rules.total_s:g} s in total, {self._rules.read_s:g} s between two bytes"
        return FetchTimeout(f"the download of {redact_url(url)} timed out ({limits})")


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    # The standard's reason phrase, because the server's can contain anything, of any length.
    message = f"{redact_url(url)} answered {status} {http.client.responses.get(status, '')}".rstrip()
    if status in _RETRYABLE_4XX or status >= 500:  # noqa: PLR2004
        raise HttpUnavailable(status, message, _retry_after_s(response.headers.get("Retry-After")))
    if not 200 <= status < 300:  # noqa: PLR2004
        raise HttpRefused(status, message)


def _retry_after_s(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _read_body(response: requests.Response, url: str, max_bytes: int) -> bytes:
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


def _innermost_reason(exc: BaseException) -> str:
    """Return the innermost cause as text, because the outer exceptions repeat the URL with its query."""
    while inner := next((e for e in (getattr(exc, "reason", None), *exc.args) if isinstance(e, Exception)), None):
        exc = inner
    return (isinstance(exc, OSError) and exc.strerror) or type(exc).__name__
