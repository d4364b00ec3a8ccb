"""The seam between requests and the network: every connection goes to a checked address, under a deadline.

Owns name lookup, the address check and the watchdog. Knows nothing of HTTP status, redirects or images.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.addresses import is_allowed
from worker.errors import BlockedAddress, ConnectionFailed, DnsFailure, FetchTimeout, UnknownHost

if TYPE_CHECKING:
    from types import TracebackType

    from urllib3.connectionpool import HTTPConnectionPool

    from worker.settings import Network

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
Resolve = Callable[[str, int], Sequence[AddressInfo]]

_MAX_ADDRESSES_TRIED = 4
_HOSTS_KEPT = 8
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_running = threading.local()


def system_resolve(host: str, port: int) -> Sequence[AddressInfo]:
    """Look a host up as the system does; raises socket.gaierror."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class BoundedResolve:
    """Looks hosts up in threads of its own, for as long as the running deadline allows: getaddrinfo has no timeout."""

    def __init__(self, threads: int, resolve: Resolve = system_resolve) -> None:
        self._resolve = resolve
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Look a host up; raises socket.gaierror, EAI_AGAIN if the name server takes too long."""
        future = self._pool.submit(self._resolve, host, port)
        try:
            return future.result(_deadline().remaining_s)
        except TimeoutError:
            future.cancel()
            raise socket.gaierror(socket.EAI_AGAIN, "the name server did not answer in time") from None


class Deadline:
    """Ends a download at a fixed time by shutting its socket down, from a thread of its own.

    requests' timeouts count from the last byte, so a server that sends one byte a second outlives any of them
    (psf/requests#3099). Use as a context manager around everything one download does.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._ends - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Take `sock` as the one to shut down. Holds a duplicate, which survives `sock` being wrapped in TLS."""
        twin = socket.fromfd(sock.fileno(), sock.family, sock.type)
        with self._lock:
            self._release()
            self._twin = twin
            if self.expired:
                self._cut()

    def __enter__(self) -> Self:
        _running.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _running.deadline = None
        with self._lock:  # from here on the socket may serve another download
            self._release()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._cut()

    def _cut(self) -> None:
        if self._twin is not None:
            with suppress(OSError):  # the other side may have closed it already
                self._twin.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._twin is not None:
            self._twin.close()
            self._twin = None


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
        if not any(port in ports for ports in self.ports):
            raise BlockedAddress(f"port {port} is not allowed; CLIPQUEUE_FETCH_PORTS lists those that are")
        error: OSError | None = None
        for family, sockaddr in self._allowed_addresses(host, port)[:_MAX_ADDRESSES_TRIED]:
            try:
                return _open(family, sockaddr, min(connect_s, _deadline().remaining_s), options)
            except OSError as exc:
                error = exc
        if isinstance(error, TimeoutError):
            raise FetchTimeout(f"{host}:{port} did not accept a connection in time")
        raise ConnectionFailed(f"no connection to {host}:{port}: {error and error.strerror}")

    def _allowed_addresses(self, host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        addresses = []
        for family, _, _, _, sockaddr in self._look_up(host, port):
            if not is_allowed(ipaddress.ip_address(sockaddr[0]), self.allow_networks):
                raise BlockedAddress(f"{host} is at {sockaddr[0]}, which is not a public address")
            addresses.append((family, sockaddr))
        return addresses

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
    """requests' connection pool with every connection opened by a `Guard` and watched by the running `Deadline`."""

    def __init__(self, guard: Guard, connections: int) -> None:
        self._guard = guard
        # Connections to a few hosts are kept for the next download, as many as can be in use at once.
        super().__init__(pool_connections=_HOSTS_KEPT, pool_maxsize=connections)

    def init_poolmanager(self, connections: int, maxsize: int, *_: Any, **kwargs: Any) -> None:
        """Build the pool manager (called by requests)."""
        self.poolmanager = _GuardedPoolManager(self._guard, num_pools=connections, maxsize=maxsize, **kwargs)


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


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        connect_s = self.timeout if isinstance(self.timeout, int | float) else _deadline().remaining_s
        sock = self._guard.connect(self._dns_host, self.port, connect_s, self.socket_options)
        _deadline().watch(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # from the pool: an earlier download's deadline watched it last
            _deadline().watch(self.sock)
        super().request(*args, **kwargs)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass


def _deadline() -> Deadline:
    deadline: Deadline = _running.deadline
    return deadline


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
