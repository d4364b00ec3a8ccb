"""Which URLs a job may have, and how a URL is shown without its query string."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from producer.contract.errors import InvalidJob

MAX_URL_CHARS = 2048
# Most URLs; every one that matches is one that is fetched.
_USUAL_URL = re.compile(r"https?://[a-z0-9.-]+/[!-\[\]-~]*")
# A URL that is plain up to its query or fragment, if it has any.
_PLAIN_URL = re.compile(r"https?://[^?#@\[\]\\\x00-\x20\x7f-\U0010ffff]*(?=[?#]|\Z)")
# From the query's mark to the next white space: rather a word too many than a signature.
_QUERY_IN_TEXT = re.compile(r"(\bhttps?://[^\s?#]*)[?#]\S*", re.IGNORECASE)
# What urlsplit would silently strip, and what no URL may contain unescaped (RFC 3986, section 2).
_FORBIDDEN_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


def check_url(url: str) -> None:
    """Check that a URL is one that is fetched: a string, http or https, with a host, at most 2,048 characters.

    Raises:
        InvalidJob: It is not; the message says why, without repeating the URL.
    """
    if not isinstance(url, str):  # callers of the client may have no type checker
        raise InvalidJob(f"url must be a string, not {type(url).__name__}")
    if len(url) > MAX_URL_CHARS:
        raise InvalidJob(f"the URL has {len(url)} characters; at most {MAX_URL_CHARS} are allowed")
    if not _USUAL_URL.fullmatch(url):  # which takes a tenth of the time
        _check_unusual_url(url)


def redact_url(url: str) -> str:
    """Return scheme, host and path: a signed URL's secret lives in its query string."""
    if plain := _PLAIN_URL.match(url):
        return plain[0]  # as what follows would, in a tenth of the time
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<unreadable URL>"
    netloc = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{netloc}{parts.path}" if parts.scheme else parts.path


def redact_text(text: str) -> str:
    """Cut the query and fragment off every URL in a text."""
    return _QUERY_IN_TEXT.sub(r"\1", text) if "://" in text else text


def _check_unusual_url(url: str) -> None:
    check_text("the URL", url)
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port  # reading it checks it
    except ValueError:
        raise InvalidJob("the URL cannot be read: its host or port is malformed") from None
    if not parts.scheme:
        raise InvalidJob("the URL has no scheme; it must start with http:// or https://")
    if parts.scheme not in ("http", "https"):
        raise InvalidJob(f"the URL's scheme is {parts.scheme!r}; only http and https are fetched")
    if _FORBIDDEN_IN_URL.search(url):
        raise InvalidJob("the URL contains a space, backslash or control character; percent-encode it")
    if parts.username is not None or parts.password is not None:
        raise InvalidJob("the URL contains a user name or password; use a URL that needs none, such as a signed one")
    if host and "%" in host:
        raise InvalidJob("the URL's host contains a percent sign: no zone ids, no escapes")
    if not host or port == 0:
        raise InvalidJob("the URL has no host" if not host else "the URL's port is 0")


def check_text(name: str, text: str) -> None:
    """Check that a text can be stored: no null character, no lone surrogate. Raises InvalidJob."""
    if "\x00" in text:
        raise InvalidJob(f"{name} contains a null character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJob(f"{name} is not valid Unicode text (it has a lone surrogate)") from None
