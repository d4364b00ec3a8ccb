"""Runs the API on uvicorn."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from producer.api.app import create_app
from producer.api.libraries import check_libraries
from producer.api.telemetry import serving_api_telemetry
from producer.telemetry.log_rate import RoutineLines
from producer.telemetry.logs import start_log

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from producer.api.settings import ApiSettings
    from producer.api.telemetry import ApiTelemetry

_LOG = logging.getLogger("clipqueue.api")

_HEAD_S = 15.0
_WRITE_S = 15.0
_KEEP_ALIVE_S = 5
# All that is read at once is parsed before any other request gets its turn. asyncio's own number, 256 KB, may hold
# 43,000 chunks of one byte, which take a second.
_READ_BYTES = 16 * 1024
_MAX_HEAD_BYTES = 32 * 1024
_STOP_S = 10
_BACKLOG = 512
_LINES_PER_S = 200.0


class _TimedProtocol(H11Protocol):
    """HTTP/1.1 with limits that uvicorn lacks: 15 s for the head of a request, and 15 s without reading an answer."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        # `close` would wait until the client has read what is left.
        self._write_timer = self.loop.call_later(_WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().resume_writing()

    def on_response_complete(self) -> None:
        self._expect_head()
        super().on_response_complete()

    def _expect_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(_HEAD_S, self._close_if_no_head, self.cycle)

    def _close_if_no_head(self, previous: object) -> None:
        if self.cycle is previous and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, started: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_start(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


def make_server(
    settings: ApiSettings, started: Callable[[str], None], telemetry: ApiTelemetry | None = None
) -> uvicorn.Server:
    """Return a server for the application; `run()` answers requests until `should_exit` is set.

    Args:
        settings: The API's settings.
        started: Called with the URL as soon as requests are answered.
        telemetry: Counts the requests, and watches the event loop; None for neither.
    """
    check_libraries()
    config = uvicorn.Config(
        create_app(settings, telemetry),
        host=settings.host,
        port=settings.api_port,
        http=_TimedProtocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
    )
    return _Server(config, started)


def serve(settings: ApiSettings) -> bool:
    """Answer requests until SIGTERM or SIGINT, then finish those in progress for at most ten seconds.

    With CLIPQUEUE_METRICS_PORT, metrics and health are served there meanwhile, and never on the API's own port.

    Returns:
        False if the server could not start, such as on a port that is in use.

    Raises:
        ConfigurationError: CLIPQUEUE_LOG_FORMAT has an unknown value, or the metrics cannot be served there.
        OSError: The address cannot be listened on.
    """
    with serving_api_telemetry(settings) as telemetry:
        server = make_server(settings, lambda url: _LOG.info("answering at %s", url), telemetry)
        start_log({_LOG.name: logging.INFO})
        _LOG.addFilter(RoutineLines(_LINES_PER_S))
        with suppress(SystemExit):  # uvicorn's way to say that it could not start; its log has the reason
            server.run(_open_sockets(settings))
    return server.started


def _open_sockets(settings: ApiSettings) -> list[socket.socket] | None:
    """Return a socket for both families if the host is `::`, where asyncio would listen on IPv6 alone.

    Raises:
        OSError: The port is in use, or this machine has no IPv6.
    """
    if settings.host != "::":
        return None
    address = ("::", settings.api_port)
    return [socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG)]
