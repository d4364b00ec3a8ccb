"""Sends hostile requests byte by byte, which no HTTP library would send, and reads the answers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tests.support.api import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_S = 20.0
# What a request does, one after the other: it sends bytes, waits for some seconds, or closes its half (None).
Step = bytes | float | None
# Returns the steps of a request, given the URL of the image server.
Request = Callable[[str], Iterable[Step]]

AUTHORIZED = f"Authorization: Bearer {KEY}"
# In the body of a request: the URL of the image server.
IMAGES = "http://images"


@dataclass(frozen=True)
class Answer:
    """One answer of the API. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _Received(BytesIO):
    """Received bytes that several `HTTPResponse` read one after the other."""

    def makefile(self, _mode: str) -> _Received:
        return self

    def close(self) -> None:
        pass


def exchange(port: int, steps: Iterable[Step]) -> bytes:
    """Return all that the API sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        with suppress(ConnectionError):  # it may answer and close before it has read everything
            for step in steps:
                _do(step, connection)
        return _read(connection)


def read_answers(received: bytes) -> list[Answer]:
    """Return the answers in what the API has sent."""
    stream, answers = _Received(received), []
    while stream.tell() < len(received):
        response = HTTPResponse(stream)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answers.append(Answer(response.status, headers, body))
    return answers


def raw(*steps: Step | str) -> Request:
    """Return a request of these steps; a text is sent as Latin-1."""
    return lambda _: [step.encode("latin-1") if isinstance(step, str) else step for step in steps]


def head(
    method: str,
    target: str,
    *headers: str,
    key: str | None = AUTHORIZED,
    host: str = "localhost",
    connection: str = "close",
) -> str:
    """Return the head of a request, by default with the key that may do everything."""
    first = [f"{method} {target} HTTP/1.1", f"Host: {host}", f"Connection: {connection}"]
    lines = [*first, *headers, *([key] if key else [])]
    return "".join(f"{line}\r\n" for line in lines) + "\r\n"


def bare(method: str, target: str, *headers: str, key: str | None = AUTHORIZED) -> Request:
    """Return a request without a body."""
    return raw(head(method, target, *headers, key=key))


def get(target: str, *headers: str, key: str | None = AUTHORIZED) -> Request:
    """Return a GET request."""
    return bare("GET", target, *headers, key=key)


def upload(
    method: str, target: str, content: Callable[[], bytes] | bytes, *headers: str, key: str | None = AUTHORIZED
) -> Request:
    """Return a request with this body, which is made when the request is sent."""

    def steps(_: str) -> Iterable[Step]:
        body = content if isinstance(content, bytes) else content()
        yield head(method, target, f"Content-Length: {len(body)}", *headers, key=key).encode() + body

    return steps


def post(target: str, body: Any, *headers: str, method: str = "POST", key: str | None = AUTHORIZED) -> Request:
    """Return a request with a JSON body: a value, or JSON text that no library would write."""
    text = body if isinstance(body, str) else json.dumps(body)

    def steps(images_url: str) -> Iterable[Step]:
        content = text.replace(IMAGES, images_url).encode("utf-8", "surrogatepass")
        lines = (f"Content-Length: {len(content)}", "Content-Type: application/json", *headers)
        yield head(method, target, *lines, key=key).encode() + content

    return steps


def _do(step: Step, connection: socket.socket) -> None:
    if step is None:
        connection.shutdown(socket.SHUT_WR)
    elif isinstance(step, bytes):
        connection.sendall(step)
    else:
        time.sleep(step)


def _read(connection: socket.socket) -> bytes:
    received = bytearray()
    with suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    return bytes(received)
