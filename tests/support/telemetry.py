"""Requests to the telemetry server, and what `promtool` says of an exposition."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import dataclass

import pytest

_WAIT_S = 30.0


@dataclass(frozen=True)
class Got:
    """An answer: its status, its headers (names in lower case), and its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def get(port: int, path: str, *headers: str, method: str = "GET") -> Got:
    """Send one request, and read its answer to the end of the connection."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return read_answer(send(port, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()))


def send(port: int, content: bytes) -> socket.socket:
    """Connect, and send bytes."""
    sock = socket.create_connection(("127.0.0.1", port), _WAIT_S)
    sock.sendall(content)
    return sock


def read_answer(sock: socket.socket) -> Got:
    """Read to the end of the connection."""
    with sock, sock.makefile("rb") as stream:
        content = stream.read()
    head, _, body = content.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    return Got(int(line.split(" ")[1]), headers, body)


def check_metrics(exposition: str) -> str:
    """Return what `promtool check metrics` prints of an exposition: nothing if it keeps all conventions."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr
