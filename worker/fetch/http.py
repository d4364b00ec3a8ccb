"""Adapts the requests library: a guard opens every connection, and the deadline of the download watches it.

The request line comes from `worker.fetch.target`, and `worker.fetch.responses` reads the answer. Does not know HTTP
statuses, redirects or images.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ssl import SSLError
from typing import TYPE_CHECKING, Any

from requests import Request
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.fetch.deadline import current_deadline
from worker.fetch.guard import ProxyGuard
from worker.fetch.responses import NoAnswer, Response

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    import requests
    from urllib3 import HTTPResponse

    from worker.fetch.guard import Guard
    from worker.fetch.target import Target

_MAX_POOLS = 8  # hosts whose connections are kept


@dataclass(frozen=True)
class _Sending:
    """What the connection must know of the request that this thread is sending, and what urllib3 does not pass on.

    Attributes:
        target: Where the request goes.
        on_new_connection: Whether no kept connection may be used.
    """

    target: Target
    on_new_connection: bool


_sending: ContextVar[_Sending] = ContextVar("sending")


class _ClosedMeanwhile(Exception):
    """The server had closed a kept connection, and sent no answer to the request."""


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

    def get(self, target: Target, headers: Mapping[str, str], timeouts: tuple[float, float]) -> requests.Response:
        """Send a GET request, through the egress proxy if there is one, and return the answer with its body unread.

        If a kept connection turns out to be closed, the request is sent again at once, once, and on a new connection. A
        server may close a kept connection at any time, also while the request is on its way (RFC 9112, section 9.3.1),
        and GET may be sent twice (RFC 9110, section 9.2.2).

        Args:
            target: Where the request goes.
            headers: All headers but Host.
            timeouts: Seconds to connect, and seconds to wait for the next bytes.

        Raises:
            requests.RequestException, JobError: No answer came, or its head cannot be read.
        """
        if self._proxies:
            self._guard.check_unresolved(target.host, target.port)
        try:
            return self._send(_Sending(target, on_new_connection=False), headers, timeouts)
        except _ClosedMeanwhile:
            return self._send(_Sending(target, on_new_connection=True), headers, timeouts)

    def _send(self, sending: _Sending, headers: Mapping[str, str], timeouts: tuple[float, float]) -> requests.Response:
        target = sending.target
        # As bytes, because requests takes a few letters of Latin-1 for white space, with which no value may start.
        values = {name: value.encode("latin-1") for name, value in headers.items()}
        # Without path and query, so that no library can rewrite or log them.
        request = Request("GET", target.origin, headers={"Host": target.host_header, **values}).prepare()
        token = _sending.set(sending)
        try:
            return self.send(request, stream=True, timeout=timeouts, proxies=self._proxies)
        finally:
            _sending.reset(token)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
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
        self.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
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


class _HTTPPool(HTTPConnectionPool):
    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        if _sending.get().on_new_connection:
            connection.close()  # urllib3 opens it again
        return connection


class _HTTPSPool(_HTTPPool, HTTPSConnectionPool):
    pass


class _HTTPConnection(HTTPConnection):
    response_class = Response

    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard
        self._is_reused = False

    def _new_conn(self) -> socket.socket:
        connect_s = self.timeout if isinstance(self.timeout, int | float) else current_deadline().remaining_s
        sock = self._guard.connect(self._dns_host, self.port, connect_s, self.socket_options)
        current_deadline().watch(sock)
        self._is_reused = False
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request (called by urllib3), with the request line of the target instead of urllib3's."""
        if self.sock is not None:  # a kept connection, last watched by the deadline of an earlier download
            current_deadline().watch(self.sock)
        target = _sending.get().target
        line = target.absolute if self.proxy_is_forwarding else target.path
        try:
            super().request(args[0], line, *args[2:], **kwargs)  # method, URL, ...
        except SSLError as exc:  # urllib3 lets plain sockets fail when the answer is read
            raise self._closed(exc) from None

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Read the head of the answer (called by urllib3)."""
        try:
            response = super().getresponse()
        except NoAnswer as exc:
            raise self._closed(exc) from None
        # Some servers say that they close a connection which was idle. Chromium (net/http/http_network_transaction.cc)
        # asks again too.
        if self._is_reused and response.status == HTTPStatus.REQUEST_TIMEOUT:
            raise _ClosedMeanwhile
        self._is_reused = True  # by the next request
        return response

    def _closed(self, exc: Exception) -> Exception:
        """Return the error of a connection on which no byte of an answer came."""
        # The watchdog closes connections too, at the deadline.
        return _ClosedMeanwhile() if self._is_reused and not current_deadline().is_expired else exc


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    def _tunnel(self) -> None:
        super()._tunnel()
        # The watchdog may have truncated the headers, and http.client treats truncated headers as complete.
        if current_deadline().is_expired:
            raise TimeoutError
