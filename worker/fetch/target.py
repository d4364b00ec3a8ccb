"""Says where a URL leads, and what the request line says. Does not connect, and does not decide what is allowed.

The path and the query are sent as they were given. requests and urllib3 rewrite them: `%7E` becomes `~`, `%3a` becomes
`%3A`, `[` becomes `%5B`, and `/a/../b` becomes `/b`. The signature of a signed URL then does not match, and the server
answers 403. Therefore these libraries see scheme, host and port only, and the rest goes from here to the connection.

Dot segments (`/a/../b`) are sent as given too, as `curl --path-as-is` does; a browser removes them. A store of objects
takes them for a part of the key, and S3's signers sign them (aws/aws-sdk-java-v2#3534). Servers of files resolve them
on their own. Only a relative Location is resolved, because it leads nowhere otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import urllib3

DEFAULT_PORTS = {"http": 80, "https": 443}

# Scheme, authority, path and query of a URL (RFC 3986, appendix B). The fragment is never sent.
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)((?:\?[^#]*)?)", re.IGNORECASE | re.ASCII)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE | re.ASCII)
# A host with other characters is no name and no address. Whoever reads such a host again reads the same.
_HOST = re.compile(r"(?!\.)[a-z0-9._-]+|\[[0-9a-f:.]+\]")
# urllib3 would end the host at a backslash, and find a user before an @.
_NOT_IN_HOST = re.compile(r"[\x00-\x20@\\\x7f]")
# What RFC 3986 does not allow and Chromium escapes. The rest goes out as given, also `[` and a stray `%`.
_ESCAPED_IN_PATH = re.compile(rb'[\x00-\x20"<>\\^`{|}\x7f-\xff]')
_ESCAPED_IN_QUERY = re.compile(rb'[\x00-\x20"<>\\\x7f-\xff]')
# What the WHATWG URL standard removes from a URL: at its ends, and everywhere.
_AROUND = "".join(map(chr, range(0x21)))
_INSIDE = str.maketrans("", "", "\t\r\n")


@dataclass(frozen=True)
class Target:
    """Where a request goes.

    Attributes:
        scheme: `http` or `https`.
        host: A name in lower case and IDNA, or an address. An IPv6 address has brackets.
        port: The TCP port.
        path: Path and query, as the request line says them.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        """The URL without path and query, and without the port if it is the scheme's own."""
        return f"{self.scheme}://{self.host}{self._shown_port}"

    @property
    def absolute(self) -> str:
        """The whole URL, for the request line of a request to a proxy (RFC 9112, section 3.2.2)."""
        return self.origin + self.path

    @property
    def server(self) -> tuple[str, int]:
        """Host and port. A name with a trailing dot is the same server as without."""
        return self.host.rstrip("."), self.port

    @property
    def host_header(self) -> str:
        """The value of the Host header. Servers know their names without a trailing dot, like their certificates."""
        return self.host.rstrip(".") + self._shown_port

    @property
    def _shown_port(self) -> str:
        return "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"


def parse_target(url: str) -> Target:
    """Read an http or https URL.

    Raises:
        ValueError: The URL has no host that is a name or an address. The message does not contain the URL.
    """
    match = _URL.match(url)
    if match is None or _NOT_IN_HOST.search(match[2]):
        raise ValueError("it is no http or https URL, or its host has characters that no host has")
    scheme, authority = match[1].lower(), match[2]
    try:
        parsed = urllib3.util.parse_url(f"{scheme}://{authority}/")  # in lower case and IDNA
    except urllib3.exceptions.LocationParseError:
        raise ValueError("its host cannot be read") from None
    host = (parsed.host or "").lower()
    if not _HOST.fullmatch(host):
        raise ValueError("its host is neither a name nor an address")
    port = DEFAULT_PORTS[scheme] if parsed.port is None else parsed.port
    return Target(scheme, host, port, _escape(match[3].encode() or b"/", match[4].encode()))


def resolve_location(base: Target, location: str) -> str:
    """Return the URL that a Location header leads to, without its fragment.

    Args:
        base: What was asked for.
        location: The bytes of the header as Latin-1. Those outside ASCII are escaped as they came, whatever their
            charset, as Chromium does (`HttpResponseHeaders::IsRedirect`). Only a host must be UTF-8.

    Raises:
        ValueError: The header is empty, or its host is not UTF-8.
    """
    reference = _clean(location)
    if not reference:
        raise ValueError("its Location is empty")
    if reference.startswith("//"):
        reference = f"{base.scheme}:{reference}"
    if match := _URL.match(reference):
        authority = match[2].encode("latin-1").decode()
        return f"{match[1]}://{authority}{_escape(match[3].encode('latin-1'), match[4].encode('latin-1'))}"
    if match := _SCHEME.match(reference):
        if match[1].lower() != base.scheme:
            return reference  # of another scheme, or without a host: not fetched
        reference = reference[match.end() :]  # `http:a.jpg` is relative (RFC 3986, section 5.2.2)
    path, mark, query = reference.partition("?")
    base_path, base_mark, base_query = base.path.partition("?")
    if not path:
        path = base_path
        mark, query = (mark, query) if mark else (base_mark, base_query)
    elif not path.startswith("/"):
        path = _merge(base_path, path)
    return base.origin + _escape(path.encode("latin-1"), (mark + query).encode("latin-1"))


def _clean(location: str) -> str:
    """Return a Location without its fragment and the characters that browsers ignore, and with slashes only."""
    reference = location.strip(_AROUND).translate(_INSIDE).partition("#")[0]
    before_query, mark, query = reference.partition("?")
    return before_query.replace("\\", "/") + mark + query


def _merge(base_path: str, relative: str) -> str:
    """Resolve a relative path (RFC 3986, sections 5.2.3 and 5.2.4)."""
    segments = [*base_path.split("/")[1:-1], *relative.split("/")]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _escape(path: bytes, query: bytes) -> str:
    """Escape what must not be in a request line. The query starts with its question mark, or is empty."""
    escaped = _ESCAPED_IN_PATH.sub(_percent, path) + _ESCAPED_IN_QUERY.sub(_percent, query)
    return escaped.decode("ascii")


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
