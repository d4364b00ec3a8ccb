"""Claims the folder and the ports of an embedded stack, so that two stacks do not share them."""

from __future__ import annotations

import fcntl
import socket
from typing import IO, TYPE_CHECKING

from ephemeral_port_reserve import reserve

from producer.local.servers import HOST

if TYPE_CHECKING:
    from pathlib import Path


class StackError(Exception):
    """The stack could not be started, or a part of it has ended. The message says why."""


def lock_folder(folder: Path) -> IO[str]:
    """Lock a folder until the returned file is closed.

    Raises:
        StackError: Another process has locked it.
    """
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StackError(f"{folder} is in use by another `clipqueue up`") from None
    return lock


def prefer_port(port: int) -> int:
    """Return `port` if it is free, else another free one."""
    try:
        return claim_port(port, "")
    except StackError:
        return claim_port(0, "")


def claim_port(port: int, option: str) -> int:
    """Return `port`, or a free one if it is 0.

    Raises:
        StackError: The port is in use; the message names `option`.
    """
    if not port:
        # The port stays in TIME_WAIT, so the kernel does not give it to another process before the server binds it.
        return int(reserve(HOST))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            raise StackError(f"port {port} cannot be used ({exc.strerror}); choose another with {option}") from None
    return port
