"""A server on loopback that takes what sentry-sdk sends: https://develop.sentry.dev/sdk/data-model/envelopes/."""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.servers import Answer, LoopbackServer, send_answer


class SentryServer(LoopbackServer):
    """Keeps the events of the envelopes that it gets.

    Attributes:
        events: The events, such as that of a logged error.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        super().__init__(self._handler())

    @property
    def dsn(self) -> str:
        return self.url.replace("http://", "http://key@") + "/1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    content = gzip.decompress(content)
                lines = [json.loads(line) for line in content.splitlines() if line.startswith(b"{")]
                owner.events += [line for line in lines if "event_id" in line and "level" in line]
                send_answer(self, Answer(b"{}"))

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
