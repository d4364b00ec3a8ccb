"""A small HTTP server for metrics and health, beside the work of a process. It needs the extra `metrics`.

It reads and writes in one thread, so slow clients cost no threads. Answers are found in other threads, because a scrape
may have to wait for Redis; requests that have the same answer share one. So `/livez` is answered while a scrape hangs.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

from producer.contract.errors import ConfigurationError
from producer.telemetry.answers import UNAVAILABLE, Answer, Answers
from producer.telemetry.head import Refused, parse_head
from producer.telemetry.log_rate import Rate

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from prometheus_client import CollectorRegistry

    from producer.telemetry.head import Head

_LOG = logging.getLogger("clipqueue.telemetry")
_MAX_HEAD_BYTES = 16 * 1024
_MAX_CONNECTIONS = 64
# Scrapes that wait for their answer. They leave connections for checks.
_MAX_SCRAPES = 32
# Threads that find answers. Checks need one each, and each scraper asks for one form of each registry.
_MAX_THREADS = 8
_STOP_S = 5.0
_LOG_EVERY_S = 30.0


@dataclass(frozen=True)
class Limits:
    """How long the server waits, in seconds.

    Attributes:
        head_s: For the whole head of a request.
        check_s: For the answer of a check. One that takes longer has failed.
        scrape_s: For the metrics. Prometheus waits for 10 s, unless it is told otherwise.
        write_s: For the client to read the answer.
    """

    head_s: float = 5.0
    check_s: float = 3.0
    scrape_s: float = 9.0
    write_s: float = 5.0


class TelemetryServer:
    """Answers GET and HEAD for the paths of the registries, `/livez` and `/readyz`.

    The checks answer 200 and `ok`, or 503 and the problem as one line. Each answer ends its connection.

    Args:
        host: The address to listen on; `::` is all addresses of both families.
        port: The port; 0 takes a free one.
        registries: The metrics by their path, such as `/metrics`.
        live: Returns why the process has to be restarted; an empty text if it need not be.
        ready: Returns why the process cannot work now; an empty text if it can.
        limits: How long it waits.
    """

    def __init__(  # noqa: PLR0913  (what it serves, and where)
        self,
        host: str,
        port: int,
        *,
        registries: Mapping[str, CollectorRegistry],
        live: Callable[[], str],
        ready: Callable[[], str],
        limits: Limits | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._answers = Answers(registries, live, ready)
        self._limits = limits or Limits()
        self._connections: set[asyncio.Task[None]] = set()
        # Those that wait for their client, the oldest first.
        self._idle: dict[asyncio.Task[None], None] = {}
        self._found: dict[Hashable, asyncio.Future[Answer]] = {}
        self._scrapes = 0
        self._may_log = Rate(1 / _LOG_EVERY_S, at_once=1)
        self._running: tuple[threading.Thread, Callable[[], object]] | None = None

    @property
    def port(self) -> int:
        """The port that it listens on, once it is started."""
        return self._port

    def start(self) -> None:
        """Listen, and answer from now on.

        Raises:
            ConfigurationError: The address cannot be listened on, such as for a port in use.
        """
        sock = _listen(self._host, self._port)
        self._port = sock.getsockname()[1]
        is_up = threading.Event()

        def run() -> None:
            try:
                asyncio.run(self._serve(sock, is_up))
            finally:
                sock.close()
                is_up.set()

        threading.Thread(target=run, name="telemetry", daemon=True).start()
        is_up.wait()
        if self._running is None:
            raise ConfigurationError("metrics cannot be served: no event loop can be started; see the error above")

    def close(self) -> None:
        """Stop listening, and end all connections."""
        if self._running:
            thread, stop = self._running
            with suppress(RuntimeError):  # the loop has ended already
                stop()
            thread.join(_STOP_S)
            self._running = None

    async def _serve(self, sock: socket.socket, is_up: threading.Event) -> None:
        server = await asyncio.start_server(self._accept, sock=sock, limit=_MAX_HEAD_BYTES)
        self._found = {}  # an earlier loop may have left some that hang
        loop, is_over = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(self._note_error)
        self._running = (threading.current_thread(), partial(loop.call_soon_threadsafe, is_over.set))
        is_up.set()
        await is_over.wait()
        server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101  (asyncio runs this in a task of its own)
        try:
            if len(self._connections) >= _MAX_CONNECTIONS and not self._drop_oldest():
                return
            self._connections.add(task)
            await self._answer(task, reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # the client has left or is too slow; asyncio would log a cancellation as an error
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    def _note_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error now and then: without file descriptors, asyncio tells a hundred a second."""
        if self._may_log.allows():
            _LOG.error("the metrics server: %s: %s", context.get("message"), context.get("exception"))

    def _drop_oldest(self) -> bool:
        """End the connection that waits longest for its client, so that slow clients keep nobody out."""
        for task in self._idle:
            del self._idle[task]
            self._connections.discard(task)
            task.cancel()
            return True
        return False

    async def _answer(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        is_head = False
        try:
            with self._waiting(task):
                head = parse_head(await _read_head(reader, self._limits.head_s))
            is_head = head.is_head
            answer = await self._find(head)
        except Refused as exc:
            answer = Answer.text(exc.status, exc.reason)
        with self._waiting(task):
            async with asyncio.timeout(self._limits.write_s):
                writer.write(_encode(answer, is_head=is_head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()

    @contextmanager
    def _waiting(self, task: asyncio.Task[None]) -> Iterator[None]:
        self._idle[task] = None
        try:
            yield
        finally:
            self._idle.pop(task, None)

    async def _find(self, head: Head) -> Answer:
        """Return the answer. Raises Refused."""
        if not self._answers.is_scrape(head):
            return await self._find_within(head, self._limits.check_s)
        if self._scrapes >= _MAX_SCRAPES:
            raise Refused(UNAVAILABLE, "too many scrapes wait already")
        self._scrapes += 1
        try:
            return await self._find_within(head, self._limits.scrape_s)
        finally:
            self._scrapes -= 1

    async def _find_within(self, head: Head, seconds: float) -> Answer:
        key = self._answers.key(head)
        future = self._found.get(key) or self._start(key, head)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(future)
        except TimeoutError:
            raise Refused(UNAVAILABLE, f"{head.path} has given no answer for {seconds:g} s") from None

    def _start(self, key: Hashable, head: Head) -> asyncio.Future[Answer]:
        """Find an answer in a thread. One that hangs is never waited for, also not when the process ends."""
        if self._answers.is_scrape(head) and len(self._found) >= _MAX_THREADS:
            raise Refused(UNAVAILABLE, "too many scrapes of other forms run already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def finish(answer: Answer) -> None:
            del self._found[key]
            future.set_result(answer)

        def run() -> None:
            answer = self._answers.find(head)
            with suppress(RuntimeError):  # the server was closed meanwhile
                loop.call_soon_threadsafe(finish, answer)

        try:
            threading.Thread(target=run, name=f"telemetry {head.path}", daemon=True).start()
        except RuntimeError:
            raise Refused(UNAVAILABLE, "no thread can be started") from None
        self._found[key] = future
        return future


async def _read_head(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """Return the head of a request. Raises Refused, EOFError or TimeoutError."""
    try:
        async with asyncio.timeout(seconds):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        reason = f"a head has at most {_MAX_HEAD_BYTES:,} bytes"
        raise Refused("431 Request Header Fields Too Large", reason) from None


def _encode(answer: Answer, *, is_head: bool) -> bytes:
    headers = (
        *answer.headers,
        ("Content-Length", str(len(answer.body))),
        *((("Allow", "GET, HEAD"),) if answer.status.startswith("405") else ()),
        ("Cache-Control", "no-store"),
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close"),
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {answer.status}\r\n{lines}\r\n".encode("latin-1") + (b"" if is_head else answer.body)


def _listen(host: str, port: int) -> socket.socket:
    try:
        if host == "::":
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        ((family, _, _, _, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError, ValueError) as exc:  # ValueError: this machine has no IPv6
        reason = exc.strerror if isinstance(exc, OSError) else "it is no address of this machine"
        raise ConfigurationError(
            f"metrics cannot be served on {host!r}, port {port}: {reason}; choose a free port, and an address of this "
            "machine in CLIPQUEUE_METRICS_HOST"
        ) from None
