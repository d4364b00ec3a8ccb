"""Reads the head of a request to the telemetry server: of HTTP/1, as much as a scrape and a health check need."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REQUEST_LINE = re.compile(r"([A-Z]{1,16}) (/[^\s?#]*)(?:\?(\S*))? HTTP/1\.[01]")
_METHODS = ("GET", "HEAD")
# prometheus_client compares the version with numbers, and raises TypeError for another.
_ODD_VERSION = re.compile(r"version=(?![0-9]{1,9}(?:\.[0-9]{1,9})*\s*(?:[;,]|\Z))")


class Refused(Exception):
    """The request is not answered. `status` is the status line, such as `400 Bad Request`."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Head:
    """A request.

    Attributes:
        is_head: The client wants no body.
        path: Without the query, such as `/metrics`.
        query: What follows the question mark.
        accept: The header Accept; empty if there is none.
        accept_encoding: The header Accept-Encoding; empty if there is none.
    """

    is_head: bool
    path: str
    query: str
    accept: str
    accept_encoding: str


def parse_head(content: bytes) -> Head:
    """Read a head: all bytes up to the empty line.

    Raises:
        Refused: It is not HTTP/1, or another method than GET and HEAD.
    """
    line, *lines = content.decode("latin-1").split("\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Refused("400 Bad Request", "this is no request of HTTP/1")
    method, path, query = match.groups()
    if method not in _METHODS:
        raise Refused("405 Method Not Allowed", "only GET and HEAD are answered")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
    accept = headers.get("accept", "")
    if _ODD_VERSION.search(accept):
        accept = ""
    return Head(method == "HEAD", path, query or "", accept, headers.get("accept-encoding", ""))
