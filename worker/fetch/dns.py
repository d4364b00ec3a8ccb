"""Looks up host names, with the system's resolver or with the operator's name servers, in a limited time.

Does not decide which addresses may be used: `worker.fetch.guard` does.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from worker.errors import ResolverBusy
from worker.fetch.deadline import current_deadline

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Returns the addresses of a host name; raises socket.gaierror, or UnicodeError for a name that cannot be encoded.
Resolve = Callable[[str], Sequence[Address]]


def system_resolve(host: str) -> Sequence[Address]:
    """Look up a host with the system's resolver, without a time limit; raises socket.gaierror."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found]


def parse_address(host: str) -> Address | None:
    """Read an address in every spelling that the system accepts (`127.1`, `0x7f000001`, `::1`); None for a name."""
    try:
        found = socket.getaddrinfo(host.rstrip("."), None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None
    return ipaddress.ip_address(found[0][4][0])


class ThreadedResolver:
    """Runs lookups in its own threads and waits at most `seconds` for each, because getaddrinfo has no timeout."""

    def __init__(self, threads: int, seconds: float, resolve: Resolve = system_resolve) -> None:
        self._seconds = seconds
        self._resolve = resolve
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    def __call__(self, host: str) -> Sequence[Address]:
        """Look up a host name.

        Raises:
            socket.gaierror: The name does not exist, or (EAI_AGAIN) the lookup took too long.
            ResolverBusy: All threads wait for slow name servers, so this lookup did not start.
        """
        future = self._pool.submit(self._resolve, host)
        try:
            return future.result(min(self._seconds, current_deadline().remaining_s))
        except TimeoutError:
            if future.cancel():
                raise ResolverBusy("all resolver threads wait for a name server") from None
            raise _timeout_error() from None


class NameserverResolver:
    """Queries the given name servers for A and AAAA records. Ignores the system's hosts file and search list."""

    def __init__(self, nameservers: Sequence[tuple[Address, int]], seconds: float) -> None:
        self._seconds = seconds
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [dns.nameserver.Do53Nameserver(str(host), port) for host, port in nameservers]

    def __call__(self, host: str) -> Sequence[Address]:
        """Look up a host name; raises socket.gaierror, with EAI_AGAIN if a query failed and no address was found."""
        try:
            name = dns.name.from_text(host)
        except (dns.exception.DNSException, UnicodeError):  # for example a label that is too long
            raise _not_found_error() from None
        # IPv4 first: on a machine without an IPv6 route, the IPv6 addresses could use up all connection attempts.
        answers = [self._query(name, "A"), self._query(name, "AAAA")]
        addresses = [address for answer in answers for address in answer or ()]
        if not addresses:
            raise _timeout_error() if None in answers else _not_found_error()
        return addresses

    def _query(self, name: dns.name.Name, record_type: str) -> list[Address] | None:
        """Return the addresses of one record type, or None if the query failed."""
        lifetime_s = min(self._seconds / 2, current_deadline().remaining_s)
        try:
            answer = self._resolver.resolve(name, record_type, lifetime=lifetime_s, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError):
            return None
        return [ipaddress.ip_address(record.address) for record in answer]


def _not_found_error() -> socket.gaierror:
    return socket.gaierror(socket.EAI_NONAME, "the name does not exist")


def _timeout_error() -> socket.gaierror:
    return socket.gaierror(socket.EAI_AGAIN, "the name server did not answer in time")
