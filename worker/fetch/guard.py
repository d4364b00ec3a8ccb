"""Decides for each connection where it may go, and opens it: look the name up, check every address, connect."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.errors import BlockedAddress, ConnectionFailed, DnsFailure, FetchTimeout, UnknownHost
from worker.fetch.addresses import is_allowed
from worker.fetch.deadline import current_deadline
from worker.fetch.dns import numeric_resolve, system_resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.fetch.dns import AddressInfo, Resolve
    from worker.settings import Network

_MAX_ADDRESSES_TRIED = 4
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_EVERYWHERE = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))
_ANY_PORT = (range(1, 65_536),)


@dataclass(frozen=True)
class Guard:
    """Where connections may go: the ports, the networks allowed although not public, and the name lookup."""

    ports: tuple[range, ...]
    allow_networks: tuple[Network, ...]
    resolve: Resolve = system_resolve

    def connect(self, host: str, port: int, connect_s: float, options: Any) -> socket.socket:
        """Connect to the first address of `host` that answers, once all of them are found allowed.

        Each address has `connect_s` seconds, and all together what the running deadline leaves.

        The lookup happens once, and the connection goes to what was checked: a second answer of the name
        server (DNS rebinding) is never asked for.

        Raises:
            BlockedAddress, UnknownHost, DnsFailure, ConnectionFailed, FetchTimeout: See `worker.errors`.
        """
        self._check_port(port)
        found = self._look_up(host, port)
        self._check_addresses(host, found)
        error: OSError | None = None
        for family, _, _, _, sockaddr in found[:_MAX_ADDRESSES_TRIED]:
            try:
                return _open(family, sockaddr, min(connect_s, current_deadline().remaining_s), options)
            except OSError as exc:
                error = exc
        if isinstance(error, TimeoutError):
            raise FetchTimeout(f"{host}:{port} did not accept a connection in time")
        raise ConnectionFailed(f"no connection to {host}:{port}: {error and error.strerror}")

    def check_unresolved(self, host: str, port: int) -> None:
        """Check what can be checked of a host whose name an egress proxy will look up: port, and an address.

        Raises:
            BlockedAddress: The port is not allowed, or the host is this machine or an address that is not allowed.
        """
        self._check_port(port)
        self._check_addresses(host, numeric_resolve(host.strip("[]"), port))
        if host.rstrip(".").lower().rpartition(".")[2] == "localhost":  # RFC 6761, section 6.3
            raise BlockedAddress(f"{host} is this machine, or the egress proxy's")

    def _check_port(self, port: int) -> None:
        if not any(port in ports for ports in self.ports):
            raise BlockedAddress(f"port {port} is not allowed; CLIPQUEUE_FETCH_PORTS lists those that are")

    def _check_addresses(self, host: str, found: Sequence[AddressInfo]) -> None:
        for *_, sockaddr in found:
            if not is_allowed(ipaddress.ip_address(sockaddr[0]), self.allow_networks):
                raise BlockedAddress(f"{host} is at {sockaddr[0]}, which is not a public address")

    def _look_up(self, host: str, port: int) -> Sequence[AddressInfo]:
        try:
            found = self.resolve(host.strip("[]"), port)
        except socket.gaierror as exc:
            if exc.errno in _NO_SUCH_NAME:
                raise UnknownHost(f"the host {host} does not exist") from None
            raise DnsFailure(f"the host {host} could not be looked up: {exc.strerror}") from None
        except UnicodeError:  # the idna codec, on empty or overlong labels
            raise UnknownHost(f"{host} is not a valid host name") from None
        if not found:
            raise UnknownHost(f"the host {host} has no address")
        return found


class ProxyGuard(Guard):
    """Lets connections go to the operator's own egress proxy, wherever it stands."""

    def __init__(self, resolve: Resolve) -> None:
        super().__init__(_ANY_PORT, _EVERYWHERE, resolve)

    def connect(self, host: str, port: int, connect_s: float, options: Any) -> socket.socket:
        """Connect to the proxy. Its name being away, as while it restarts, is no job's fault for good.

        Raises:
            ConnectionFailed, DnsFailure, FetchTimeout: See `worker.errors`.
        """
        try:
            return super().connect(host, port, connect_s, options)
        except UnknownHost as exc:
            raise ConnectionFailed(f"the egress proxy: {exc}") from None


def _open(family: int, sockaddr: tuple[Any, ...], timeout_s: float, options: Any) -> socket.socket:
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
