"""Decides which requests get the headers that the operator gives for a host (CLIPQUEUE_FETCH_HEADERS).

A request gets them if it goes to that host and port over https, and so did all requests of its download before it. So a
server of a stranger cannot choose what is fetched with them: a redirect to the host gets none, not even the way back.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

import urllib3

from worker.fetch.http import host_and_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.header_lines import HeaderLine

    Origin = tuple[str, str, int]


def origin(url: str) -> Origin:
    """Return scheme, host and port of an http or https URL. Raises urllib3's LocationParseError."""
    parts = urllib3.util.parse_url(url)  # which also decides where the request goes
    return str(parts.scheme), str(parts.host).rstrip("."), parts.port or host_and_port(url)[1]


class HostHeaders:
    """The operator's headers by host."""

    def __init__(self, lines: Iterable[HeaderLine] = ()) -> None:
        self._headers: defaultdict[Origin, dict[str, str]] = defaultdict(dict)
        for line in lines:
            with suppress(urllib3.exceptions.LocationParseError):  # then no request can go there either
                self._headers[origin(f"https://{line.host}:{line.port}/")][line.name] = line.value

    def of(self, url: str) -> Mapping[str, str]:
        """Return the headers for a download of `url`. They are secrets."""
        return self._headers.get(origin(url), {}) if self._headers else {}
