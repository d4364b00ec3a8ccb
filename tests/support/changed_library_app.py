"""`celery -A tests.support.changed_library_app worker`: the real worker with a library that has changed.

The environment variable CHANGED_LIBRARY names the change. Tests make the same changes in their own process.
"""

from __future__ import annotations

import importlib
import os
import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool

CHANGED_LIBRARY = "CHANGED_LIBRARY"

Change = tuple[type, str, Any]


def connect_directly(self: Any) -> None:
    """Connect without `_new_conn`, as a new version might."""
    self.sock = socket.create_connection((self._dns_host, self.port), timeout=1)


def pool_directly(self: Any, *_: Any, **__: Any) -> Any:
    """Return a pool whose connections are urllib3's own."""
    return HTTPConnectionPool(self.host, self.port)._new_conn()


def make_own_pool(_: Any, request: Any, *__: Any, **___: Any) -> Any:
    """Return a pool of another pool manager, as requests would without `init_poolmanager`."""
    return PoolManager().connection_from_url(request.url)


# Each bypasses the address guard: a class, the name of its method, and what replaces it.
BYPASSES: dict[str, Change] = {
    "http connections are opened directly": (HTTPConnection, "connect", connect_directly),
    "https connections are opened directly": (HTTPSConnection, "connect", connect_directly),
    "pools ignore ConnectionCls": (HTTPConnectionPool, "_new_conn", pool_directly),
    "the adapter ignores its pool manager": (HTTPAdapter, "get_connection_with_tls_context", make_own_pool),
}
# Parts that a new version lacks: `module:Class.name`.
REMOVALS = ("kombu.transport.redis:Channel._brpop_start", "urllib3.poolmanager:PoolManager._new_pool")


def make_change(name: str) -> None:
    """Change the library in this process, for good."""
    if name in BYPASSES:
        setattr(*BYPASSES[name])
        return
    path, _, part = name.rpartition(".")
    module, _, owner = path.partition(":")
    delattr(getattr(importlib.import_module(module), owner), part)


if CHANGED_LIBRARY in os.environ:
    make_change(os.environ[CHANGED_LIBRARY])
    from worker.app import app

    __all__ = ["app"]
