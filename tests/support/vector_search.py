"""A stand-in for MongoDB Atlas: speaks MongoDB's wire, and passes all but indexes and searches to the embedded MongoDB.

It compares all vectors, so it finds exactly the nearest ones. Filters are evaluated by mongomock, which shares no code
with clipqueue. It refuses what Atlas refuses: fields that the index lacks, and numbers that contradict each other.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import bson
import numpy as np
import pymongo
from bson.codec_options import CodecOptions
from mongomock.filtering import filter_applies

from tests.support.plain_indexes import PlainIndexes, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_BODY = b"\x00"
_CODEC: CodecOptions[Document] = CodecOptions(tz_aware=True)
_MAX_CANDIDATES = 10_000
_COMMANDS = ("createSearchIndexes", "updateSearchIndex", "dropSearchIndex")
_OUT_OF_TIME = 50


@dataclass
class Index:
    """A search index."""

    name: str
    definition: Document
    status: str = "READY"

    @property
    def vector(self) -> Document:
        return next(field for field in self.definition["fields"] if field["type"] == "vector")

    def to_document(self) -> Document:
        return {
            "id": f"id-of-{self.name}",
            "name": self.name,
            "type": "vectorSearch",
            "status": self.status,
            "queryable": self.status == "READY",
            "latestDefinition": self.definition,
        }


@dataclass
class VectorSearchServer:
    """The server, on a port of its own.

    Attributes:
        upstream: The address of the embedded MongoDB.
        indexes: The indexes by database, collection and name.
        build_at_once: Whether a new index is ready immediately.
        refuses: If not None, the code and text of the error for every command of vector search.
        stages: Each `$vectorSearch` stage that was run.
        plain: The ordinary indexes.
        slow: The names of commands that do not end within their `maxTimeMS`; without that limit, they do.
    """

    upstream: tuple[str, int]
    indexes: dict[tuple[str, str, str], Index] = field(default_factory=dict)
    build_at_once: bool = True
    refuses: tuple[int, str] | None = None
    stages: list[Document] = field(default_factory=list)
    plain: PlainIndexes = field(default_factory=PlainIndexes)
    slow: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._server = _Listener(("127.0.0.1", 0), _connection_class(self))
        self.port = int(self._server.server_address[1])
        self.uri = f"mongodb://127.0.0.1:{self.port}/clipqueue"
        self._mongo = pymongo.MongoClient[Document](*self.upstream, tz_aware=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._mongo.close()

    def finish_building(self) -> None:
        for index in self.indexes.values():
            index.status = "READY"

    def answer(self, command: Document) -> Document | None:
        """Return the answer to a command on indexes or searches; None if the embedded MongoDB must answer it."""
        stage = (command.get("pipeline") or [{}])[0] if "aggregate" in command else {}
        is_search = bool({"$vectorSearch", "$listSearchIndexes"} & set(stage) or set(_COMMANDS) & set(command))
        try:
            self._check_time(command)
            found = self._run(command, stage) if is_search else self.plain.answer(command)
        except Refused as exc:
            return {"ok": 0.0, "code": exc.code, "codeName": f"Error{exc.code}", "errmsg": str(exc)}
        return None if found is None else {"ok": 1.0, **found}

    def _check_time(self, command: Document) -> None:
        if next(iter(command)) in self.slow and "maxTimeMS" in command:
            raise Refused(_OUT_OF_TIME, "operation exceeded time limit")

    def _run(self, command: Document, stage: Document) -> Document:
        if self.refuses is not None:
            raise Refused(*self.refuses)
        name, collection = next(iter(command.items()))
        place = (command["$db"], collection)
        if name == "createSearchIndexes":
            return {"indexesCreated": [self._create(place, index) for index in command["indexes"]]}
        if name == "updateSearchIndex":
            self._find(place, command["name"]).definition = command["definition"]
            return {}
        if name == "dropSearchIndex":
            self._find(place, command["name"])
            del self.indexes[*place, command["name"]]
            return {}
        if "$listSearchIndexes" in stage:
            wanted = stage["$listSearchIndexes"].get("name")
            listed = [index for key, index in self.indexes.items() if key[:2] == place and wanted in (None, index.name)]
            return _cursor(place, [index.to_document() for index in listed])
        found = list(self._search(place, stage["$vectorSearch"]))
        return _cursor(place, [_project(document, command["pipeline"][1:]) for document in found])

    def _create(self, place: tuple[str, str], index: Document) -> Document:
        key = (*place, index["name"])
        if key in self.indexes:
            raise Refused(68, f"an index named {index['name']} exists already")
        status = "READY" if self.build_at_once else "BUILDING"
        self.indexes[key] = Index(index["name"], index["definition"], status)
        return {"id": f"id-of-{index['name']}", "name": index["name"]}

    def _find(self, place: tuple[str, str], name: str) -> Index:
        if (*place, name) not in self.indexes:
            raise Refused(27, f"index {name} was not found")
        return self.indexes[*place, name]

    def _search(self, place: tuple[str, str], stage: Document) -> Iterator[Document]:
        index = self.indexes.get((*place, stage["index"]))
        self.stages.append(stage)
        _check_numbers(stage)
        if index is None or index.status != "READY":
            return  # as on Atlas: no results, and no error
        dim = index.vector["numDimensions"]
        if len(stage["queryVector"]) != dim:
            raise Refused(8, f"vector field is indexed with {dim} dimensions but queried with another number")
        wanted = stage.get("filter", {})
        _check_fields(wanted, {one["path"] for one in index.definition["fields"] if one["type"] == "filter"})
        documents = self._mongo[place[0]][place[1]].find({})
        found = [
            {**document, "$score": (1 + cosine) / 2}
            for document in documents
            if (cosine := _cosine(_at(document, stage["path"]), stage["queryVector"])) is not None
            and filter_applies(_mark_booleans(wanted), _mark_booleans(document))  # type: ignore[no-untyped-call]
        ]
        found.sort(key=lambda document: -document["$score"])
        yield from found[: stage["limit"]]


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _connection_class(server: VectorSearchServer) -> type[socketserver.BaseRequestHandler]:
    class Connection(socketserver.BaseRequestHandler):
        """One client, with one connection to the embedded MongoDB."""

        def handle(self) -> None:
            with socket.create_connection(server.upstream) as upstream:
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
            answer = server.answer(bson.decode(message[21 : 21 + size], _CODEC))
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


def _cursor(place: tuple[str, str], found: list[Document]) -> Document:
    return {"cursor": {"id": bson.Int64(0), "ns": ".".join(place), "firstBatch": found}}


def _check_numbers(stage: Document) -> None:
    if stage.get("exact"):
        if "numCandidates" in stage:
            raise Refused(2, '"numCandidates" must be omitted when "exact" is true')
        return
    if not 1 <= stage.get("numCandidates", 0) <= _MAX_CANDIDATES:
        raise Refused(2, '"numCandidates" must be within bounds [1, 10000]')
    if stage["limit"] > stage["numCandidates"]:
        raise Refused(2, '"limit" must not be greater than "numCandidates"')


def _check_fields(wanted: Document, fields: set[str]) -> None:
    for name, value in wanted.items():
        if name in ("$and", "$or", "$nor"):
            for member in value:
                _check_fields(member, fields)
        elif name not in fields:
            raise Refused(8, f"Path '{name}' needs to be indexed as filter")


def _cosine(stored: Any, query: list[float]) -> float | None:
    if isinstance(stored, bytes):
        stored = np.frombuffer(stored[2:], "<f4").tolist() if len(stored) % 4 == 2 else None
    is_vector = isinstance(stored, list) and all(isinstance(number, int | float) for number in stored)
    if not is_vector or len(stored) != len(query):
        return None  # Atlas does not index it
    one, other = np.array(stored, np.float64), np.array(query, np.float64)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths > 0 else None


def _mark_booleans(value: Any) -> Any:
    """Replace booleans, except the operand of `$exists`: for mongomock, as for Python, true equals 1."""
    if isinstance(value, bool):
        return f"<{value}>"
    if isinstance(value, list):
        return [_mark_booleans(one) for one in value]
    if isinstance(value, dict):
        return {name: one if name == "$exists" else _mark_booleans(one) for name, one in value.items()}
    return value


def _project(document: Document, stages: list[Document]) -> Document:
    """Return what the one `$project` stage after the search keeps."""
    (stage,) = stages
    kept: Document = {"_id": document["_id"]}
    for path, how in stage["$project"].items():
        if how == {"$meta": "vectorSearchScore"}:
            kept[path] = document["$score"]
        elif (value := _at(document, path)) is not None:
            _set(kept, path, value)
    return kept


def _at(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _set(document: Document, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        document = document.setdefault(key, {})
    document[last] = value
