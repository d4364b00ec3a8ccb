"""Keeps the cookies that redirects set, for the rest of one download (RFC 6265).

Some servers set a cookie, redirect to the same URL, and redirect again until the cookie comes back. A cookie goes back
to the very host that set it, never to another one of its domain: without the list of public suffixes, `evil.co.uk`
could otherwise set cookies for all of `co.uk`. http.cookiejar is not used, because its parsing can take minutes.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.fetch.target import Target

_MAX_COOKIES = 50  # as many as a browser must keep for a domain (RFC 6265, section 6.1)
_MAX_COOKIE_CHARS = 4096  # name and value together; the same section
_MAX_LINE_CHARS = 8192
_MAX_ATTRIBUTES = 16  # the rest is ignored, as earlier versions of Chromium did (net/cookies/parsed_cookie.h)
# The Cookie header of one request. Most servers refuse a header line of more than 8 KiB.
_MAX_HEADER_CHARS = 8000
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SPACES = " \t"


@dataclass(frozen=True)
class _Cookie:
    pair: str
    path: str
    is_secure: bool


class Cookies:
    """The cookies of one download."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}  # by host, path and name

    def keep(self, target: Target, lines: Iterable[str]) -> None:
        """Keep the cookies of an answer.

        Args:
            target: What was asked for.
            lines: The values of its Set-Cookie headers. Those that a browser would ignore are ignored.
        """
        for line in lines:
            if len(line) <= _MAX_LINE_CHARS and not _CONTROL.search(line):
                self._keep(target, line)

    def header(self, target: Target) -> str:
        """Return the Cookie header for a request: longer paths first (RFC 6265, section 5.4). May be empty."""
        path = _path(target)
        sent = [
            cookie
            for (its_host, _, _), cookie in self._cookies.items()
            if its_host == target.server[0]
            and _path_matches(path, cookie.path)
            and (target.scheme == "https" or not cookie.is_secure)
        ]
        header = ""
        for cookie in sorted(sent, key=lambda cookie: -len(cookie.path)):
            if len(header) + len(cookie.pair) <= _MAX_HEADER_CHARS:
                header += f"; {cookie.pair}" if header else cookie.pair
        return header

    def _keep(self, target: Target, line: str) -> None:
        pair, *parts = line.split(";", _MAX_ATTRIBUTES + 1)[: _MAX_ATTRIBUTES + 1]
        name, equals, value = (text.strip(_SPACES) for text in pair.partition("="))
        if not equals:  # a cookie without a name (RFC 6265bis, section 5.6)
            name, value = "", name
        attributes = {
            name.strip(_SPACES).lower(): value.strip(_SPACES)
            for name, _, value in (part.partition("=") for part in parts)
        }
        host = target.server[0]
        is_secure = "secure" in attributes
        is_ignored = (
            not name + value
            or len(name + value) > _MAX_COOKIE_CHARS
            or not _domain_matches(host, attributes.get("domain", ""))
            or (is_secure and target.scheme != "https")
        )
        if is_ignored:
            return
        its_path = attributes.get("path", "")
        its_path = its_path if its_path.startswith("/") else _path(target).rpartition("/")[0] or "/"
        key = host, its_path, name
        if _is_expired(attributes):
            self._cookies.pop(key, None)
        elif key in self._cookies or len(self._cookies) < _MAX_COOKIES:
            self._cookies[key] = _Cookie(f"{name}={value}" if name else value, its_path, is_secure)


def _path(target: Target) -> str:
    return target.path.partition("?")[0] or "/"


def _domain_matches(host: str, domain: str) -> bool:
    """Return whether a host may set a cookie for a domain (RFC 6265, section 5.1.3). Only its own cookies count."""
    domain = domain.removeprefix(".").lower()
    return not domain or host == domain or host.endswith(f".{domain}")


def _path_matches(path: str, its_path: str) -> bool:
    """Return whether a request's path is in the path of a cookie (RFC 6265, section 5.1.4)."""
    return path == its_path or path.startswith(its_path if its_path.endswith("/") else f"{its_path}/")


def _is_expired(attributes: Mapping[str, str]) -> bool:
    """Return whether an answer deletes its cookie. Max-Age goes before Expires (RFC 6265, section 5.3)."""
    max_age = attributes.get("max-age", "")
    if re.fullmatch(r"-?[0-9]+", max_age):
        return max_age.startswith("-") or not max_age.strip("0")
    try:
        return parsedate_to_datetime(attributes.get("expires", "")).timestamp() < time.time()
    except (ValueError, OverflowError):
        return False
