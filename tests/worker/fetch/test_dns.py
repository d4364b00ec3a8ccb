"""Name lookups in a limited time, with the system's resolver and with the operator's name servers."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.dns import SERVFAIL, SILENCE, NameServer
from tests.worker.fetch.conftest import LONG_S
from worker.errors import ResolverBusy
from worker.fetch.dns import NameserverResolver, ThreadedResolver, parse_address, system_resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.fetch.deadline import Deadline
    from worker.fetch.dns import Address


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    with NameServer() as name_server:
        yield name_server


@pytest.fixture
def hang() -> Iterator[Callable[[str], Sequence[Address]]]:
    """A name lookup that does not return before the end of the test."""
    release = threading.Event()

    def hang(host: str) -> Sequence[Address]:
        release.wait(LONG_S)
        return system_resolve(host)

    yield hang
    release.set()


def resolver_for(*servers: NameServer) -> NameserverResolver:
    return NameserverResolver([(ipaddress.ip_address("127.0.0.1"), server.port) for server in servers], 0.5)


def as_text(addresses: Sequence[Address]) -> list[str]:
    return [str(address) for address in addresses]


def test_a_lookup_by_the_system_is_limited_in_time(
    hang: Callable[[str], Sequence[Address]], deadline: Deadline
) -> None:
    """The limit of a lookup is shorter than the rest of the download's time."""
    with pytest.raises(socket.gaierror) as caught:
        ThreadedResolver(1, 0.1, hang)("hangs.test")
    assert caught.value.errno == socket.EAI_AGAIN
    assert deadline.remaining_s > LONG_S / 2


def test_a_lookup_by_a_name_server_is_limited_in_time(name_server: NameServer, deadline: Deadline) -> None:
    name_server.add("silent.test", [SILENCE])
    with pytest.raises(socket.gaierror) as caught:
        resolver_for(name_server)("silent.test")
    assert caught.value.errno == socket.EAI_AGAIN
    assert deadline.remaining_s > LONG_S / 2


def test_ipv4_addresses_come_before_ipv6_addresses(name_server: NameServer, deadline: Deadline) -> None:
    name_server.add("both.test", ["2001:db8::1", "192.0.2.1", "192.0.2.2"])
    assert as_text(resolver_for(name_server)("both.test")) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


def test_the_next_name_server_is_asked_if_one_fails(name_server: NameServer, deadline: Deadline) -> None:
    name_server.add("a.test", [SERVFAIL])
    with NameServer() as second:
        second.add("a.test", ["192.0.2.1"])
        assert as_text(resolver_for(name_server, second)("a.test")) == ["192.0.2.1"]


@pytest.mark.parametrize("failure", [SERVFAIL, SILENCE])
def test_one_failed_record_type_does_not_hide_the_other(
    failure: str, name_server: NameServer, deadline: Deadline
) -> None:
    name_server.add("half.test", ["192.0.2.1", f"AAAA {failure}"])
    assert as_text(resolver_for(name_server)("half.test")) == ["192.0.2.1"]


@pytest.mark.parametrize("host", ["images.test", "1.2.3.4.test", "a" * 300, "", "1.2.3.4.5"])
def test_a_name_is_not_an_address(host: str) -> None:
    assert parse_address(host) is None


def test_a_lookup_that_cannot_start_requeues_its_job(
    hang: Callable[[str], Sequence[Address]], deadline: Deadline
) -> None:
    """The only thread hangs. Its job gets an error, but the job of the waiting lookup is requeued."""
    resolve = ThreadedResolver(1, 0.1, hang)
    with pytest.raises(socket.gaierror):
        resolve("hangs.test")
    with pytest.raises(ResolverBusy):
        resolve("waits.test")
