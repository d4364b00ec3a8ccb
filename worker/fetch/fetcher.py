"""Downloads one image: follows redirects and limits the time. `status` and `body` read the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from producer.contract.errors import InvalidJob
from producer.contract.urls import check_url, redact_url
from worker.errors import (
    BadRedirect,
    BadUrl,
    BlockedAddress,
    ConnectionFailed,
    FetchTimeout,
    JobError,
)
from worker.fetch.body import read_body
from worker.fetch.cookies import Cookies
from worker.fetch.deadline import Deadline, DownloadWatchdog
from worker.fetch.status import check_status
from worker.fetch.target import parse_target, resolve_location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.fetch.host_headers import HostHeaders
    from worker.fetch.host_limits import HostLimits
    from worker.fetch.http import GuardedAdapter
    from worker.fetch.target import Target

_MAX_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
# identity: images are already compressed, and a body without a content coding cannot be a decompression bomb.
_HEADERS = {"Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
# http.client's error when an egress proxy refuses to connect to a host.
_PROXY_REFUSES = re.compile(r"Tunnel connection failed: 403")


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
    """Downloads over http and https with pooled connections. Safe to share between threads.

    Args:
        adapter: Sends the requests.
        host_limits: Limits the downloads from one host.
        rules: Limits and options of each download.
        host_headers: The operator's headers for some hosts.
        note_bytes: Called with the number of bytes of each body as far as it was read, compressed if it came so.
    """

    def __init__(
        self,
        adapter: GuardedAdapter,
        host_limits: HostLimits,
        rules: FetchRules,
        host_headers: HostHeaders,
        note_bytes: Callable[[int], object] = lambda _: None,
    ) -> None:
        # An adapter instead of a Session, because a Session reads the whole body of a redirect even when it does
        # not follow it (a 302 with 300 MB costs 900 MB of memory), keeps cookies, and reads .netrc and proxy variables.
        self._adapter = adapter
        self._host_limits = host_limits
        self._rules = rules
        self._host_headers = host_headers
        self._note_bytes = note_bytes
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
        target = _parse(url)
        cookies, private = Cookies(), self._host_headers.of(target)
        timeouts = self._rules.connect_s, self._rules.read_s
        for _ in range(_MAX_REDIRECTS + 1):
            with self._host_limits.hold(*target.server):
                response = self._adapter.get(target, self._headers_for(target, private, cookies), timeouts)
                try:
                    if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                        check_status(response, url)
                        return read_body(response, url, self._rules.max_bytes)
                    cookies.keep(target, response.raw.headers.getlist("Set-Cookie"))
                    previous = target
                    url, target = self._redirect(url, target, response.headers["Location"])
                finally:
                    self._note_bytes(response.raw.tell())
                    response.close()  # also closes the connection if the body was not read to its end
            if (target.scheme, target.server) != (previous.scheme, previous.server):
                private = {}
        raise BadRedirect(f"more than {_MAX_REDIRECTS} redirects, the last one to {redact_url(url)}")

    def _headers_for(self, target: Target, private: Mapping[str, str], cookies: Cookies) -> Mapping[str, str]:
        """Return the headers of a request. `private` are those that the operator gives for its host."""
        headers = CaseInsensitiveDict({**self._headers})
        headers.update(private)
        if cookie := cookies.header(target):
            headers["Cookie"] = f"{headers['Cookie']}; {cookie}" if "Cookie" in headers else cookie
        return headers

    def _redirect(self, url: str, target: Target, location: str) -> tuple[str, Target]:
        """Return the URL that the answer to `url` redirects to, and where that leads."""
        try:
            new_url = resolve_location(target, location)
            check_url(new_url)
            new_target = parse_target(new_url)
        except InvalidJob as exc:
            raise BadRedirect(f"{redact_url(url)} redirects to a URL that is not allowed: {exc}") from None
        except ValueError:  # its message may contain the target, and with it a password
            raise BadRedirect(f"{redact_url(url)} redirects to an invalid URL") from None
        is_downgrade = target.scheme == "https" and new_target.scheme == "http"
        if is_downgrade and not self._rules.allow_downgrade:
            raise BadRedirect(f"{redact_url(url)} redirects from https to http (CLIPQUEUE_FETCH_ALLOW_DOWNGRADE)")
        return new_url, new_target

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


def _parse(url: str) -> Target:
    try:
        return parse_target(url)
    except ValueError as exc:
        raise BadUrl(f"cannot make a request for {redact_url(url)}: {exc}") from None


def _innermost_reason(exc: BaseException) -> str:
    """Return the innermost cause as text, because the outer exceptions repeat the URL with its query."""
    while inner := next((e for e in (getattr(exc, "reason", None), *exc.args) if isinstance(e, Exception)), None):
        exc = inner
    return (isinstance(exc, OSError) and exc.strerror) or type(exc).__name__
