"""`python -m tests.chaos.image_server PORT`: a slow image server on loopback, with faults on request.

`/K/anything.jpg` serves picture K after a delay, `/gone/...` always answers 404, and `/broken/...` always 503. In the
mode `away`, each answer is 503 and asks to wait for an hour.
`?ms=700` sets the delay of one request. `/control?mode=flap&chance=0.5&seed=1&min_ms=30&max_ms=100` sets the mode.
"""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.chaos.pictures import picture

FAULTS = ("500", "503", "reset", "cut", "stall")
# Longer than the workers' limit for one download.
_STALL_S = 6.0


@dataclass(frozen=True)
class Mode:
    """The mode of the server: `fine`, `away`, or `flap` with a fault in this share of the requests; delays in ms."""

    mode: str = "fine"
    chance: float = 0.5
    seed: int = 0
    min_ms: float = 30.0
    max_ms: float = 100.0

    def changed(self, query: dict[str, str]) -> Mode:
        """Return the mode with the changes in a query of `/control`."""
        kinds = {"mode": str, "chance": float, "seed": int, "min_ms": float, "max_ms": float}
        fields: dict[str, Any] = {name: kind(query[name]) for name, kind in kinds.items() if name in query}
        return replace(self, **fields)

    def fault(self, path: str, n: int) -> str | None:
        """Return the fault of this path's n-th request, if any; the same for the same seed."""
        if self.mode == "away":
            return "503"
        rng = random.Random(f"{self.seed} {path} {n}")  # noqa: S311  (not a secret)
        return rng.choice(FAULTS) if self.mode == "flap" and rng.random() < self.chance else None

    def delay_s(self, path: str) -> float:
        """Return the delay of a path; the same for the same seed."""
        return random.Random(f"{self.seed} {path}").uniform(self.min_ms, self.max_ms) / 1e3  # noqa: S311


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.mode = Mode()
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()

    def count_request(self, path: str) -> int:
        with self.lock:
            self.requests[path] += 1
            return self.requests[path]


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        route = parts.path.split("/")[1]
        if route == "control":
            self.server.mode = self.server.mode.changed(query)
            self._answer(200, b"")
        elif route in ("gone", "broken"):
            self._answer(404 if route == "gone" else 503, b"")
        else:
            self._serve(parts.path, int(route), query)

    def _serve(self, path: str, number: int, query: dict[str, str]) -> None:
        mode = self.server.mode
        time.sleep(float(query["ms"]) / 1e3 if "ms" in query else mode.delay_s(path))
        fault = mode.fault(path, self.server.count_request(path))
        if fault in ("500", "503"):
            self._answer(int(fault), b"")
        elif fault:
            self._abort(fault, picture(number))
        else:
            self._answer(200, picture(number))

    def _abort(self, fault: str, body: bytes) -> None:
        if fault == "stall":
            time.sleep(_STALL_S)
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self._answer(200, body[: len(body) // 2], length=len(body))
        self.close_connection = True

    def _answer(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Content-Type", "image/jpeg")
        if self.server.mode.mode == "away":
            self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    _Server(int(sys.argv[1])).serve_forever()
