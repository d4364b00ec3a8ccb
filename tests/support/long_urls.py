"""The longest ids and URLs, and a server that has a picture at each URL: Python's refuses targets above 64 KiB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.ids import MAX_ID_CHARS
from producer.contract.urls import MAX_URL_CHARS
from tests.support.pictures import small_jpeg
from tests.support.servers import SocketServer

if TYPE_CHECKING:
    import socket

# JSON escapes it as twelve bytes, more than any other character.
ASTRAL = "\N{GRINNING FACE}"


def longest_id(prefix: str) -> str:
    """Return an id of the most characters."""
    return prefix + ASTRAL * (MAX_ID_CHARS - len(prefix))


def longest_url(start: str, filling: str = ASTRAL) -> str:
    """Return a URL of the most characters that starts so."""
    repeated = filling * (MAX_URL_CHARS // len(filling))
    return (start + repeated)[:MAX_URL_CHARS]


def picture_everywhere() -> SocketServer:
    """Return a server that answers each request with a small JPEG."""
    return SocketServer(_serve)


def _serve(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1 << 20) or b"\r\n\r\n"
    picture = small_jpeg()
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture)
