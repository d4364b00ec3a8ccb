"""A relay in front of the embedded MongoDB, which lets it hold ids that it mixes up or loses.

For the embedded server 5 and "5" are one id, and it does not find a UUID. The relay makes marked strings of the numbers
and UUIDs in each `_id` that it passes on, and turns them back in the answers: clients see MongoDB's own behaviour.
"""

from __future__ import annotations

import math
import socket
import struct
import threading
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import bson
from bson import CodecOptions
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion

from tests.support.servers import SocketServer

if TYPE_CHECKING:
    from collections.abc import Callable

_CODEC = CodecOptions[dict[str, Any]](
    uuid_representation=UuidRepresentation.STANDARD, datetime_conversion=DatetimeConversion.DATETIME_MS
)
_OP_MSG = 2013
# The marks, and the string between them and the other strings: no id of a test starts with "!".
_NUMBER, _AFTER_NUMBERS, _UUID, _AFTER_UUIDS, _STRINGS = "!n", "!o", "!u", "!v", '"'
# Here `_id` is the name of a field, and its value no id.
_NAMES = {"projection", "sort", "hint", "key", "$project", "$sort", "$group"}


class IdRelay(SocketServer):
    """Passes connections on to a port of the embedded MongoDB."""

    def __init__(self, target: int) -> None:
        self._target = target
        super().__init__(self._relay)

    @property
    def mongodb_uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/clipqueue"

    def _relay(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target)) as upstream:
            answers = threading.Thread(target=_pump, args=(upstream, connection, decoded), daemon=True)
            answers.start()
            _pump(connection, upstream, encoded)
            answers.join()


def _pump(source: socket.socket, sink: socket.socket, rewrite: Callable[[Any], Any]) -> None:
    with suppress(OSError):
        while head := source.recv(16, socket.MSG_WAITALL):
            body = source.recv(struct.unpack("<i", head[:4])[0] - 16, socket.MSG_WAITALL)
            if struct.unpack("<i", head[12:])[0] == _OP_MSG:
                body = _rewritten(body, rewrite)
            sink.sendall(struct.pack("<i", len(body) + 16) + head[4:] + body)
        sink.shutdown(socket.SHUT_WR)


def _rewritten(body: bytes, rewrite: Callable[[Any], Any]) -> bytes:
    """Rewrite the documents of an OP_MSG without a checksum: flags, and sections of one document or of several."""
    new, rest = body[:4], body[4:]
    while rest:
        kind, (size,) = rest[:1], struct.unpack("<i", rest[1:5])
        section, rest = rest[1 : 1 + size], rest[1 + size :]
        if kind == b"\0":
            new += kind + _document(section, rewrite)
        else:
            name, _, documents = section[4:].partition(b"\0")
            content = name + b"\0" + b"".join(_document(one, rewrite) for one in _split(documents))
            new += kind + struct.pack("<i", len(content) + 4) + content
    return new


def _split(documents: bytes) -> list[bytes]:
    found = []
    while documents:
        (size,) = struct.unpack("<i", documents[:4])
        found.append(documents[:size])
        documents = documents[size:]
    return found


def _document(raw: bytes, rewrite: Callable[[Any], Any]) -> bytes:
    return bson.encode(rewrite(bson.decode(raw, _CODEC)), codec_options=_CODEC)


def encoded(value: Any) -> Any:
    """Return a command as the embedded server can execute it."""
    if isinstance(value, list):
        return [encoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: one if name in _NAMES else _condition(one) if name == "_id" else encoded(one)
        for name, one in value.items()
    }


def _condition(value: Any) -> Any:
    if not isinstance(value, dict) or not next(iter(value)).startswith("$"):
        return _marked(value)
    bounds: dict[str, Any] = {}
    for operator, operand in value.items():
        if (operator, operand) == ("$type", "number"):
            bounds |= {"$gte": _NUMBER, "$lt": _AFTER_NUMBERS}
        elif isinstance(operand, list):
            bounds[operator] = [_marked(one) for one in operand]
        else:
            bounds[operator] = _STRINGS if operand == "" else _UUID if operand == b"" else _marked(operand)
            after = {_NUMBER: _AFTER_NUMBERS, _UUID: _AFTER_UUIDS}.get(str(bounds[operator])[:2])
            bounds |= {"$lt": after} if after else {}
    return bounds


def _marked(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return _UUID + value.hex
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = math.floor(value)
        return f"{_NUMBER}{whole + 2**63:016x}{'' if value == whole else value - whole}"
    return value


def decoded(value: Any) -> Any:
    """Return an answer with the ids that the client knows."""
    if isinstance(value, list):
        return [decoded(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _unmarked(one) if name == "_id" else decoded(one) for name, one in value.items()}


def _unmarked(value: Any) -> Any:
    if not isinstance(value, str) or value[:2] not in {_NUMBER, _UUID}:
        return value
    if value[:2] == _UUID:
        return uuid.UUID(value[2:])
    whole, fraction = int(value[2:18], 16) - 2**63, value[18:]
    return whole + float(fraction) if fraction else bson.Int64(whole)
