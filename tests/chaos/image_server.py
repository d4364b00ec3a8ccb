"""`python -m tests.chaos.image_server PORT`: a slow image server on loopback that can be told to misbehave.

Paths: `/K/anything.jpg` answers picture K, after a delay; `/gone/...` answers 404, and `/sick/...` 503, always.
`?ms=700` sets the delay of one request. `/control?mode=flap&chance=0.5&seed=1&least_ms=30&most_ms=100` sets the rest.
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
# Longer than any download of the cluster's workers may take.
_STALL_S = 6.0


@dataclass(frozen=True)
class Mode:
    """How it answers: `fine`, or `flap` with a fault in `chance` of the requests; delays in milliseconds."""

    mode: str = "fine"
    chance: float = 0.5
    seed: int = 0
    least_ms: float = 30.0
    most_ms: float = 100.0

    def changed(self, query: dict[str, str]) -> Mode:
        """Return the mode with what a query of `/control` sets."""
        kinds = {"mode": str, "chance": float, "seed": int, "least_ms": float, "most_ms": float}
        fields: dict[str, Any] = {name: kind(query[name]) for name, kind in kinds.items() if name in query}
        return replace(self, **fields)

    def fault(self, path: str, turn: int) -> str | None:
        """Return what goes wrong with the request for this path of this turn; the same for the same seed."""
        draw = random.Random(f"{self.seed} {path} {turn}")  # noqa: S311  (no secret)
        return draw.choice(FAULTS) if self.mode == "flap" and draw.random() < self.chance else None

    def delay_s(self, path: str) -> float:
        """Return the delay of a path; the same for the same seed."""
        return random.Random(f"{self.seed} {path}").uniform(self.least_ms, self.most_ms) / 1e3  # noqa: S311


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.mode = Mode()
        self.turns: Counter[str] = Counter()
        self.lock = threading.Lock()

    def next_turn(self, path: str) -> int:
        with self.lock:
            self.turns[path] += 1
            return self.turns[path]


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        place = parts.path.split("/")[1]
        if place == "control":
            self.server.mode = self.server.mode.changed(query)
            self._answer(200, b"")
        elif place in ("gone", "sick"):
            self._answer(404 if place == "gone" else 503, b"")
        else:
            self._serve(parts.path, int(place), query)

    def _serve(self, path: str, number: int, query: dict[str, str]) -> None:
        mode = self.server.mode
        time.sleep(float(query["ms"]) / 1e3 if "ms" in query else mode.delay_s(path))
        fault = mode.fault(path, self.server.next_turn(path))
        if fault in ("500", "503"):
            self._answer(int(fault), b"")
        elif fault:
            self._break_off(fault, picture(number))
        else:
            self._answer(200, picture(number))

    def _break_off(self, fault: str, body: bytes) -> None:
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
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    _Server(int(sys.argv[1])).serve_forever()
