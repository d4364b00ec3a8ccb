"""Fetchers for the tests, handlers for their servers, and a certificate authority that requests trusts."""

from __future__ import annotations

import ipaddress
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tests.support.servers import Proxy
from worker.fetch.deadline import DownloadWatchdog
from worker.fetch.fetcher import FetchRules, HttpFetcher
from worker.fetch.guard import Guard
from worker.fetch.host_headers import HostHeaders
from worker.fetch.host_limits import HostLimits
from worker.fetch.http import GuardedAdapter
from worker.header_lines import parse_header_lines

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from worker.fetch.deadline import Deadline
    from worker.fetch.dns import Address, Resolve

    MakeFetcher = Callable[..., HttpFetcher]

# Longer than any test, so that no limit of this length is reached, even on a loaded machine.
LONG_S = 30.0
ALL_PORTS = (range(1, 65_536),)
WEB_PORTS = (range(80, 81), range(443, 444))
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
RULES = FetchRules(total_s=LONG_S, connect_s=LONG_S, read_s=LONG_S, max_bytes=100_000, user_agent="clipqueue/test")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage"
_DRIPS = 100
_DRIP_S = 0.05


def serve(*parts: bytes) -> Callable[[socket.socket], None]:
    """Return a handler that reads one request and sends `parts`."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65_536)
        for part in parts:
            connection.sendall(part)

    return handle


class Drip:
    """A handler that sends `start` at once and then `part` every 50 ms, for five seconds.

    Attributes:
        is_complete: Whether it sent everything before the client disconnected.
    """

    def __init__(self, start: bytes, part: bytes) -> None:
        self.is_complete = False
        self._start, self._part = start, part

    def __call__(self, connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(self._start)
        for _ in range(_DRIPS):
            time.sleep(_DRIP_S)
            connection.sendall(self._part)
        self.is_complete = True


def resolve_to(*addresses: str) -> Resolve:
    """Return a name lookup that returns these addresses for all names."""
    return lambda _: [ipaddress.ip_address(address) for address in addresses]


class RecordingResolver:
    """A name lookup that returns one address after another, and records the names.

    Attributes:
        names: The names that were looked up, in order.
    """

    def __init__(self, *addresses: str) -> None:
        self.names: list[str] = []
        self._addresses = addresses

    def __call__(self, host: str) -> Sequence[Address]:
        self.names.append(host)
        turn = min(len(self.names), len(self._addresses)) - 1
        return [ipaddress.ip_address(self._addresses[turn])]


LOCAL_GUARD = Guard(ALL_PORTS, LOOPBACK)
NAMED_GUARD = Guard(ALL_PORTS, LOOPBACK, resolve_to("127.0.0.1"))


@pytest.fixture
def make_fetcher() -> Iterator[MakeFetcher]:
    """A function that returns a fetcher. Its keyword arguments replace those of `RULES`."""
    with ExitStack() as fetchers:

        def make(
            guard: Guard = LOCAL_GUARD, proxy: str = "", per_host: int = 4, headers: str = "", **rules: Any
        ) -> HttpFetcher:
            adapter, limits = GuardedAdapter(guard, 4, proxy), HostLimits(per_host, wait_s=0.1)
            fetcher = HttpFetcher(adapter, limits, replace(RULES, **rules), HostHeaders(parse_header_lines(headers)))
            return fetchers.enter_context(closing(fetcher))

        yield make


@pytest.fixture
def fetcher(make_fetcher: MakeFetcher) -> HttpFetcher:
    """A fetcher that may connect to loopback."""
    return make_fetcher()


@pytest.fixture
def watchdog() -> Iterator[DownloadWatchdog]:
    with closing(DownloadWatchdog()) as watchdog:
        yield watchdog


@pytest.fixture
def deadline(watchdog: DownloadWatchdog) -> Iterator[Deadline]:
    """A deadline that no test reaches."""
    with watchdog.limit(LONG_S) as deadline:
        yield deadline


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """An egress proxy that answers plain requests with `plain`, and tunnels to no host until `ports` is filled."""
    with closing(Proxy({}, b"plain")) as proxy:
        yield proxy


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A certificate authority that requests trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "ca.pem"))
    return authority
