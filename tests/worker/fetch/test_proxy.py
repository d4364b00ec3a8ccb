"""Downloads through an egress proxy."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.servers import SocketServer, tls_context
from tests.worker.fetch.conftest import OK, WEB_PORTS, Drip, RecordingResolver, serve
from worker import errors
from worker.fetch.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import trustme

    from tests.support.servers import Proxy
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.dns import Address

AUTHORIZATION = "Basic dXNlcjpwYXNzQHdvcmQ="


def test_the_proxy_gets_every_request_and_looks_up_the_names(
    make_fetcher: MakeFetcher, authority: trustme.CA, proxy: Proxy
) -> None:
    """The worker only looks up the name of the proxy."""
    resolver = RecordingResolver("127.0.0.1")
    url = proxy.url.replace("http://127.0.0.1", "http://user:pass%40word@proxy.test")
    with SocketServer(serve(OK), tls_context(authority, "images.test")) as server:
        proxy.ports["images.test"] = server.port
        fetcher = make_fetcher(Guard(WEB_PORTS, (), resolver), url)
        assert fetcher.fetch("https://images.test/a.jpg?sig=1") == b"image"
        assert fetcher.fetch("http://images.test/a.jpg?sig=1") == b"plain"
    assert set(resolver.names) == {"proxy.test"}
    assert [(line.rpartition(" ")[0], header) for line, header in proxy.seen] == [
        ("CONNECT images.test:443", AUTHORIZATION),
        ("GET http://images.test/a.jpg?sig=1", AUTHORIZATION),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1./",
        "http://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/",
        "http://localhost/",
        "https://a.LocalHost./",
        "https://images.test:22/",
        "https://refused-by-the-proxy.test/",
    ],
)
def test_a_blocked_host_is_not_requested_from_the_proxy(url: str, make_fetcher: MakeFetcher, proxy: Proxy) -> None:
    with pytest.raises(errors.BlockedAddress):
        make_fetcher(Guard(WEB_PORTS, ()), proxy.url).fetch(url)
    assert not [line for line, _ in proxy.seen if "refused-by" not in line]


def test_a_redirect_through_the_proxy_is_checked(
    make_fetcher: MakeFetcher, authority: trustme.CA, proxy: Proxy
) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
    with SocketServer(serve(moved), tls_context(authority, "images.test")) as server:
        proxy.ports["images.test"] = server.port
        fetcher = make_fetcher(Guard(WEB_PORTS, ()), proxy.url)
        with pytest.raises(errors.BlockedAddress):
            fetcher.fetch("https://images.test/")


def test_a_slow_proxy_is_a_transient_error(make_fetcher: MakeFetcher) -> None:
    drip = Drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")
    with SocketServer(drip) as server, pytest.raises(errors.FetchTimeout):
        make_fetcher(proxy=server.url, total_s=0.3).fetch("https://images.test:443/")
    assert not drip.is_complete


def test_a_proxy_that_refuses_connections_is_a_transient_error(make_fetcher: MakeFetcher) -> None:
    with pytest.raises(errors.ConnectionFailed, match="refused"):
        make_fetcher(proxy="http://127.0.0.1:1").fetch("https://images.test/")


def test_a_proxy_without_an_address_is_a_transient_error(make_fetcher: MakeFetcher) -> None:
    def resolve(_: str) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(errors.ConnectionFailed, match="egress proxy"):
        make_fetcher(Guard(WEB_PORTS, (), resolve), "http://proxy.test:3128").fetch("https://images.test/")


class InnerTls:
    """The server's side of a TLS connection inside another connection."""

    def __init__(self, outer: socket.socket, context: ssl.SSLContext) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._run(self._tls.do_handshake)

    def recv(self, size: int) -> Any:
        return self._run(self._tls.read, size)

    def sendall(self, content: bytes) -> None:
        self._run(self._tls.write, content)

    def _run(self, operation: Callable[..., Any], *args: Any) -> Any:
        while True:
            try:
                result = operation(*args)
            except ssl.SSLWantReadError:
                self._outer.sendall(self._outgoing.read())
                received = self._outer.recv(65_536)
                if not received:
                    raise ConnectionResetError from None
                self._incoming.write(received)
            else:
                self._outer.sendall(self._outgoing.read())
                return result


def test_a_connection_through_an_https_proxy_is_pooled_and_watched(
    make_fetcher: MakeFetcher, authority: trustme.CA
) -> None:
    """The tunnel serves one download, and its second response never ends."""
    connections: list[socket.socket] = []
    drip = Drip(OK[:20], b"x")
    context = tls_context(authority, "images.test")

    def tunnel(connection: socket.socket) -> None:
        connections.append(connection)
        connection.recv(65_536)  # CONNECT
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner: Any = InnerTls(connection, context)
        serve(OK)(inner)
        drip(inner)

    with SocketServer(tunnel, tls_context(authority, "127.0.0.1")) as server:
        fetcher = make_fetcher(Guard(WEB_PORTS, ()), server.url, total_s=1.0)
        assert fetcher.fetch("https://images.test/") == b"image"
        with pytest.raises(errors.FetchTimeout):
            fetcher.fetch("https://images.test/")
    assert len(connections) == 1
    assert not drip.is_complete
