"""Decides whether an address may be fetched from. Opens no connection and looks nothing up."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Every entry of the IANA IPv4 Special-Purpose Address Registry, of IPv4 multicast (RFC 5771) and of what is reserved
# beyond it. Our own copy: Python's differs from release to release, and calls some of these global.
_IPV4_REFUSED = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this network" (RFC 791)
        "10.0.0.0/8",  # private use (RFC 1918)
        "100.64.0.0/10",  # shared address space of carriers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local (RFC 3927), metadata services of most clouds
        "172.16.0.0/12",  # private use (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890), metadata at 192.0.0.192 on one cloud
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
        "168.63.129.16/32",  # not in the registry: metadata and DNS service of Azure, in public space
    )
)

# All global unicast addresses lie here (IANA Internet Protocol Version 6 Address Space). Refused with the rest:
# loopback, unique local, link-local, site-local and multicast addresses, discard-only and SRv6 SIDs, IPv4-compatible
# and IPv4-translated ones, and both NAT64 prefixes (64:ff9b::/96, 64:ff9b:1::/48).
_IPV6_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_IPV6_REFUSED = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments (RFC 2928): Teredo, benchmarking, ORCHID, ...
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056): carries an IPv4 address
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
        "3ffe::/16",  # 6bone, returned (RFC 3701)
    )
)
# The interface identifiers of ISATAP (RFC 5214, section 6.1), which carry an IPv4 address in their last four bytes.
_ISATAP = {0x00005EFE, 0x02005EFE}


def is_allowed(address: Address, allow_networks: Sequence[Network]) -> bool:
    """Return whether `address` is public, or inside one of the operator's exceptions.

    An IPv4-mapped IPv6 address is judged as the IPv4 address that it is. Other forms that carry an IPv4 address are
    refused whole: what they lead to is another machine's decision. Follows the IANA special-purpose address registries.
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
