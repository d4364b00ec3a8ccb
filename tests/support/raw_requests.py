"""A server on loopback that keeps each request byte for byte, and answers from a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.servers import SocketServer

if TYPE_CHECKING:
    import socket
    import ssl

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage"


class RawServer(SocketServer):
    """Answers each request, on connections that stay open, with the next of `answers`, then with an image.

    Attributes:
        heads: The head of each request, as it came.
    """

    def __init__(self, *answers: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self._answers = list(answers)
        super().__init__(self._answer_all, tls)

    @property
    def lines(self) -> list[str]:
        """The request line of each request, without method and version."""
        lines = [head.split(b"\r\n")[0] for head in self.heads]
        return [line.removeprefix(b"GET ").removesuffix(b" HTTP/1.1").decode("latin-1") for line in lines]

    @property
    def hosts(self) -> list[str]:
        """The Host header of each request."""
        return [host_of(head) for head in self.heads]

    def _answer_all(self, connection: socket.socket) -> None:
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
            while b"\r\n\r\n" in received:
                head, _, received = received.partition(b"\r\n\r\n")
                self.heads.append(head)
                connection.sendall(self._answers.pop(0) if self._answers else OK)


def host_of(head: bytes) -> str:
    """Return the only Host header of a request."""
    (host,) = [line[6:] for line in head.split(b"\r\n") if line.lower().startswith(b"host: ")]
    return host.decode("latin-1")
