"""Which redirects are followed."""

from __future__ import annotations

import ipaddress
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import Answer, SocketServer, tls_context
from tests.worker.fetch.conftest import ALL_PORTS, NAMED_GUARD, serve
from worker import errors
from worker.fetch.guard import Guard

if TYPE_CHECKING:
    import socket

    import trustme

    from tests.support.servers import ImageServer
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher


def redirect_to(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_relative_and_absolute_redirects_are_followed(fetcher: HttpFetcher, images: ImageServer) -> None:
    end = images.add("/end.jpg", b"image")
    images.add("/middle", Answer(status=307, headers={"Location": end}))
    assert fetcher.fetch(images.add("/start", Answer(status=301, headers={"Location": "middle?x=1"}))) == b"image"


@pytest.mark.parametrize(
    "location", ["ftp://host/a", "//", "http://[::1", "http://host/" + "x" * 9000, "data:,x", "http://*.test/"]
)
def test_a_redirect_to_an_invalid_url_is_refused(location: str, fetcher: HttpFetcher, images: ImageServer) -> None:
    with pytest.raises(errors.BadRedirect):
        fetcher.fetch(images.add("/start", Answer(status=302, headers={"Location": location})))


def test_at_most_five_redirects_are_followed(fetcher: HttpFetcher, images: ImageServer) -> None:
    url = images.add("/loop", Answer(status=302, headers={"Location": "/loop"}))
    with pytest.raises(errors.BadRedirect, match="more than 5"):
        fetcher.fetch(url)
    assert images.hits["/loop"] == 6


def test_the_body_of_a_redirect_is_not_read(fetcher: HttpFetcher, images: ImageServer) -> None:
    """The connection with the unread body is closed."""
    is_closed = threading.Event()
    end = images.add("/end.jpg", b"image")

    def send_long_body(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {end}\r\nContent-Length: 999999999\r\n\r\n".encode())
        try:
            for _ in range(10_000):
                connection.sendall(b"x" * 65_536)
        except OSError:
            is_closed.set()

    with SocketServer(send_long_body) as server:
        assert fetcher.fetch(server.url) == b"image"
        assert is_closed.wait(60)


def test_a_redirect_to_a_blocked_address_is_blocked(make_fetcher: MakeFetcher, images: ImageServer) -> None:
    guard = Guard(ALL_PORTS, (ipaddress.ip_network("127.0.0.1/32"),))
    url = images.add("/start", Answer(status=302, headers={"Location": "http://127.0.0.2/"}))
    with pytest.raises(errors.BlockedAddress, match=r"127\.0\.0\.2"):
        make_fetcher(guard).fetch(url)


def test_a_redirect_from_https_to_http_is_refused(make_fetcher: MakeFetcher, authority: trustme.CA) -> None:
    moved = redirect_to("http://images.test/")
    with (
        SocketServer(serve(moved), tls_context(authority, "images.test")) as server,
        pytest.raises(errors.BadRedirect, match="https to http"),
    ):
        make_fetcher(NAMED_GUARD).fetch(f"https://images.test:{server.port}/")


def test_the_operator_can_allow_redirects_from_https_to_http(
    make_fetcher: MakeFetcher, authority: trustme.CA, images: ImageServer
) -> None:
    moved = redirect_to(images.add("/a.jpg", b"image"))
    with SocketServer(serve(moved), tls_context(authority, "images.test")) as server:
        fetcher = make_fetcher(NAMED_GUARD, allow_downgrade=True)
        assert fetcher.fetch(f"https://images.test:{server.port}/") == b"image"


def test_the_error_of_a_redirect_does_not_contain_its_password(fetcher: HttpFetcher) -> None:
    moved = redirect_to("http://user:hunter2\N{ACCOUNT OF}@h/")
    with SocketServer(serve(moved)) as server, pytest.raises(errors.BadRedirect) as caught:
        fetcher.fetch(server.url)
    assert "hunter2" not in str(caught.value)
