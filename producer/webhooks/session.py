"""The connection to the receiver of webhooks. An attempt ends in time, however slowly its answer comes."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.response import HTTPResponse

from producer.client.libraries import Parts, check_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

# Undocumented parts that are overridden or used below. Without them, an attempt could last for hours.
PARTS: Parts = {
    ("requests", HTTPAdapter): "init_poolmanager build_response poolmanager",
    ("urllib3", PoolManager): "_new_pool",
    ("urllib3", HTTPConnectionPool): "ConnectionCls",
    ("urllib3", HTTPConnection): "_new_conn request sock",
    ("urllib3", HTTPResponse): "_original_response read1",
}


class Attempt:
    """One attempt. A timer shuts down its socket, because a timeout of a socket limits only the wait for each part.

    Attributes:
        is_over: Its time is over.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def watch(self, sock: socket.socket) -> None:
        """Shut `sock` down when the time is over."""
        with self._lock:
            self._release()
            self._socket = socket.socket(fileno=os.dup(sock.fileno()))  # stays usable when TLS wraps the original
            if self.is_over:
                self._shut_down()

    def end(self) -> None:
        """The time is over."""
        with self._lock:
            self.is_over = True
            self._shut_down()

    def close(self) -> None:
        """Watch no socket any more."""
        with self._lock:
            self._release()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the receiver may have closed the connection
                self._socket.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class TimedSession(requests.Session):
    """A session that follows no redirect, keeps no cookie and reads no settings of the system. Not thread-safe."""

    def __init__(self) -> None:
        check_parts(PARTS, "clipqueue notify", "webhooks")
        super().__init__()
        self.trust_env = False  # proxies, and passwords from ~/.netrc
        self._adapter = _Adapter()
        for scheme in ("http://", "https://"):
            self.mount(scheme, self._adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return that there is none. Else requests would read the whole body, also if it follows no redirect."""

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Attempt]:
        """End what the block does on its connection after so many seconds."""
        attempt = self._adapter.attempt = Attempt()
        timer = threading.Timer(seconds, attempt.end)
        timer.daemon = True
        timer.start()
        try:
            yield attempt
        finally:
            timer.cancel()
            attempt.close()


class _Adapter(HTTPAdapter):
    attempt: Attempt

    def init_poolmanager(self, connections: int, maxsize: int, *_: Any, **kwargs: Any) -> None:
        self.poolmanager = _PoolManager(self, num_pools=connections, maxsize=maxsize, **kwargs)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        for name in ("Set-Cookie", "Set-Cookie2"):  # parsing them can take minutes
            del resp._original_response.msg[name]  # noqa: SLF001  (requests reads them from there)
        return super().build_response(req, resp)


class _PoolManager(PoolManager):
    def __init__(self, adapter: _Adapter, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._adapter = adapter

    def _new_pool(self, scheme: str, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = super()._new_pool(scheme, *args, **kwargs)
        connection = _HTTPSConnection if scheme == "https" else _HTTPConnection
        pool.ConnectionCls = partial(connection, adapter=self._adapter)  # type: ignore[assignment]
        return pool


class _HTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, adapter: _Adapter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._adapter = adapter

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._adapter.attempt.watch(sock)
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # a connection of an earlier attempt
            self._adapter.attempt.watch(self.sock)
        super().request(*args, **kwargs)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    pass
