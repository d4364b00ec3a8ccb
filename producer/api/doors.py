"""Decides who may make a request: the key, what it may do, how often, and from which pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from producer.api.failures import ApiError
from producer.api.keys import ENQUEUE, SEARCH, find_key
from producer.api.rates import RateLimit
from producer.api.settings import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.api.settings import ApiSettings

Headers = list[tuple[bytes, bytes]]

_PUBLIC = ("/", "/healthz", "/health", "/docs", "/openapi.json")
_PUBLIC_FOLDERS = ("/assets/", "/docs/")
_EITHER = ("/v1/models", "/v1/overview")
NO_KEY = "-"
_MAX_REQUESTS = 1000


class Doors:
    """Checks the head of each request."""

    def __init__(self, settings: ApiSettings) -> None:
        self._keys = settings.api_keys
        self._origins = settings.api_cors_origins
        self._rates = RateLimit(settings.api_requests_per_s)

    def check(self, method: str, path: str, headers: Headers, in_progress: int) -> str:
        """Return the name of the key that makes the request; `-` if it needs none.

        Args:
            method: Such as `GET`.
            path: The decoded path.
            headers: The names are in lower case.
            in_progress: How many requests are being answered, with this one.

        Raises:
            ApiError: The request may not be made: 401, 403 or 429.
        """
        if not self._keys:
            self._check_pages(headers)
        if is_public(method, path):
            return NO_KEY
        name = self._authenticate(method, path, headers) if self._keys else NO_KEY
        if wait_s := self._rates.wait_s(name):
            raise ApiError(429, "rate_limit_exceeded", "this key makes too many requests", retry_after_s=wait_s)
        if in_progress > _MAX_REQUESTS:
            raise ApiError(429, "overloaded", "too many requests at once", retry_after_s=1)
        return name

    def _authenticate(self, method: str, path: str, headers: Headers) -> str:
        key = find_key(self._keys, _given_key(headers))
        if key is None:
            raise ApiError(401, "invalid_api_key", "no valid key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        needed = _needed_scopes(method, path)
        if not key.scopes & needed:
            raise ApiError(403, "not_allowed", f"this key may not do this: it needs {' or '.join(sorted(needed))}")
        return key.name

    def _check_pages(self, headers: Headers) -> None:
        """Refuse requests that a page of another site makes in a browser on this machine.

        A page can point its own host name to 127.0.0.1 (DNS rebinding), or send simple requests to it.
        """
        host = _only(headers, b"host")
        if _host_name(f"//{host}") not in LOOPBACK:
            raise ApiError(403, "wrong_host", "without keys, the API answers only to localhost, 127.0.0.1 and [::1]")
        origin = _only(headers, b"origin")
        if origin and origin.partition("://")[2] != host and origin not in self._origins:
            raise ApiError(403, "wrong_origin", "the page's origin is not in CLIPQUEUE_API_CORS_ORIGINS")


def is_public(method: str, path: str) -> bool:
    """Return whether a request needs no key: the page, the documentation, and whether the API is healthy."""
    return method in {"GET", "HEAD"} and (path in _PUBLIC or path.startswith(_PUBLIC_FOLDERS))


def _needed_scopes(method: str, path: str) -> frozenset[str]:
    is_images = path == "/v1/images" or path.startswith("/v1/images/")
    if path in _EITHER or (is_images and method in {"GET", "HEAD"}):
        return frozenset((ENQUEUE, SEARCH))
    return frozenset((ENQUEUE if is_images else SEARCH,))


def _given_key(headers: Headers) -> str:
    scheme, _, token = _only(headers, b"authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else _only(headers, b"x-api-key")


def _only(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """Return the value of a header; an empty text if the request has none, or several that may contradict."""
    values = [value for key, value in headers if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
