"""What happens to every request before and after its route: an id, the checks, the body, the log line."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producer.api.bodies import Bodies, ClientGone, Incoming
from producer.api.doors import NO_KEY, Doors
from producer.api.failures import ApiError, error_response
from producer.contract.text import printable

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from producer.api.metrics import ApiMetrics
    from producer.api.settings import ApiSettings

_LOG = logging.getLogger("clipqueue.api")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_MAX_PATH_CHARS = 200
_CLIENT_GONE = 499  # nginx's status of a request whose client did not wait for the answer
_HEALTH = ("/healthz", "/health")
_FORM = b"application/x-www-form-urlencoded"
# For every answer that has no header of this name already.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


@dataclass
class _Visit:
    """One request, for the log."""

    method: str
    path: str
    request_id: bytes
    key: str = NO_KEY
    status: int = _CLIENT_GONE
    is_answered: bool = False
    started: float = field(default_factory=time.monotonic)

    def log(self) -> None:
        # A path may hold the URL of an image; what follows its question mark may be a signature.
        path = printable(self.path.partition("?")[0], _MAX_PATH_CHARS)
        took_ms = round(1e3 * (time.monotonic() - self.started))
        request_id = self.request_id.decode()
        method = printable(self.method, 16)
        is_routine = self.path in _HEALTH and self.status == 200  # noqa: PLR2004  (platforms ask every few seconds)
        level = logging.DEBUG if is_routine else logging.INFO
        _LOG.log(
            level,
            "%s %s %s %d ms key=%s request=%s",
            *(method, path, self.status, took_ms, self.key, request_id),
            extra={
                "method": method,
                "path": path,
                "status": self.status,
                "total_ms": took_ms,
                "key": self.key,
                "request": request_id,
            },
        )


class Gate:
    """The outermost part of the application.

    Args:
        app: What answers the requests that pass.
        settings: The API's settings.
        bodies: Reads the bodies.
        metrics: Counts the requests; None counts none.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings, bodies: Bodies, metrics: ApiMetrics | None = None) -> None:
        self._app = app
        self._doors = Doors(settings)
        self._bodies = bodies
        self._metrics = metrics
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope["method"], scope["path"], _request_id(scope))
        answer = _answering(visit, send)
        self._requests += 1
        try:
            await self._answer(visit, scope, receive, answer)
        except ClientGone:
            visit.status = _CLIENT_GONE
        except asyncio.CancelledError:  # the server stops, and has waited for long enough
            if visit.status == _CLIENT_GONE:
                error = ApiError(503, "stopping", "the API is being stopped: try again", retry_after_s=1)
                await error_response(error, visit.path, visit.method)(scope, _nothing, answer)
        finally:
            self._requests -= 1
            visit.log()
            if self._metrics:
                self._metrics.observe(visit.method, visit.path, visit.status, time.monotonic() - visit.started)

    async def _answer(self, visit: _Visit, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(receive)
        try:
            visit.key = self._doors.check(visit.method, visit.path, scope["headers"], self._requests)
            body = await self._bodies.read(dict(scope["headers"]), incoming)
        except ApiError as exc:
            await self._refuse(exc, scope, incoming, send)
            return
        try:
            await _run(self._app, _as_json(scope), body, receive, send, visit)
        except ClientGone:
            raise
        except Exception:  # noqa: BLE001  (the outermost place: nothing may end the connection without an answer)
            _LOG.exception("the request %s failed", visit.request_id.decode())
            if visit.status == _CLIENT_GONE:
                error = ApiError(500, "internal_error", "an unexpected error; the log of the API has its traceback")
                await error_response(error, visit.path, visit.method)(scope, receive, send)
        finally:
            self._bodies.release(body)

    async def _refuse(self, error: ApiError, scope: Scope, incoming: Incoming, send: Send) -> None:
        is_sending = (b"expect", b"100-continue") not in scope["headers"]  # it waits to be asked
        if is_sending and error.status != 408:  # noqa: PLR2004  (it was too slow already)
            await incoming.discard()
        response = error_response(error, scope["path"], scope["method"])
        response.headers["connection"] = "close"  # a part of the body may still be under way
        await response(scope, _nothing, send)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


async def _run(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send, visit: _Visit) -> None:  # noqa: PLR0913, PLR0917
    """Run the application with a body that has been read. It is cancelled if the client leaves.

    Raises:
        ClientGone: The client has left.
    """
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    gone = asyncio.ensure_future(receive())  # after the body there is only the disconnection

    async def replay() -> Message:
        return messages.pop() if messages else await asyncio.shield(gone)

    answering = asyncio.ensure_future(app(scope, replay, send))
    try:
        await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and not visit.is_answered:  # uvicorn also reports the end of the answer so
            raise ClientGone
        await answering
    finally:
        for task in (answering, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await answering


def _answering(visit: _Visit, send: Send) -> Send:
    """Return `send` with the headers of every answer."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            visit.status = message["status"]
            headers = list(message.get("headers", []))
            named = {name for name, _ in headers}
            headers += [header for header in _HEADERS if header[0] not in named]
            message = {**message, "headers": [*headers, (b"x-request-id", visit.request_id)]}
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            visit.is_answered = True
        await send(message)

    return answer


def _request_id(scope: Scope) -> bytes:
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid.uuid4().hex.encode()


def _as_json(scope: Scope) -> Scope:
    """Return the scope with JSON as the type of a body that has none, or the one that `curl -d` sends."""
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    if types and not (len(types) == 1 and types[0].partition(b";")[0].strip().lower() == _FORM):
        return scope
    headers = [header for header in scope["headers"] if header[0] != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
