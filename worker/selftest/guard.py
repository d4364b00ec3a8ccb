"""Checks that the address guard works: a download from this machine itself must be refused before a connection is made.

The guard depends on private parts of urllib3 and requests. If they changed, downloads would bypass it without an error.
"""

from __future__ import annotations

import socket
from importlib.metadata import version
from typing import TYPE_CHECKING

from worker.errors import BlockedAddress, UnusableLibrary
from worker.selftest.libraries import requirement

if TYPE_CHECKING:
    from collections.abc import Callable

_LIBRARIES = ("requests", "urllib3")


def check_guard(fetch: Callable[[str], object]) -> None:
    """Try to download from a loopback socket, over http and over https.

    Args:
        fetch: Downloads a URL as a job would, and allows no network that is not public.

    Raises:
        UnusableLibrary: A download was not refused, or a connection was made.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        for scheme in ("http", "https"):
            outcome = _outcome(fetch, f"{scheme}://127.0.0.1:{server.getsockname()[1]}/")
            if outcome != BlockedAddress.code or _was_connected(server):
                raise UnusableLibrary(_message(outcome))


def _outcome(fetch: Callable[[str], object], url: str) -> str:
    try:
        fetch(url)
    except Exception as exc:  # noqa: BLE001  (whatever a changed library raises, the guard did not refuse)
        return str(getattr(exc, "code", type(exc).__name__))
    return "a response"


def _was_connected(server: socket.socket) -> bool:
    # The kernel completes a connection on loopback before `connect` returns, so it is seen here without waiting.
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _message(outcome: str) -> str:
    installed = " and ".join(f"{package} {version(package)}" for package in _LIBRARIES)
    needed = " ".join(map(requirement, _LIBRARIES))
    return (
        f"the worker does not start: with {installed}, a download from 127.0.0.1 is not refused before it connects "
        f"(it ended with {outcome}); the address guard needs HTTPConnection._new_conn to open each connection; install "
        f"{needed}"
    )
