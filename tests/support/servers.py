"""Servers on loopback: HTTP with routes and a hit counter, an HTTP proxy, and any function of a socket."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    import trustme

_POLL_S = 0.02


@dataclass
class Answer:
    """One answer of a route."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def send_answer(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    """Send an answer, with its length unless its headers say how it ends."""
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if answer.status != HTTPStatus.NO_CONTENT and not {"Content-Length", "Transfer-Encoding"} & set(answer.headers):
        handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # many jobs connect to one server at the same moment


class LoopbackServer:
    """An HTTP server on a free port, with a thread for each connection."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = _Server(("127.0.0.1", 0), handler)
        # `close` waits for one interval, by default half a second.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop answering; may be called more than once."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ImageServer(LoopbackServer):
    """An HTTP/1.1 server with routes, which counts the requests for each path.

    Attributes:
        hits: The number of requests for each path.
        requests: The headers of each request.
    """

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.requests: list[dict[str, str]] = []
        self._routes: dict[str, list[Answer]] = {}
        super().__init__(self._handler())

    def add(self, path: str, *answers: bytes | Answer) -> str:
        """Answer requests for `path` with `answers` in this order, then with the last one again; return the URL."""
        self._routes[path] = [one if isinstance(one, Answer) else Answer(one) for one in answers]
        return self.url + path

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                owner.hits[path] += 1
                owner.requests.append(dict(self.headers))
                answers = owner._routes.get(path, [Answer(b"no such page", 404)])
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                send_answer(self, answer)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class Proxy(LoopbackServer):
    """An egress proxy: it answers plain requests itself, and connects tunnels to `ports`.

    Attributes:
        seen: The request line and the Proxy-Authorization of each request.
        ports: The loopback port of each host. A request for another host is answered with 403.
    """

    def __init__(self, ports: dict[str, int], plain: bytes = b"") -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.ports = ports
        self._plain = plain
        super().__init__(self._handler())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.seen.append((self.requestline, self.headers["Proxy-Authorization"]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(owner._plain)

            def do_CONNECT(self) -> None:
                owner.seen.append((self.requestline, self.headers["Proxy-Authorization"]))
                port = owner.ports.get(self.path.rpartition(":")[0])
                if port is None:
                    self.send_error(403)
                    return
                self.send_response(200)
                self.end_headers()
                with socket.create_connection(("127.0.0.1", port)) as upstream:
                    answers = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
                    answers.start()
                    _pump(self.connection, upstream)
                    answers.join()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)


def tls_context(authority: trustme.CA, host: str) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate for `host`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


class SocketServer:
    """A server that calls `serve(connection)` in a thread for each connection, for answers that HTTP does not allow."""

    def __init__(self, serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            with connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True) as stream:
                self._serve(stream)
        except OSError:
            pass  # the client closed the connection, as most of these servers make it do
