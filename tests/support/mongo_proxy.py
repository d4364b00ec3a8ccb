"""Stands in front of the embedded MongoDB, speaks MongoDB's wire, and answers some commands itself."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import bson
from bson.codec_options import CodecOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Document = dict[str, Any]

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_BODY = b"\x00"
_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True)


class MongoProxy:
    """The proxy, on a port of its own.

    Args:
        upstream: The address of the embedded MongoDB.
        answer: Returns the answer to a command; None if the embedded MongoDB must answer it.

    Attributes:
        port: The port.
        uri: The URI, with the workers' database.
    """

    def __init__(self, upstream: tuple[str, int], answer: Callable[[Document], Document | None]) -> None:
        self._server = _Listener(("127.0.0.1", 0), _connection_class(upstream, answer))
        self.port = int(self._server.server_address[1])
        self.uri = f"mongodb://127.0.0.1:{self.port}/clipqueue"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def error_answer(code: int, name: str, text: str) -> Document:
    """Return MongoDB's answer to a command that it refuses."""
    return {"ok": 0.0, "code": code, "codeName": name, "errmsg": text}


def refusing(mongodb_uri: str, refusals: Mapping[str, Document]) -> MongoProxy:
    """Return a proxy that gives these answers, each to the command of this name; `*` stands for all but `hello`."""
    parts = urlsplit(mongodb_uri)

    def answer(command: Document) -> Document | None:
        name = next(iter(command))
        if name.lower() in ("hello", "ismaster"):
            return None
        return refusals.get(name, refusals.get("*"))

    return MongoProxy((str(parts.hostname), int(parts.port or 0)), answer)


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _connection_class(
    address: tuple[str, int], answer_to: Callable[[Document], Document | None]
) -> type[socketserver.BaseRequestHandler]:
    class Connection(socketserver.BaseRequestHandler):
        """One client, with one connection to the embedded MongoDB."""

        def handle(self) -> None:
            with socket.create_connection(address) as upstream:
                while (message := _receive(self.request)) is not None:
                    answer = self._answer(message)
                    if answer is None:
                        upstream.sendall(message)
                        answer = _receive(upstream)
                    if answer is None:
                        return
                    self.request.sendall(answer)

        @staticmethod
        def _answer(message: bytes) -> bytes | None:
            _, request_id, _, opcode = _HEADER.unpack_from(message)
            if opcode != _OP_MSG or message[20:21] != _BODY:
                return None
            size = struct.unpack_from("<i", message, 21)[0]
            answer = answer_to(bson.decode(message[21 : 21 + size], _CODEC))
            if answer is None:
                return None
            content = struct.pack("<i", 0) + _BODY + bson.encode(answer)
            return _HEADER.pack(_HEADER.size + len(content), 0, request_id, _OP_MSG) + content

    return Connection


def _receive(connection: socket.socket) -> bytes | None:
    """Return a whole message; None if the other side has closed the connection."""
    try:
        start = connection.recv(_HEADER.size, socket.MSG_WAITALL)
        if len(start) < _HEADER.size:
            return None
        rest = connection.recv(_HEADER.unpack(start)[0] - _HEADER.size, socket.MSG_WAITALL)
    except OSError:
        return None
    return start + rest
