"""Decides whether an address may be fetched from. Opens no connection and looks nothing up."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Global by the registries, or by Python's copy of them, yet never the address of a public web server. The
# transition forms are refused whole: each can carry a private IPv4 address past a check of the outer one.
_NEVER_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's metadata and DNS service
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890)
        "192.88.99.0/24",  # 6to4 relay anycast, deprecated (RFC 7526)
        "::/96",  # IPv4-compatible, deprecated (RFC 4291, section 2.5.5.1)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "2001::/32",  # Teredo (RFC 4380)
        "2002::/16",  # 6to4 (RFC 3056)
        "fec0::/10",  # site-local, deprecated (RFC 3879)
    )
)


def is_allowed(address: Address, allow_networks: Sequence[Network]) -> bool:
    """Return whether `address` is public, or inside one of the operator's exceptions.

    An IPv4-mapped IPv6 address is judged as the IPv4 address that it is. Follows the IANA special-purpose
    registries as Python's ipaddress has them.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in allow_networks):
        return True
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NEVER_PUBLIC)
    )
