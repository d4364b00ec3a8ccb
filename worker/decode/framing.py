"""Sends and receives messages between the pool and a decoding process: four bytes of length, then the content."""

from __future__ import annotations

import select
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_LENGTH = struct.Struct(">I")


def send_message(sock: socket.socket, content: bytes, deadline: float | None = None) -> None:
    """Send `content` after its length.

    Args:
        sock: A connected stream socket.
        content: The message, at most 2**32 - 1 bytes.
        deadline: The latest time to finish, on the clock of `time.monotonic`. None waits without limit.

    Raises:
        TimeoutError: The other side did not read the message before the deadline.
        OSError: The other side closed the connection.
    """
    for part in (_LENGTH.pack(len(content)), content):
        _set_timeout(sock, deadline)
        sock.sendall(part)


def receive_message(sock: socket.socket, deadline: float | None = None, max_bytes: int | None = None) -> bytes:
    """Return the next message.

    Raises:
        EOFError: The other side closed the connection.
        TimeoutError: The message did not arrive before the deadline.
        ValueError: The message is longer than `max_bytes`.
    """
    (length,) = _LENGTH.unpack(receive_exactly(sock, _LENGTH.size, deadline))
    if max_bytes is not None and length > max_bytes:
        raise ValueError(f"a message of {length} bytes is longer than {max_bytes}")
    return receive_exactly(sock, length, deadline)


def receive_exactly(sock: socket.socket, size: int, deadline: float | None = None) -> bytes:
    """Return the next `size` bytes. Raises EOFError and TimeoutError as `receive_message` does."""
    content = bytearray(size)
    view = memoryview(content)
    while view:
        _set_timeout(sock, deadline)
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(content)


def is_readable(sock: socket.socket) -> bool:
    """Return whether the other side has sent something or closed the connection. Does not wait."""
    # Not `select.select`, which raises ValueError for a descriptor of 1024 or more.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _set_timeout(sock: socket.socket, deadline: float | None) -> None:
    if deadline is None:
        return
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    sock.settimeout(seconds)
