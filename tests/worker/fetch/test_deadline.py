"""Slow servers, hanging name servers, and the watchdog that ends their downloads."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import SocketServer, tls_context
from tests.support.waiting import wait_for
from tests.worker.fetch.conftest import ALL_PORTS, LONG_S, LOOPBACK, NAMED_GUARD, OK, Drip
from worker import errors
from worker.fetch.dns import ThreadedResolver, system_resolve
from worker.fetch.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    import trustme

    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.deadline import DownloadWatchdog
    from worker.fetch.dns import Address

SHORT_S = 0.3
HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "body": (HEAD + b"Content-Length: 999\r\n\r\n", b"x"),
    "headers": (HEAD, b"X: y\r\n"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "silence": (b"", b""),
}


@pytest.mark.parametrize("drip", [Drip(*parts) for parts in DRIPS.values()], ids=list(DRIPS))
def test_the_deadline_ends_a_slow_download(drip: Drip, make_fetcher: MakeFetcher) -> None:
    """The read timeout is longer than the test."""
    with SocketServer(drip) as server, pytest.raises(errors.FetchTimeout):
        make_fetcher(total_s=SHORT_S).fetch(server.url)
    assert not drip.is_complete


def test_the_read_timeout_ends_a_silent_download(make_fetcher: MakeFetcher) -> None:
    silence = Drip(HEAD, b"")
    with SocketServer(silence) as server, pytest.raises(errors.FetchTimeout):
        make_fetcher(read_s=SHORT_S).fetch(server.url)
    assert not silence.is_complete


@pytest.mark.parametrize("drip", [Drip(OK[:20], b"x"), Drip(*DRIPS["body"])], ids=["headers", "body"])
def test_the_deadline_ends_a_slow_download_over_tls(
    drip: Drip, make_fetcher: MakeFetcher, authority: trustme.CA
) -> None:
    with (
        SocketServer(drip, tls_context(authority, "images.test")) as server,
        pytest.raises(errors.FetchTimeout),
    ):
        make_fetcher(NAMED_GUARD, total_s=SHORT_S).fetch(f"https://images.test:{server.port}/")
    assert not drip.is_complete


def test_the_deadline_ends_a_slow_tls_handshake(make_fetcher: MakeFetcher) -> None:
    drip = Drip(b"\x16\x03\x03\x40\x00", b"\x02")  # one byte at a time of a handshake record of 16 KB
    with SocketServer(drip) as server, pytest.raises(errors.FetchTimeout):
        make_fetcher(NAMED_GUARD, total_s=SHORT_S).fetch(f"https://images.test:{server.port}/")
    assert not drip.is_complete


def test_a_lookup_that_hangs_is_given_up(make_fetcher: MakeFetcher) -> None:
    """getaddrinfo has no timeout."""
    release = threading.Event()

    def hang(host: str) -> Sequence[Address]:
        release.wait(LONG_S)
        return system_resolve(host)

    fetcher = make_fetcher(Guard(ALL_PORTS, LOOPBACK, ThreadedResolver(1, 0.1, hang)))
    try:
        with pytest.raises(errors.DnsFailure):
            fetcher.fetch("http://images.test/")
    finally:
        release.set()


def test_the_deadline_ends_a_slow_download_on_a_pooled_connection(make_fetcher: MakeFetcher) -> None:
    """One connection serves three downloads. The fourth response never ends."""
    connections: list[socket.socket] = []
    drip = Drip(HEAD + b"X-A: ", b"x")

    def handle(connection: socket.socket) -> None:
        connections.append(connection)
        for _ in range(3):
            connection.recv(65_536)
            connection.sendall(OK)
        drip(connection)

    fetcher = make_fetcher(total_s=1.0)
    with SocketServer(handle) as server:
        assert [fetcher.fetch(server.url) for _ in range(3)] == [b"image"] * 3
        with pytest.raises(errors.FetchTimeout):
            fetcher.fetch(server.url)
    assert len(connections) == 1
    assert not drip.is_complete


def test_a_socket_is_shut_down_at_its_deadline(watchdog: DownloadWatchdog) -> None:
    """The watchdog already waits for a later deadline."""
    ours, theirs = socket.socketpair()
    other, peer = socket.socketpair()
    with ours, theirs, other, peer, watchdog.limit(LONG_S) as late, watchdog.limit(SHORT_S) as early:
        ours.settimeout(LONG_S / 2)
        late.watch(other)
        wait_for(lambda: watchdog._wakes_at == late.at, "the watchdog to wait for the later deadline")
        early.watch(ours)
        assert ours.recv(1) == b""
        assert early.is_expired
        peer.sendall(b"x")
        assert other.recv(1) == b"x"


def test_a_socket_is_shut_down_at_once_after_the_deadline(watchdog: DownloadWatchdog) -> None:
    """For example the connection to the next address, or to a redirect's target."""
    ours, theirs = socket.socketpair()
    with ours, theirs, watchdog.limit(0) as deadline:
        ours.settimeout(LONG_S)
        deadline.watch(ours)
        assert ours.recv(1) == b""


def test_a_deadline_does_not_shut_down_a_connection_that_another_download_uses(watchdog: DownloadWatchdog) -> None:
    """A connection returns to the pool when its response is read, before the first download's block ends."""
    pooled, server = socket.socketpair()
    other, peer = socket.socketpair()
    with pooled, server, other, peer, watchdog.limit(SHORT_S) as first, watchdog.limit(LONG_S) as second:
        first.watch(pooled)
        second.watch(pooled)
        with watchdog.limit(SHORT_S) as third:  # shows that the first deadline has passed
            other.settimeout(LONG_S)
            third.watch(other)
            assert other.recv(1) == b""
        assert first.is_expired
        server.sendall(b"x")
        assert pooled.recv(1) == b"x"


def test_a_deadline_does_not_shut_down_a_connection_after_its_download(watchdog: DownloadWatchdog) -> None:
    pooled, server = socket.socketpair()
    other, peer = socket.socketpair()
    with pooled, server, other, peer:
        with watchdog.limit(SHORT_S) as first:
            first.watch(pooled)
        with watchdog.limit(SHORT_S) as second:
            other.settimeout(LONG_S)
            second.watch(other)
            assert other.recv(1) == b""
        server.sendall(b"x")
        assert pooled.recv(1) == b"x"


def test_a_closed_watchdog_still_ends_running_downloads(watchdog: DownloadWatchdog) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, watchdog.limit(SHORT_S) as deadline:
        ours.settimeout(LONG_S)
        deadline.watch(ours)
        watchdog.close()
        assert ours.recv(1) == b""
        assert deadline.is_expired


def test_a_closed_watchdog_leaves_no_thread(make_fetcher: MakeFetcher) -> None:
    with SocketServer(Drip(OK, b"")) as server:
        fetcher = make_fetcher()
        assert fetcher.fetch(server.url) == b"image"
    thread = fetcher._watchdog._thread
    assert thread is not None
    assert thread.is_alive()
    fetcher.close()
    thread.join(LONG_S / 2)
    assert not thread.is_alive()
