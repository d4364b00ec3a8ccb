"""The limit of downloads from one host."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import SocketServer
from tests.worker.fetch.conftest import OK
from worker import errors
from worker.fetch.target import parse_target

if TYPE_CHECKING:
    import socket

    from tests.support.servers import ImageServer
    from tests.worker.fetch.conftest import MakeFetcher


def test_a_busy_host_requeues_the_job_and_does_not_hold_up_others(
    make_fetcher: MakeFetcher, images: ImageServer
) -> None:
    """One download holds the only slot of its host. Another host has its own slot."""
    release, has_arrived = threading.Event(), threading.Event()

    def hold(connection: socket.socket) -> None:
        connection.recv(65_536)
        has_arrived.set()
        release.wait(60)
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    fetcher = make_fetcher(per_host=1)
    with SocketServer(hold) as server:
        first = threading.Thread(target=fetcher.fetch, args=(server.url,))
        first.start()
        assert has_arrived.wait(60)
        with pytest.raises(errors.HostBusy, match="CLIPQUEUE_FETCH_PER_HOST"):
            fetcher.fetch(server.url)
        assert fetcher.fetch(images.add("/a.jpg", b"image")) == b"image"
        release.set()
        first.join()
        assert fetcher.fetch(server.url) == b"image"
        assert not fetcher._host_limits._running


def test_every_spelling_of_a_host_counts_as_one_host() -> None:
    urls = ["http://Images.Test/a", "http://images.test./b", "http://images.test:80/c", "http://images.test:080/d"]
    assert {parse_target(url).server for url in urls} == {("images.test", 80)}
    assert parse_target("https://images.test/").server == ("images.test", 443)
