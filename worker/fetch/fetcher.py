"""Downloads one image: redirects, status, size and time. Where connections may go is `connections`' business."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urldefrag, urljoin, urlsplit

import requests
import urllib3
from requests.utils import requote_uri

from producer.contract.errors import InvalidJob
from producer.contract.urls import check_url, redact_url
from worker.errors import (
    BadRedirect,
    BadUrl,
    BlockedAddress,
    ConnectionFailed,
    FetchTimeout,
    HttpRefused,
    HttpUnavailable,
    JobError,
)
from worker.fetch.bodies import read_body
from worker.fetch.deadline import Deadline
from worker.fetch.http import host_and_port

if TYPE_CHECKING:
    from worker.fetch.host_limits import HostLimits
    from worker.fetch.http import GuardedAdapter

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_COME_BACK_LATER = {408, 425, 429}
# identity: images are compressed already, and a body that is not compressed cannot be a bomb.
_HEADERS = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
# What http.client says of an egress proxy that does not want to connect there.
_PROXY_REFUSES = re.compile(r"Tunnel connection failed: 403")


class Fetcher(Protocol):
    """Turns a URL into bytes."""

    def fetch(self, url: str) -> bytes:
        """Return the body; raises PermanentError or TransientError (`worker.errors`)."""
        ...


@dataclass(frozen=True)
class FetchRules:
    """What one download may cost, in seconds and bytes, and how it presents itself.

    Attributes:
        user_agent: The header of that name.
        allow_downgrade: Follow a redirect from https to http.
    """

    total_s: float
    connect_s: float
    read_s: float
    max_bytes: int
    user_agent: str = "clipqueue"
    allow_downgrade: bool = False


class HttpFetcher:
    """Fetches over http and https with pooled connections; safe to share between threads."""

    def __init__(self, adapter: GuardedAdapter, slots: HostLimits, rules: FetchRules) -> None:
        # The adapter and not a Session: a Session reads a redirect's whole body even when told not to follow
        # it (a 302 with 300 MB costs 900 MB), shares cookies, and honours proxies and .netrc of the host.
        self._adapter = adapter
        self._slots = slots
        self._rules = rules
        self._headers = {**_HEADERS, "User-Agent": rules.user_agent}

    def fetch(self, url: str) -> bytes:
        """Return the body of `url` after at most five redirects.

        Raises:
            PermanentError, TransientError: One of the `fetch` stage's errors in `worker.errors`.
            HostBusy: As many downloads from the host as may run already do.
        """
        with Deadline(self._rules.total_s) as deadline:
            try:
                body = self._follow(url)
            except (JobError, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
                raise self._explain(exc, url, deadline) from None
        if deadline.expired:  # a header phase that was cut reads like an empty answer
            raise self._too_slow(url)
        return body

    def close(self) -> None:
        """Close the pooled connections."""
        self._adapter.close()

    def _follow(self, url: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            with self._slots.hold(_host_of(url)):
                response = self._get(url)
                try:
                    if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                        _check_status(response, url)
                        return read_body(response, url, self._rules.max_bytes)
                    url = self._redirect_target(url, response.headers["Location"])
                finally:
                    response.close()  # what was not read to its end is dropped with its connection
        raise BadRedirect(f"more than {_MAX_REDIRECTS} redirects, the last to {redact_url(url)}")

    def _get(self, url: str) -> requests.Response:
        try:
            request = requests.Request("GET", url, headers=self._headers).prepare()
        except ValueError as exc:  # requests' InvalidURL is one
            raise BadUrl(f"no request can be made of {redact_url(url)}: {type(exc).__name__}") from None
        timeouts = (self._rules.connect_s, self._rules.read_s)
        return self._adapter.send(request, stream=True, timeout=timeouts)

    def _redirect_target(self, url: str, location: str) -> str:
        try:
            # http.client reads headers as latin-1; servers that send other characters send UTF-8.
            location = location.encode("latin-1").decode("utf-8", "replace")
            target = requote_uri(urldefrag(urljoin(url, location)).url)
            check_url(target)
        except InvalidJob as exc:
            raise BadRedirect(f"{redact_url(url)} redirects to something that is not fetched: {exc}") from None
        except ValueError:  # its text may quote the target, and with it a password
            raise BadRedirect(f"{redact_url(url)} redirects to something that is no URL") from None
        downgrade = urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http"
        if downgrade and not self._rules.allow_downgrade:
            raise BadRedirect(f"{redact_url(url)} redirects from https to http (CLIPQUEUE_FETCH_ALLOW_DOWNGRADE)")
        return target

    def _explain(self, exc: Exception, url: str, deadline: Deadline) -> Exception:
        # The deadline is asked first: a socket that was cut fails in any of these ways.
        if deadline.expired or isinstance(exc, requests.Timeout | urllib3.exceptions.TimeoutError):
            return self._too_slow(url)
        if isinstance(exc, requests.exceptions.ProxyError) and _PROXY_REFUSES.search(str(exc)):
            return BlockedAddress(f"the egress proxy refuses to connect to {redact_url(url)}")
        if isinstance(exc, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
            return BadUrl(f"no request can be made of {redact_url(url)}")
        return exc if isinstance(exc, JobError) else ConnectionFailed(f"{redact_url(url)}: {_reason(exc)}")

    def _too_slow(self, url: str) -> FetchTimeout:
        limits = f"{self._rules.total_s:g} s in all, {self._rules.read_s:g} s between two bytes"
        return FetchTimeout(f"{redact_url(url)} did not arrive in time ({limits})")


def _host_of(url: str) -> str:
    return "{}:{}".format(*host_and_port(url))


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    # The standard's own words: the server's may be anything, of any length.
    message = f"{redact_url(url)} answered {status} {http.client.responses.get(status, '')}".rstrip()
    if status in _COME_BACK_LATER or status >= 500:  # noqa: PLR2004
        raise HttpUnavailable(status, message, _retry_after_s(response.headers.get("Retry-After")))
    if not 200 <= status < 300:  # noqa: PLR2004
        raise HttpRefused(status, message)


def _retry_after_s(header: str | None) -> float | None:
    """Read Retry-After (RFC 9110, section 10.2.3): seconds, or a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _reason(exc: BaseException) -> str:
    """Return the innermost cause in words: the outer ones repeat the URL with its query."""
    while inner := next((e for e in (getattr(exc, "reason", None), *exc.args) if isinstance(e, Exception)), None):
        exc = inner
    return (isinstance(exc, OSError) and exc.strerror) or type(exc).__name__
