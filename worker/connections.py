"""The seam between requests and the network: every connection goes to a checked address, under a deadline.

Knows nothing of HTTP status, redirects or images.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.addresses import is_allowed
from worker.deadline import running_deadline
from worker.errors import BlockedAddress, ConnectionFailed, DnsFailure, FetchTimeout, UnknownHost
from worker.names import numeric_resolve, system_resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from requests import PreparedRequest, Response
    from urllib3.connectionpool import HTTPConnectionPool

    from worker.names import AddressInfo, Resolve
    from worker.settings import Network

_MAX_ADDRESSES_TRIED = 4
_HOSTS_KEPT = 8
_DEFAULT_PORTS = {"http": 80, "https": 443}
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
                return _open(family, sockaddr, min(connect_s, running_deadline().remaining_s), options)
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


class GuardedAdapter(HTTPAdapter):
    """requests' connection pool with every connection opened by a `Guard` and watched by the running `Deadline`.

    Args:
        guard: Where connections may go.
        connections: Most connections to one host that are kept.
        proxy: The URL of an egress proxy, which then looks names up and answers for where they lead; else empty.
    """

    def __init__(self, guard: Guard, connections: int, proxy: str = "") -> None:
        self._guard = guard
        self._proxies = {"http": proxy, "https": proxy} if proxy else None
        # Connections to a few hosts are kept for the next download, as many as can be in use at once.
        super().__init__(pool_connections=_HOSTS_KEPT, pool_maxsize=connections)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        """Send a request, through the egress proxy if there is one; the environment's proxies are not asked."""
        if self._proxies:
            parts = urlsplit(str(request.url))
            self._guard.check_unresolved(parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme])
        return super().send(request, **{**kwargs, "proxies": self._proxies})

    def init_poolmanager(self, connections: int, maxsize: int, *_: Any, **kwargs: Any) -> None:
        """Build the pool manager (called by requests)."""
        self._pool_options = {"num_pools": connections, "maxsize": maxsize, **kwargs}
        self.poolmanager = _GuardedPoolManager(self._guard, **self._pool_options)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pool manager for the egress proxy (called by requests)."""
        if proxy not in self.proxy_manager:
            # The proxy is the operator's own, wherever it stands.
            guard = Guard(_ANY_PORT, _EVERYWHERE, self._guard.resolve)
            options = {**self._pool_options, "proxy_headers": self.proxy_headers(proxy), **kwargs}
            self.proxy_manager[proxy] = _GuardedProxyManager(guard, proxy_url=proxy, **options)
        return self.proxy_manager[proxy]


class _GuardedPoolManager(PoolManager):
    def __init__(self, guard: Guard, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._guard = guard

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        connection = _HTTPSConnection if scheme == "https" else _HTTPConnection
        pool.ConnectionCls = partial(connection, guard=self._guard)  # type: ignore[assignment]
        return pool


class _GuardedProxyManager(_GuardedPoolManager, ProxyManager):
    pass


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        connect_s = self.timeout if isinstance(self.timeout, int | float) else running_deadline().remaining_s
        sock = self._guard.connect(self._dns_host, self.port, connect_s, self.socket_options)
        running_deadline().watch(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # from the pool: an earlier download's deadline watched it last
            running_deadline().watch(self.sock)
        super().request(*args, **kwargs)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    def _tunnel(self) -> None:
        super()._tunnel()
        if running_deadline().expired:  # headers that were cut read like whole ones
            raise TimeoutError


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
