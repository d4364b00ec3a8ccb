"""Which URLs a job may have, and how a URL is shown without its query string."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from .errors import InvalidJob
from .text import check_text

MAX_URL_CHARS = 8192
# Matches most URLs. A URL that matches is valid, so the slower checks can be skipped.
_USUAL_URL = re.compile(r"https?://[a-z0-9.-]{1,512}/[!-\[\]-~]*")
# Matches a URL whose host and port have more than 512 characters; a name in DNS has at most 253. urlsplit brings them
# into Unicode's normal form, which takes a time that grows with the square of their length.
_LONG_HOST = re.compile(r"(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//[^/?#]{513}")
# What urlsplit removes first.
_IGNORED = re.compile(r"\A[\x00-\x20]+|[\t\r\n]")
# Matches the part of a common URL before its query or fragment.
_BEFORE_QUERY = re.compile(r"https?://[^?#@\[\]\\\x00-\x20\x7f-\U0010ffff]*(?=[?#]|\Z)")
# Matches a URL up to white space, with its query or fragment: removing too much is better than showing a signature. It
# matches URLs without a query too: else a text of many of them would take time that grows with its square.
_URL_IN_TEXT = re.compile(r"(https?://[^\s?#]*)\S*", re.IGNORECASE | re.ASCII)
# Matches a query without the host before it.
_BARE_QUERY = re.compile(r"\?[^\s?]*=\S*")
# urlsplit would silently remove some of these. No URL may contain them unescaped (RFC 3986, section 2).
_FORBIDDEN_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
# The end of an authority, from its first bracket. Some releases of Python accept more (`a[::1]b`).
_BRACKETED = re.compile(r"\[[^\[\]]*\](:[0-9]*)?")


def check_url(url: str) -> None:
    """Check that workers would fetch a URL: a string, http or https, with a host, at most 8,192 characters.

    Raises:
        InvalidJob: Workers would refuse the URL. The message says why, without repeating the URL.
    """
    if not isinstance(url, str):  # callers of the client may have no type checker
        raise InvalidJob(f"url must be a string, not {type(url).__name__}")
    if len(url) > MAX_URL_CHARS:
        raise InvalidJob(f"the URL has {len(url)} characters; at most {MAX_URL_CHARS} are allowed")
    if not _USUAL_URL.fullmatch(url):  # ten times faster than the checks below
        _check_unusual_url(url)


def redact_url(url: str) -> str:
    """Return scheme, host and path only: the query string of a signed URL is a secret."""
    if before_query := _BEFORE_QUERY.match(url):
        return before_query[0]  # the same result as below, ten times faster
    try:
        parts = _split(url)
    except ValueError:
        return "<unreadable URL>"
    netloc = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{netloc}{parts.path}" if parts.scheme else parts.path


def redact_text(text: str) -> str:
    """Remove the query and the fragment of every URL in a text."""
    return _URL_IN_TEXT.sub(r"\1", text) if "://" in text else text


def redact_queries(text: str) -> str:
    """Do as `redact_text`, and also remove queries without a host, as urllib3 writes them: `/a.jpg?signature=...`."""
    return _BARE_QUERY.sub("", redact_text(text))


def _split(url: str) -> SplitResult:
    if _LONG_HOST.match(_IGNORED.sub("", url)):
        raise ValueError("its host is too long")
    parts = urlsplit(url)
    if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc.rpartition("@")[2]):
        raise ValueError("its brackets enclose no host")
    return parts


def _check_unusual_url(url: str) -> None:
    check_text("the URL", url)
    try:
        parts = _split(url)
        host = parts.hostname
        port = parts.port  # urlsplit checks the port only when it is read
    except ValueError:
        raise InvalidJob("the URL cannot be read: its host or port is malformed") from None
    if not parts.scheme:
        raise InvalidJob("the URL has no scheme; it must start with http:// or https://")
    if parts.scheme not in ("http", "https"):
        raise InvalidJob(f"the URL's scheme is {parts.scheme!r}; only http and https are fetched")
    if _FORBIDDEN_IN_URL.search(url):
        raise InvalidJob("the URL contains a space, backslash or control character; percent-encode it")
    if parts.username is not None or parts.password is not None:
        raise InvalidJob("the URL contains a user name or password; use a URL without them, such as a signed URL")
    if host and "%" in host:
        raise InvalidJob("the URL's host contains a percent sign; zone ids and escapes are not allowed there")
    if not host or port == 0:
        raise InvalidJob("the URL has no host" if not host else "the URL's port is 0")
