"""Which requests get the headers that the operator gives for a host. Each server is https, with a name of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import SocketServer, tls_context
from tests.worker.fetch.conftest import ALL_PORTS, NAMED_GUARD, OK
from worker import errors
from worker.fetch.guard import Guard

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import trustme

    from tests.support.servers import ImageServer, Proxy
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher

SECRET = "Bearer s3cr3t"


class PrivateServer:
    """A server that answers each path by its script, and notes the header lines of each request.

    Attributes:
        port: Its port on loopback.
        routes: The answer for each path; an image for all others.
        seen: The lines of each request.
    """

    def __init__(self, servers: ExitStack, authority: trustme.CA | None, name: str) -> None:
        self.routes: dict[str, bytes] = {}
        self.seen: list[list[str]] = []
        tls = tls_context(authority, name) if authority else None
        self.port = servers.enter_context(SocketServer(self._serve, tls)).port
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}"

    @property
    def secrets(self) -> list[bool]:
        """Whether each request had the secret."""
        return [any(SECRET in line for line in lines) for lines in self.seen]

    def redirect(self, path: str, location: str) -> str:
        """Redirect a path, and return its URL."""
        self.routes[path] = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        return self.url + path

    def _serve(self, connection: socket.socket) -> None:
        while request := connection.recv(65_536):
            lines = request.decode("latin-1").split("\r\n")
            self.seen.append(lines)
            connection.sendall(self.routes.get(lines[0].split(" ")[1], OK))


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as servers:
        yield servers


@pytest.fixture
def private(servers: ExitStack, authority: trustme.CA) -> PrivateServer:
    return PrivateServer(servers, authority, "private.test")


@pytest.fixture
def other(servers: ExitStack, authority: trustme.CA) -> PrivateServer:
    return PrivateServer(servers, authority, "other.test")


@pytest.fixture
def fetcher(make_fetcher: MakeFetcher, private: PrivateServer) -> HttpFetcher:
    lines = f"private.test:{private.port}: Authorization: {SECRET}"
    return make_fetcher(NAMED_GUARD, headers=lines, allow_downgrade=True)


def test_the_host_gets_its_headers_and_no_other_does(
    fetcher: HttpFetcher, private: PrivateServer, other: PrivateServer
) -> None:
    for url in (private.url, other.url, private.url):
        fetcher.fetch(f"{url}/a.jpg")
    assert (private.secrets, other.secrets) == ([True, True], [False])
    assert f"Authorization: {SECRET}" in private.seen[0]


@pytest.mark.parametrize("host", ["PRIVATE.test", "private.test.", "Private.Test."])
def test_the_same_host_in_another_form_gets_them(host: str, fetcher: HttpFetcher, private: PrivateServer) -> None:
    fetcher.fetch(private.url.replace("private.test", host))
    assert private.secrets == [True]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("bücher.test", "xn--bcher-kva.test"),
        ("xn--bcher-kva.test", "bücher.test"),
        ("BÜCHER.test.", "BüCHER.test"),
    ],
)
def test_an_international_name_is_the_same_in_each_form(
    given: str, asked: str, make_fetcher: MakeFetcher, servers: ExitStack, authority: trustme.CA
) -> None:
    server = PrivateServer(servers, authority, "xn--bcher-kva.test")
    fetcher = make_fetcher(NAMED_GUARD, headers=f"{given}:{server.port}: Authorization: {SECRET}")
    assert fetcher.fetch(f"https://{asked}:{server.port}/") == b"image"
    assert server.secrets == [True]


@pytest.mark.parametrize("host", ["a.private.test", "test", "xprivate.test", "private.test.test"])
def test_a_similar_host_gets_none(
    host: str, make_fetcher: MakeFetcher, servers: ExitStack, authority: trustme.CA
) -> None:
    server = PrivateServer(servers, authority, host)
    fetcher = make_fetcher(NAMED_GUARD, headers=f"private.test:{server.port}: Authorization: {SECRET}")
    fetcher.fetch(server.url)
    assert server.secrets == [False]


def test_another_port_of_the_host_gets_none(make_fetcher: MakeFetcher, private: PrivateServer) -> None:
    make_fetcher(NAMED_GUARD, headers=f"private.test: Authorization: {SECRET}").fetch(private.url)
    assert private.secrets == [False]


def test_http_gets_none(make_fetcher: MakeFetcher, servers: ExitStack) -> None:
    server = PrivateServer(servers, None, "private.test")
    make_fetcher(NAMED_GUARD, headers=f"private.test:{server.port}: Authorization: {SECRET}").fetch(server.url)
    assert server.secrets == [False]


def test_redirects_within_the_host_keep_the_headers(fetcher: HttpFetcher, private: PrivateServer) -> None:
    private.redirect("/b", f"{private.url}/c")
    fetcher.fetch(private.redirect("/a", "/b"))
    assert private.secrets == [True, True, True]


def test_a_redirect_to_another_host_gets_none_and_neither_does_the_way_back(
    fetcher: HttpFetcher, private: PrivateServer, other: PrivateServer
) -> None:
    other.redirect("/b", f"{private.url}/c")
    fetcher.fetch(private.redirect("/a", f"{other.url}/b"))
    assert (private.secrets, other.secrets) == ([True, False], [False])


def test_a_strangers_redirect_to_the_host_gets_none(
    fetcher: HttpFetcher, private: PrivateServer, other: PrivateServer
) -> None:
    """Else any server could choose which private file is fetched."""
    private.redirect("/b", "/c")
    fetcher.fetch(other.redirect("/a", f"{private.url}/b"))
    assert (private.secrets, other.secrets) == ([False, False], [False])


def test_a_redirect_to_another_port_or_to_http_gets_none(
    fetcher: HttpFetcher, private: PrivateServer, servers: ExitStack, authority: trustme.CA, images: ImageServer
) -> None:
    port = PrivateServer(servers, authority, "private.test")
    plain = images.add("/a.jpg", b"image").replace("127.0.0.1", "private.test")
    fetcher.fetch(private.redirect("/port", port.url))
    fetcher.fetch(private.redirect("/http", plain))
    assert port.secrets == [False]
    assert "Authorization" not in images.requests[0]


def test_the_headers_replace_and_join_those_of_the_worker(make_fetcher: MakeFetcher, private: PrivateServer) -> None:
    lines = [f"private.test:{private.port}: {line}" for line in ("user-agent: Own/1", "Cookie: session=1", "X-Key: k")]
    private.redirect("/a", "/b")
    private.routes["/a"] = private.routes["/a"].replace(b"302 Found\r\n", b"302 Found\r\nSet-Cookie: seen=1\r\n")
    make_fetcher(NAMED_GUARD, headers="\n".join(lines)).fetch(f"{private.url}/a")
    first, second = private.seen
    assert [line for line in first if line.lower().startswith("user-agent")] == ["user-agent: Own/1"]
    assert {"Cookie: session=1", "X-Key: k"} <= set(first)
    assert {"Cookie: session=1; seen=1", "X-Key: k"} <= set(second)


def test_the_egress_proxy_does_not_see_them(
    make_fetcher: MakeFetcher, private: PrivateServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets CONNECT, and the headers go through the tunnel."""
    received: list[bytes] = []
    proxy.ports["private.test"] = private.port
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.log_request", lambda handler, *_: received.append(bytes(handler.headers))
    )
    fetcher = make_fetcher(Guard(ALL_PORTS, ()), proxy.url, headers=f"private.test: Authorization: {SECRET}")
    assert fetcher.fetch("https://private.test/a.jpg") == b"image"
    assert private.secrets == [True]
    assert received
    assert not [head for head in received if b"s3cr3t" in head]
    fetcher.fetch("http://private.test/a.jpg")  # a plain request that the proxy answers itself
    assert not [head for head in received if b"s3cr3t" in head]


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 x\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: gopher://x/\r\n\r\n",
    ],
)
def test_no_error_contains_them(response: bytes, fetcher: HttpFetcher, private: PrivateServer) -> None:
    private.routes["/a"] = response
    with pytest.raises(errors.JobError) as caught:
        fetcher.fetch(f"{private.url}/a")
    assert private.secrets[0]
    assert "s3cr3t" not in repr(caught.value)
