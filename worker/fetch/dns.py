"""Looks host names up, within a time: by the system's resolver, or by name servers that the operator names.

Decides nothing: whether an answer may be connected to is `worker.fetch.addresses`' business.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from worker.errors import ResolverBusy
from worker.fetch.deadline import current_deadline

if TYPE_CHECKING:
    from worker.settings import Nameserver

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Resolve = Callable[[str, int], Sequence[AddressInfo]]


def system_resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Look a host up as the system does; raises socket.gaierror."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def numeric_resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Read a host that is an address in any spelling (`127.1`, `0x7f000001`, `::1`); empty if it is a name."""
    with suppress(socket.gaierror, UnicodeError):
        return socket.getaddrinfo(host.rstrip("."), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return ()


class ThreadedResolver:
    """Looks hosts up in threads of its own, for at most `seconds`: getaddrinfo has no timeout."""

    def __init__(self, threads: int, seconds: float, resolve: Resolve = system_resolve) -> None:
        self._seconds = seconds
        self._resolve = resolve
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Look a host up.

        Raises:
            socket.gaierror: There is no such host; EAI_AGAIN if the name server takes too long.
            ResolverBusy: Others take too long, and this lookup never began.
        """
        if found := numeric_resolve(host, port):
            return found
        future = self._pool.submit(self._resolve, host, port)
        try:
            return future.result(min(self._seconds, current_deadline().remaining_s))
        except TimeoutError:
            if future.cancel():
                raise ResolverBusy("every thread that looks names up waits for a name server") from None
            raise _no_answer() from None


class NameserverResolver:
    """Asks the given name servers for A and AAAA records, without the system's search list and hosts file."""

    def __init__(self, nameservers: Sequence[Nameserver], seconds: float) -> None:
        self._seconds = seconds
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [dns.nameserver.Do53Nameserver(str(host), port) for host, port in nameservers]

    def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Look a host up; raises socket.gaierror, EAI_AGAIN if no name server has an answer in time."""
        if found := numeric_resolve(host, port):
            return found
        try:
            name = dns.name.from_text(host)
        except (dns.exception.DNSException, UnicodeError):  # such as labels that are too long
            raise _no_such_name() from None
        # IPv4 first: without a route, every IPv6 address of a host could use up the tries.
        both = [self._ask(name, kind) for kind in ("A", "AAAA")]
        addresses = [address for answer in both for address in answer or ()]
        if not addresses:
            raise _no_answer() if None in both else _no_such_name()
        return [found for address in addresses for found in numeric_resolve(address, port)]

    def _ask(self, name: dns.name.Name, kind: str) -> list[str] | None:
        """Return the addresses, none if there are none; None if no name server said so: one family may do."""
        lifetime_s = min(self._seconds / 2, current_deadline().remaining_s)
        try:
            answer = self._resolver.resolve(name, kind, lifetime=lifetime_s, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            return None
        return [record.address for record in answer]


def _no_such_name() -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, "the name does not exist")


def _no_answer() -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, "the name server did not answer in time")
