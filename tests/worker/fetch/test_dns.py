"""Name lookup within a time, by the system and by name servers that the operator names."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dns import SERVFAIL, SILENCE, NameServer
from worker.errors import ResolverBusy
from worker.fetch.deadline import Deadline
from worker.fetch.dns import NameserverResolver, ThreadedResolver, numeric_resolve, system_resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.fetch.dns import AddressInfo

LONG_S = 30.0


@pytest.fixture
def deadline() -> Iterator[Deadline]:
    with Deadline(LONG_S) as deadline:
        yield deadline


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as names:
        yield names


def addresses(found: Sequence[AddressInfo]) -> list[str]:
    return [sockaddr[0] for *_, sockaddr in found]


def asking(*servers: NameServer) -> NameserverResolver:
    return NameserverResolver([(ipaddress.ip_address("127.0.0.1"), server.port) for server in servers], 0.5)


def test_the_systems_resolver_is_bounded_in_time(deadline: Deadline) -> None:
    """Its answer comes too late by far; the download has more time left than the lookup may take."""
    release = threading.Event()

    def hang(host: str, port: int) -> Any:
        release.wait(LONG_S)
        return system_resolve(host, port)

    try:
        with pytest.raises(socket.gaierror) as caught:
            ThreadedResolver(1, 0.1, hang)("hangs.test", 80)
        assert caught.value.errno == socket.EAI_AGAIN
        assert deadline.remaining_s > LONG_S / 2
    finally:
        release.set()


def test_a_name_server_is_bounded_in_time(names: NameServer, deadline: Deadline) -> None:
    names.add("silent.test", [SILENCE])
    with pytest.raises(socket.gaierror) as caught:
        asking(names)("silent.test", 80)
    assert caught.value.errno == socket.EAI_AGAIN
    assert deadline.remaining_s > LONG_S / 2


def test_both_families_are_asked_for_ipv4_first(names: NameServer, deadline: Deadline) -> None:
    names.add("both.test", ["2001:db8::1", "192.0.2.1", "192.0.2.2"])
    assert addresses(asking(names)("both.test", 80)) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]


def test_another_name_server_is_asked_when_one_fails(names: NameServer, deadline: Deadline) -> None:
    names.add("a.test", [SERVFAIL])
    with NameServer() as second:
        second.add("a.test", ["192.0.2.1"])
        assert addresses(asking(names, second)("a.test", 80)) == ["192.0.2.1"]


def test_an_address_is_nothing_to_ask_for(names: NameServer, deadline: Deadline) -> None:
    assert addresses(asking(names)("192.0.2.1", 80)) == ["192.0.2.1"]
    assert not names.asked


@pytest.mark.parametrize("host", ["images.test", "1.2.3.4.test", "a" * 300, "", "1.2.3.4.5"])
def test_a_name_is_no_address(host: str) -> None:
    assert not numeric_resolve(host, 80)


def test_lookups_that_hang_fail_no_job_whose_own_never_began(deadline: Deadline) -> None:
    """The only thread hangs: an address needs none, and a name goes back to the queue with its job."""
    release = threading.Event()

    def hang(host: str, port: int) -> Any:
        release.wait(LONG_S)
        return system_resolve(host, port)

    resolve = ThreadedResolver(1, 0.1, hang)
    try:
        with pytest.raises(socket.gaierror):
            resolve("hangs.test", 80)
        with pytest.raises(ResolverBusy):
            resolve("waits.test", 80)
        assert addresses(resolve("127.0.0.1", 80)) == ["127.0.0.1"]
    finally:
        release.set()


@pytest.mark.parametrize("failure", [SERVFAIL, SILENCE])
def test_one_family_that_fails_does_not_hide_the_other(failure: str, names: NameServer, deadline: Deadline) -> None:
    names.add("half.test", ["192.0.2.1", f"AAAA {failure}"])
    assert addresses(asking(names)("half.test", 80)) == ["192.0.2.1"]
