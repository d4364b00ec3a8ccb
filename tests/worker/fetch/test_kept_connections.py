"""Connections that the server has closed since the last download: the request is sent again, once, on a new one."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import SocketServer, tls_context
from tests.worker.fetch.conftest import NAMED_GUARD, OK, WEB_PORTS
from worker import errors
from worker.fetch.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme

    from tests.support.servers import Proxy
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.fetcher import HttpFetcher


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(connection: socket.socket) -> None:
    pass


def answer_in_part(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 ")


def say_that_it_was_idle(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\nContent-Length: 4\r\n\r\nidle")


def say_nothing(connection: socket.socket) -> None:
    connection.recv(1)


class Closing:
    """Answers `answers` requests on each connection, reads one more, and ends it with `end`.

    So the fetcher finds the connection open, sends its request, and gets no answer: the race that servers with a short
    keep-alive cause.

    Attributes:
        requests: The number of requests on each connection, in the order of the connections.
    """

    def __init__(self, end: Callable[[socket.socket], None], answers: int = 1) -> None:
        self.requests: list[int] = []
        self._end, self._answers = end, answers

    def __call__(self, connection: socket.socket) -> None:
        number = len(self.requests)
        self.requests.append(0)
        while connection.recv(65_536):
            self.requests[number] += 1
            if self.requests[number] > self._answers:
                self._end(connection)
                return
            connection.sendall(OK)


@pytest.mark.parametrize("end", [close, reset, say_that_it_was_idle])
def test_a_request_on_a_closed_connection_is_sent_again(
    end: Callable[[socket.socket], None], fetcher: HttpFetcher
) -> None:
    handle = Closing(end)
    with SocketServer(handle) as server:
        assert [fetcher.fetch(server.url) for _ in range(4)] == [b"image"] * 4
    assert handle.requests == [2, 2, 2, 1]


def test_a_request_on_a_closed_tls_connection_is_sent_again(make_fetcher: MakeFetcher, authority: trustme.CA) -> None:
    """The server closes TCP without the end of TLS."""
    handle = Closing(close)
    with SocketServer(handle, tls_context(authority, "images.test")) as server:
        fetcher = make_fetcher(NAMED_GUARD)
        url = f"https://images.test:{server.port}/"
        assert [fetcher.fetch(url) for _ in range(3)] == [b"image"] * 3
    assert handle.requests == [2, 2, 1]


def test_a_request_in_a_closed_tunnel_is_sent_again_in_a_new_tunnel(
    make_fetcher: MakeFetcher, authority: trustme.CA, proxy: Proxy
) -> None:
    handle = Closing(close)
    with SocketServer(handle, tls_context(authority, "images.test")) as server:
        proxy.ports["images.test"] = server.port
        fetcher = make_fetcher(Guard(WEB_PORTS, ()), proxy.url)
        assert [fetcher.fetch("https://images.test/") for _ in range(3)] == [b"image"] * 3
    assert handle.requests == [2, 2, 1]
    assert [line.rpartition(" ")[0] for line, _ in proxy.seen] == ["CONNECT images.test:443"] * 3


def test_it_is_sent_again_once_and_only_on_a_new_connection(fetcher: HttpFetcher) -> None:
    """Two connections are kept, and both are closed as soon as they are used. The new one gives no answer either."""
    handle = Closing(close)
    together = threading.Barrier(2)
    with SocketServer(handle) as server:
        first = [threading.Thread(target=lambda: (together.wait(), fetcher.fetch(server.url))) for _ in range(2)]
        for thread in first:
            thread.start()
        for thread in first:
            thread.join()
        opened = len(handle.requests)
        handle._answers = 0
        with pytest.raises(errors.ConnectionFailed, match="without an answer"):
            fetcher.fetch(server.url)
        assert len(handle.requests) == opened + 1


@pytest.mark.parametrize("end", [close, reset])
def test_a_new_connection_without_an_answer_is_an_error(
    end: Callable[[socket.socket], None], fetcher: HttpFetcher
) -> None:
    handle = Closing(end, 0)
    with SocketServer(handle) as server, pytest.raises(errors.ConnectionFailed):
        fetcher.fetch(server.url)
    assert handle.requests == [1]


def test_408_on_a_new_connection_is_an_error(fetcher: HttpFetcher) -> None:
    handle = Closing(say_that_it_was_idle, 0)
    with SocketServer(handle) as server, pytest.raises(errors.HttpUnavailable, match="answered 408"):
        fetcher.fetch(server.url)
    assert handle.requests == [1]


def test_a_connection_that_sent_a_byte_of_an_answer_is_an_error(fetcher: HttpFetcher) -> None:
    handle = Closing(answer_in_part)
    with SocketServer(handle) as server:
        assert fetcher.fetch(server.url) == b"image"
        with pytest.raises(errors.ConnectionFailed):
            fetcher.fetch(server.url)
    assert handle.requests == [2]


@pytest.mark.parametrize("limit", [{"read_s": 0.2}, {"total_s": 0.3}], ids=["read", "total"])
def test_a_silent_connection_is_not_asked_again(limit: dict[str, float], make_fetcher: MakeFetcher) -> None:
    """The deadline of the whole download closes the connection itself."""
    handle = Closing(say_nothing)
    with SocketServer(handle) as server:
        fetcher = make_fetcher(**limit)
        assert fetcher.fetch(server.url) == b"image"
        with pytest.raises(errors.FetchTimeout):
            fetcher.fetch(server.url)
    assert handle.requests == [2]
