"""Adapts the requests library: a guard opens every connection, and the deadline of the download watches it.

Does not know HTTP statuses, redirects or images.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.fetch.deadline import current_deadline
from worker.fetch.guard import ProxyGuard

if TYPE_CHECKING:
    import socket

    from requests import PreparedRequest, Response
    from urllib3.connectionpool import HTTPConnectionPool

    from worker.fetch.guard import Guard

_MAX_POOLS = 8  # hosts whose connections are kept
_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_and_port(url: str) -> tuple[str, int]:
    """Return host and port of an http or https URL, in lower case and without a trailing dot."""
    parts = urlsplit(url)
    return (parts.hostname or "").rstrip("."), parts.port or _DEFAULT_PORTS[parts.scheme]


class GuardedAdapter(HTTPAdapter):
    """requests' connection pool. A `Guard` opens its connections, and the current `Deadline` watches them.

    Args:
        guard: Decides where connections may go.
        connections: Maximum number of idle connections to keep for each host.
        proxy: The URL of an egress proxy, which then looks up the host names, or an empty string.
    """

    def __init__(self, guard: Guard, connections: int, proxy: str = "") -> None:
        self._guard = guard
        self._proxies = {"http": proxy, "https": proxy} if proxy else None
        super().__init__(pool_connections=_MAX_POOLS, pool_maxsize=connections)

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        """Send a request, through the egress proxy if there is one. Ignores the proxies of the environment."""
        if self._proxies:
            self._guard.check_unresolved(*host_and_port(str(request.url)))
        return super().send(request, **{**kwargs, "proxies": self._proxies})

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Convert urllib3's response (called by requests). Drops cookies, because parsing them can take minutes."""
        for name in ("Set-Cookie", "Set-Cookie2"):
            del resp._original_response.msg[name]  # noqa: SLF001  (requests reads them from there)
        return super().build_response(req, resp)

    def init_poolmanager(self, connections: int, maxsize: int, *_: Any, **kwargs: Any) -> None:
        """Build the pool manager (called by requests)."""
        self._pool_options = {"num_pools": connections, "maxsize": maxsize, **kwargs}
        self.poolmanager = _GuardedPoolManager(self._guard, **self._pool_options)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pool manager for the egress proxy (called by requests)."""
        if proxy not in self.proxy_manager:
            guard = ProxyGuard(self._guard.resolve)
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
        connect_s = self.timeout if isinstance(self.timeout, int | float) else current_deadline().remaining_s
        sock = self._guard.connect(self._dns_host, self.port, connect_s, self.socket_options)
        current_deadline().watch(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # a pooled connection, last watched by the deadline of an earlier download
            current_deadline().watch(self.sock)
        super().request(*args, **kwargs)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    def _tunnel(self) -> None:
        super()._tunnel()
        # The watchdog may have truncated the headers, and http.client treats truncated headers as complete.
        if current_deadline().is_expired:
            raise TimeoutError
