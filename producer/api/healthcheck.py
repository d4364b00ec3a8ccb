"""A container's health check of an HTTP server: exits with 0 if it answers a path with 200.

    python -I -S healthcheck.py /healthz CLIPQUEUE_API_PORT PORT 8000

The port is the value of the first of these variables that is set, else the number. It runs every few seconds beside the
server, so it imports almost nothing, and the image has a copy that Python starts without its packages.
"""

import os
import socket
import sys

_WAIT_S = 4
_HEAD_BYTES = 64


def main(path: str, *ports: str) -> int:
    """Print what is wrong, if anything is. The last port is a number, the others are names of variables."""
    *names, default = ports
    port = next((value for name in names if (value := os.environ.get(name))), default)
    try:
        head = _ask(path, int(port))
    except (OSError, ValueError) as exc:
        problem = f"port {port} gives no answer: {exc}"
    else:
        problem = "" if head.split(b" ")[1:2] == [b"200"] else f"{path} answers {head!r}"
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problem else 0


def _ask(path: str, port: int) -> bytes:
    """Return the first line of the answer. Raises OSError."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with _connect(port) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as answer:
            return answer.readline(_HEAD_BYTES).rstrip()


def _connect(port: int) -> socket.socket:
    try:
        return socket.create_connection(("127.0.0.1", port), _WAIT_S)
    except ConnectionRefusedError:  # a server may listen on IPv6 alone
        return socket.create_connection(("::1", port), _WAIT_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
