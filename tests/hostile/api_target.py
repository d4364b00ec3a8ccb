"""The API and its worker, as two processes that hostile requests must not harm."""

from __future__ import annotations

import re
import socket
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.hostile.api_http import exchange, get, post, read_answers
from tests.support.api import KEY
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess

    from tests.hostile.api_http import Answer, Request
    from tests.support.workers import FakeWorker

_SECONDS = 30
_ESTABLISHED = "01"  # in /proc/net/tcp
_DIM = 48  # of the fake encoder
_URL = re.compile(r"answering at http://127\.0\.0\.1:(\d+)")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True)
class Target:
    """The running API, its worker, and the server of images that the worker may read."""

    api: subprocess.Popen[bytes]
    log_path: Path
    worker: FakeWorker
    images_url: str

    @cached_property
    def port(self) -> int:
        found = wait_for(lambda: _URL.search(self.log), "the API to answer")
        return int(found[1])

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def send(self, request: Request) -> list[Answer]:
        """Return the answers to a hostile request."""
        return read_answers(exchange(self.port, request(self.images_url)))

    def check_answers(self) -> None:
        """Fail unless the API is healthy and embeds a text that nobody has asked for before."""
        [health] = self.send(get("/healthz", key=None))
        assert (health.status, health.json()["workers"]) == (200, 1)
        [answer] = self.send(post("/v1/embeddings", {"input": f"a red bicycle {uuid.uuid4().hex}"}))
        assert answer.status == 200, answer.body
        assert len(answer.json()["data"][0]["embedding"]) == _DIM

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return the answer to a sound request."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return requests.request(method, url, headers={"x-api-key": KEY}, timeout=_SECONDS, **options)

    def is_connected(self, port: int) -> bool:
        """Return whether the API still holds its connection from this port."""
        ends = (f":{self.port:04X}", f":{port:04X}")
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        return any((ours[-5:], theirs[-5:]) == ends and state == _ESTABLISHED for _, ours, theirs, state, *_ in lines)

    def connect(self, receive_buffer: int) -> socket.socket:
        """Return a connection that can hold only so many bytes that nobody has read."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def peaks(self) -> dict[str, int]:
        """Return the most memory that the API and the worker have had, in bytes."""
        return {"api": peak_bytes(self.api.pid), "worker": peak_bytes(self.worker.process.pid)}


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return 1024 * int(found[1])
