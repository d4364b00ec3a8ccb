"""A stand-in for MongoDB Atlas: speaks MongoDB's wire, and passes all but indexes and searches to the embedded MongoDB.

It compares all vectors, so it finds exactly the nearest ones. Filters are evaluated by mongomock, which shares no code
with clipqueue. It refuses what Atlas refuses: fields that the index lacks, and numbers that contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import bson
import numpy as np
import pymongo
from mongomock.filtering import filter_applies

from tests.support.mongo_proxy import MongoProxy, error_answer
from tests.support.plain_indexes import PlainIndexes, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

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
        self._proxy = MongoProxy(self.upstream, self.answer)
        self.port, self.uri = self._proxy.port, self._proxy.uri
        self._mongo = pymongo.MongoClient[Document](*self.upstream, tz_aware=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.__exit__()
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
            return error_answer(exc.code, f"Error{exc.code}", str(exc))
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
