"""Which addresses and ports are connected to."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

import pytest

from tests.worker.fetch.conftest import ALL_PORTS, LOOPBACK, WEB_PORTS, RecordingResolver, resolve_to
from worker import errors
from worker.fetch.guard import Guard, is_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.servers import ImageServer
    from tests.worker.fetch.conftest import MakeFetcher
    from worker.fetch.dns import Address

# fmt: off
REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "168.63.129.16", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "fc00::1",
    "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
]
# fmt: on
ALLOWED = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.169.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::1"]


def port_of(server: ImageServer) -> str:
    return server.url.rpartition(":")[2]


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_is_not_public_is_refused(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", ALLOWED)
def test_a_public_address_is_allowed(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text), ())


@pytest.mark.parametrize(
    ("text", "allowed"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.1.2.3", True), ("192.168.0.1", False), ("::1", False)],
)
def test_an_allowed_network_allows_no_other_network(text: str, allowed: bool) -> None:
    networks = (ipaddress.ip_network("10.0.0.0/8"),)
    assert is_allowed(ipaddress.ip_address(text), networks) is allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
    ],
)
def test_loopback_is_blocked_in_every_spelling(url: str, make_fetcher: MakeFetcher) -> None:
    with pytest.raises(errors.BlockedAddress):
        make_fetcher(Guard(WEB_PORTS, ())).fetch(url)


def test_other_ports_are_blocked(make_fetcher: MakeFetcher, images: ImageServer) -> None:
    with pytest.raises(errors.BlockedAddress, match="CLIPQUEUE_FETCH_PORTS"):
        make_fetcher(Guard(WEB_PORTS, LOOPBACK)).fetch(images.add("/a", b"x"))


def test_one_blocked_address_blocks_the_host(make_fetcher: MakeFetcher, images: ImageServer) -> None:
    guard = Guard(ALL_PORTS, LOOPBACK, resolve_to("127.0.0.1", "10.0.0.1"))
    with pytest.raises(errors.BlockedAddress, match=r"10\.0\.0\.1"):
        make_fetcher(guard).fetch(f"http://images.test:{port_of(images)}/")


def test_the_connection_goes_to_the_checked_address(make_fetcher: MakeFetcher, images: ImageServer) -> None:
    """A name server that would change its answer is asked once. The Host header keeps the name."""
    images.add("/a.jpg", b"image")
    rebinding = RecordingResolver("127.0.0.1", "10.0.0.1")
    host = f"images.test:{port_of(images)}"
    assert make_fetcher(Guard(ALL_PORTS, LOOPBACK, rebinding)).fetch(f"http://{host}/a.jpg") == b"image"
    assert rebinding.names == ["images.test"]
    assert images.requests[0]["Host"] == host


def test_the_next_address_is_tried_if_one_refuses(make_fetcher: MakeFetcher, images: ImageServer) -> None:
    images.add("/a.jpg", b"image")
    guard = Guard(ALL_PORTS, LOOPBACK, resolve_to("127.0.0.9", "127.0.0.1"))  # the server only listens on the second
    assert make_fetcher(guard).fetch(f"http://images.test:{port_of(images)}/a.jpg") == b"image"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "127.0.0.1."])
def test_an_address_is_not_looked_up(host: str, make_fetcher: MakeFetcher, images: ImageServer) -> None:
    images.add("/a.jpg", b"image")
    resolver = RecordingResolver("10.0.0.1")
    fetcher = make_fetcher(Guard(ALL_PORTS, LOOPBACK, resolver))
    assert fetcher.fetch(f"http://{host}:{port_of(images)}/a.jpg") == b"image"
    assert not resolver.names


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), errors.UnknownHost),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), errors.DnsFailure),
        (UnicodeError("label empty or too long"), errors.UnknownHost),
    ],
)
def test_an_unknown_host_is_permanent_and_a_failed_lookup_is_transient(
    failure: Exception, error: type[errors.JobError], make_fetcher: MakeFetcher
) -> None:
    def resolve(_: str) -> Sequence[Address]:
        raise failure

    with pytest.raises(error, match=r"images\.test"):
        make_fetcher(Guard(ALL_PORTS, (), resolve)).fetch("http://images.test/")
