"""Stands in for Upstash's REST interface, in front of a real Redis: https://upstash.com/docs/redis/features/restapi.

It knows `POST /` with one command, `POST /pipeline` and `POST /multi-exec` with several, bearer tokens, and the base64
answers that @upstash/redis asks for.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import redis

if TYPE_CHECKING:
    from types import TracebackType

_MAX_REQUEST_BYTES = 10_000_000


class Upstash:
    """The interface on a free port of 127.0.0.1.

    Args:
        redis_url: The Redis that runs the commands.
        token: The bearer token that it accepts.

    Attributes:
        url: `http://127.0.0.1:port`.
        token: As above.
        requests: The path and the size in bytes of each request that had the token.
    """

    def __init__(self, redis_url: str, token: str = "stand-in-token") -> None:  # noqa: S107
        self.token = token
        self.requests: list[tuple[str, int]] = []
        self._redis = redis.Redis.from_url(redis_url, protocol=2)
        self._redis.response_callbacks.clear()  # answers as Redis sends them
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Door", (_Door,), {"upstash": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def run(self, command: list[Any]) -> dict[str, Any]:
        """Return `{"result": ...}` or `{"error": "ERR ..."}`, with texts as bytes."""
        try:
            return {"result": self._call(self._redis, command)}
        except redis.RedisError as exc:
            return {"error": _message(exc)}

    def run_together(self, commands: list[list[Any]]) -> list[dict[str, Any]] | dict[str, Any]:
        """Run the commands in a transaction."""
        with self._redis.pipeline() as pipeline:
            for command in commands:
                self._call(pipeline, command)
            try:
                return [{"result": result} for result in pipeline.execute()]
            except redis.RedisError as exc:
                return {"error": _message(exc)}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _call(client: redis.Redis, command: list[Any]) -> Any:
        words = [word if isinstance(word, str) else json.dumps(word) for word in command]
        return client.execute_command(*words)  # type: ignore[no-untyped-call]


class _Door(BaseHTTPRequestHandler):
    """One connection."""

    upstash: Upstash
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a request."""
        size = int(self.headers.get("content-length", 0))
        body = self.rfile.read(size)
        if self.headers.get("authorization") != f"Bearer {self.upstash.token}":
            self._answer(401, {"error": "WRONGPASS invalid or missing auth token"})
            return
        self.upstash.requests.append((self.path, size))
        if size > _MAX_REQUEST_BYTES:
            self._answer(400, {"error": "ERR max request size exceeded. Limit: 10000000 bytes"})
            return
        single = self.path == "/"
        commands = _commands(body, single=single)
        if not commands:
            self._answer(400, {"error": "ERR failed to parse command"})
            return
        self._run(commands, single=single)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write no log."""

    def _run(self, commands: list[list[Any]], *, single: bool) -> None:
        if single:
            answer: Any = self.upstash.run(commands[0])
        elif self.path == "/pipeline":
            answer = [self.upstash.run(command) for command in commands]
        elif self.path == "/multi-exec":
            answer = self.upstash.run_together(commands)
        else:
            self._answer(404, {"error": "ERR no such path"})
            return
        self._answer(400 if isinstance(answer, dict) and "error" in answer else 200, answer)

    def _answer(self, status: int, answer: Any) -> None:
        content = json.dumps(_as_json(answer, encode=self.headers.get("upstash-encoding") == "base64")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _commands(body: bytes, *, single: bool) -> list[list[Any]]:
    """Return the commands of a request; none if they cannot be read."""
    try:
        commands = [json.loads(body)] if single else json.loads(body)
    except ValueError:
        return []
    is_list = isinstance(commands, list) and all(isinstance(command, list) and command for command in commands)
    return commands if is_list else []


def _as_json(answer: Any, *, encode: bool) -> Any:
    """Return an answer with its bytes as text: base64 if the client asks for it. Numbers, None and errors stay."""
    if isinstance(answer, bytes):
        return base64.b64encode(answer).decode() if encode and answer != b"OK" else answer.decode(errors="replace")
    if isinstance(answer, list):
        return [_as_json(one, encode=encode) for one in answer]
    if isinstance(answer, dict):
        return {key: value if key == "error" else _as_json(value, encode=encode) for key, value in answer.items()}
    return answer


def _message(exc: redis.RedisError) -> str:
    """Return an error as Redis writes it: redis-py takes the code away from some."""
    text = str(exc)
    code = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY"}.get(type(exc).__name__, "ERR")
    return text if text.partition(" ")[0].isupper() else f"{code} {text}"
