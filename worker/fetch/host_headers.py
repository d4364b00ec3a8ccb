"""Decides which requests get the headers that the operator gives for a host (CLIPQUEUE_FETCH_HEADERS).

A request gets them if it goes to that host and port over https, and so did all requests of its download before it. So a
server of a stranger cannot choose what is fetched with them: a redirect to the host gets none, not even the way back.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

from worker.fetch.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.fetch.target import Target
    from worker.header_lines import HeaderLine


class HostHeaders:
    """The operator's headers by host."""

    def __init__(self, lines: Iterable[HeaderLine] = ()) -> None:
        self._headers: defaultdict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        for line in lines:
            with suppress(ValueError):  # then no request can go there either
                self._headers[parse_target(f"https://{line.host}:{line.port}/").server][line.name] = line.value

    def of(self, target: Target) -> Mapping[str, str]:
        """Return the headers for a download that starts with `target`. They are secrets."""
        return self._headers.get(target.server, {}) if target.scheme == "https" else {}
