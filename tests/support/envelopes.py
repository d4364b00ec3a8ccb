"""A server that takes what sentry-sdk sends: https://develop.sentry.dev/sdk/data-model/envelopes/."""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.servers import Answer, LoopbackServer, send_answer


class SentryServer(LoopbackServer):
    """Keeps the items of all envelopes.

    Attributes:
        items: The type and the content of each.
    """

    def __init__(self) -> None:
        self.items: list[tuple[str, Any]] = []
        super().__init__(self._handler())

    @property
    def dsn(self) -> str:
        return f"{self.url.replace('http://', 'http://key@')}/1"

    def events(self) -> list[dict[str, Any]]:
        return [content for kind, content in self.items if kind == "event"]

    def transactions(self) -> list[dict[str, Any]]:
        return [content for kind, content in self.items if kind == "transaction"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_gzip = self.headers.get("Content-Encoding") == "gzip"
                # Each item is a line about it and a line of its own.
                _, *lines = (gzip.decompress(body) if is_gzip else body).rstrip(b"\n").split(b"\n")
                pairs = zip(lines[::2], lines[1::2], strict=True)
                owner.items += [(json.loads(about)["type"], json.loads(content)) for about, content in pairs]
                send_answer(self, Answer(b"{}"))

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
