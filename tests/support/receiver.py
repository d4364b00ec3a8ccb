"""A receiver of webhooks on loopback, which answers as a test says and keeps what it was sent."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.support.servers import Answer, LoopbackServer, send_answer

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Received:
    """One request: its headers, with names in lower case, and its body."""

    headers: dict[str, str]
    body: bytes
    connection: tuple[str, int] = field(default=("", 0))

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class WebhookReceiver(LoopbackServer):
    """Keeps each request, in order. `answer` decides the answer; by default it is an empty 204."""

    def __init__(self, answer: Callable[[Received], Answer] = lambda _: Answer(b"", 204)) -> None:
        self.received: list[Received] = []
        self.answer = answer
        super().__init__(self._handler())

    @property
    def hook(self) -> str:
        return f"{self.url}/hook/path-secret?key=query-secret"

    @property
    def images(self) -> list[Any]:
        return [one.event["data"]["id"] for one in self.received]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(headers, body, self.client_address)
                owner.received.append(request)
                answer = owner.answer(request)
                with suppress(BrokenPipeError):  # a test has killed the sender
                    send_answer(self, answer)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
