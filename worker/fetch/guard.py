"""Decides which addresses and ports may be connected to, and opens the connections."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.errors import BlockedAddress, ConnectionFailed, DnsFailure, FetchTimeout, UnknownHost
from worker.fetch.deadline import current_deadline
from worker.fetch.dns import parse_address, system_resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.fetch.dns import Address, Resolve

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# All entries of the IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771), and reserved space.
# This is our own copy because Python's list differs between releases and calls some of these networks global.
_IPV4_REFUSED = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this network" (RFC 791)
        "10.0.0.0/8",  # private use (RFC 1918)
        "100.64.0.0/10",  # shared address space of carriers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local (RFC 3927), metadata services of most clouds
        "172.16.0.0/12",  # private use (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890), metadata service of Oracle Cloud at 192.0.0.192
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT relays (RFC 7450)
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated (RFC 7526)
        "192.168.0.0/16",  # private use (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112) and limited broadcast
        "168.63.129.16/32",  # metadata and DNS service of Azure, a public address outside the registry
    )
)

# Contains all global unicast addresses (IANA Internet Protocol Version 6 Address Space). Outside it are loopback,
# unique local, link-local, site-local, multicast and discard-only addresses, SRv6 SIDs, IPv4-compatible and
# IPv4-translated addresses, and both NAT64 prefixes (64:ff9b::/96, 64:ff9b:1::/48).
_IPV6_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_IPV6_REFUSED = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID, ...
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056), contains an IPv4 address
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
        "3ffe::/16",  # 6bone, returned (RFC 3701)
    )
)
# The first four bytes of an ISATAP interface identifier (RFC 5214, section 6.1). The last four are an IPv4 address.
_ISATAP = {0x00005EFE, 0x02005EFE}

_MAX_ADDRESSES_TRIED = 4
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_ALL_NETWORKS = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))
_ALL_PORTS = (range(1, 65_536),)


def is_allowed(address: Address, allow_networks: Sequence[Network]) -> bool:
    """Return whether `address` is public or in one of `allow_networks`.

    An IPv4-mapped IPv6 address counts as its IPv4 address. All other IPv6 addresses that contain an IPv4 address are
    refused, because a gateway outside our control decides where they lead.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in allow_networks):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _IPV4_REFUSED)
    return (
        address.scope_id is None
        and address in _IPV6_GLOBAL_UNICAST
        and not any(address in network for network in _IPV6_REFUSED)
        and int(address) >> 32 & 0xFFFFFFFF not in _ISATAP
    )


@dataclass(frozen=True)
class Guard:
    """Opens connections to allowed addresses and ports only.

    Attributes:
        ports: The ports that may be connected to.
        allow_networks: Networks that may be connected to although they are not public.
        resolve: Looks up host names.
    """

    ports: tuple[range, ...]
    allow_networks: tuple[Network, ...]
    resolve: Resolve = system_resolve

    def connect(self, host: str, port: int, connect_s: float, options: Any) -> socket.socket:
        """Connect to the first address of `host` that accepts, if all of its addresses are allowed.

        The name is looked up once, and the connection goes to an address that was checked. A different second answer
        of the name server (DNS rebinding) therefore has no effect.

        Args:
            host: A name or an address.
            port: A TCP port.
            connect_s: Seconds for each address; the current deadline limits them all together.
            options: Arguments of `setsockopt`, one tuple for each option.

        Raises:
            BlockedAddress, UnknownHost, DnsFailure, ConnectionFailed, FetchTimeout: See `worker.errors`.
        """
        self._check_port(port)
        addresses = self._look_up(host.strip("[]"))
        self._check_addresses(host, addresses)
        error: OSError | None = None
        for address in addresses[:_MAX_ADDRESSES_TRIED]:
            try:
                return _open(address, port, min(connect_s, current_deadline().remaining_s), options)
            except OSError as exc:
                error = exc
        if isinstance(error, TimeoutError):
            raise FetchTimeout(f"{host}:{port} did not accept a connection in time")
        raise ConnectionFailed(f"cannot connect to {host}:{port}: {error and error.strerror}")

    def check_unresolved(self, host: str, port: int) -> None:
        """Check the port, and the host if it is an address. An egress proxy looks up the names.

        Raises:
            BlockedAddress: The port is not allowed, or the host is `localhost` or an address that is not allowed.
        """
        self._check_port(port)
        address = parse_address(host.strip("[]"))
        self._check_addresses(host, [address] if address else [])
        if host.rstrip(".").lower().rpartition(".")[2] == "localhost":  # RFC 6761, section 6.3
            raise BlockedAddress(f"{host} is not a public host")

    def _check_port(self, port: int) -> None:
        if not any(port in ports for ports in self.ports):
            raise BlockedAddress(f"port {port} is not allowed (CLIPQUEUE_FETCH_PORTS)")

    def _check_addresses(self, host: str, addresses: Sequence[Address]) -> None:
        for address in addresses:
            if not is_allowed(address, self.allow_networks):
                raise BlockedAddress(f"the address of {host} is {address}, which is not public")

    def _look_up(self, host: str) -> Sequence[Address]:
        if address := parse_address(host):
            return [address]
        try:
            addresses = self.resolve(host)
        except socket.gaierror as exc:
            if exc.errno in _NO_SUCH_NAME:
                raise UnknownHost(f"the host {host} does not exist") from None
            raise DnsFailure(f"the DNS lookup of {host} failed: {exc.strerror}") from None
        except UnicodeError:  # the idna codec rejects labels that are empty or too long
            raise UnknownHost(f"{host} is not a valid host name") from None
        if not addresses:
            raise UnknownHost(f"the host {host} has no address")
        return addresses


class ProxyGuard(Guard):
    """Opens connections to the operator's egress proxy, which may be at any address and port."""

    def __init__(self, resolve: Resolve) -> None:
        super().__init__(_ALL_PORTS, _ALL_NETWORKS, resolve)

    def connect(self, host: str, port: int, connect_s: float, options: Any) -> socket.socket:
        """Connect to the proxy.

        Raises:
            ConnectionFailed, DnsFailure, FetchTimeout: See `worker.errors`.
        """
        try:
            return super().connect(host, port, connect_s, options)
        except UnknownHost as exc:  # the name of a proxy can be missing while it restarts, so a retry may help
            raise ConnectionFailed(f"cannot connect to the egress proxy: {exc}") from None


def _open(address: Address, port: int, timeout_s: float, options: Any) -> socket.socket:
    found = socket.getaddrinfo(str(address), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    family, _, _, _, sockaddr = found[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options or ():
            sock.setsockopt(*option)
        sock.settimeout(timeout_s)
        sock.connect(sockaddr)
    except OSError:
        sock.close()
        raise
    return sock
