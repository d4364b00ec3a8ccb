"""An HTTP server on loopback that answers by a script, and notes each request."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tests.support.servers import Answer, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Answer | Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedServer(LoopbackServer):
    """Answers requests below `/NAME/` with the steps of that name in their order, then with the last one again.

    Attributes:
        seen: The requests by name.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        self._scripts: dict[str, list[Step]] = {}
        super().__init__(self._handler())

    def add(self, name: str, *steps: Step) -> None:
        """Set the steps of a name: an answer, or a function that writes something else on the connection."""
        self._scripts[name] = list(steps)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                name = self.path.split("/")[1]
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                owner.seen[name].append(Seen(self.command, self.path, headers, body))
                steps = owner._scripts[name]
                step = steps.pop(0) if len(steps) > 1 else steps[0]
                if isinstance(step, Answer):
                    self._write(step)
                else:
                    self.close_connection = True
                    step(self)

            def _write(self, answer: Answer) -> None:
                self.send_response_only(answer.status)
                for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
