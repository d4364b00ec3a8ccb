"""The API and a worker as processes, for hostile requests: with short limits, and with servers that must not be read."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.hostile.api_http import exchange, read_answers
from tests.support.api import KEY
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.hostile.api_http import Answer, Request
    from tests.support.workers import FakeWorker

_SECONDS = 10
_URL = re.compile(r"answering at http://127\.0\.0\.1:(\d+)")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True)
class Target:
    """The running API, its worker, and the server of images that the worker may read."""

    api: subprocess.Popen[bytes]
    log_path: Path
    worker: FakeWorker
    images_url: str

    @property
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
        health = requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=_SECONDS)
        assert (health.status_code, health.json()["workers"]) == (200, 1)
        answer = self.embed(f"a red bicycle {uuid.uuid4().hex}")
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"][0]["embedding"]) == 48

    def embed(self, text: str) -> requests.Response:
        url = f"http://127.0.0.1:{self.port}/v1/embeddings"
        return requests.post(url, json={"input": text}, headers={"x-api-key": KEY}, timeout=_SECONDS)

    def peaks(self) -> dict[str, int]:
        """Return the most memory that the API and the worker have had, in bytes."""
        return {"api": peak_bytes(self.api.pid), "worker": peak_bytes(self.worker.process.pid)}


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return 1024 * int(found[1])
