"""The commands on MongoDB's ordinary indexes, as a real server answers them. The embedded one makes other indexes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bson

Document = dict[str, Any]

_BY_ID = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
_UNAUTHORIZED, _CONFLICT, _NOT_FOUND = 13, 86, 27


class Refused(Exception):
    """MongoDB's answer to a command that it does not run."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class PlainIndexes:
    """The indexes of all collections.

    Attributes:
        by_place: The indexes by database and collection, as they were asked for.
        is_allowed: Whether the user may make and drop indexes.
    """

    by_place: dict[tuple[str, str], list[Document]] = field(default_factory=dict)
    is_allowed: bool = True

    def answer(self, command: Document) -> Document | None:
        """Return the answer to a command; None if it is not about indexes."""
        name, collection = next(iter(command.items()))
        if name == "buildInfo":
            return {"version": "8.0.0"}
        if name not in ("listIndexes", "createIndexes", "dropIndexes"):
            return None
        place = (command["$db"], collection)
        found = self.by_place.setdefault(place, [])
        if name == "listIndexes":
            listed = [_BY_ID, *({"v": 2, **index} for index in found)]
            return {"cursor": {"id": bson.Int64(0), "ns": ".".join(place), "firstBatch": listed}}
        if not self.is_allowed:
            raise Refused(_UNAUTHORIZED, f"not authorized on {place[0]} to execute command")
        if name == "createIndexes":
            for index in command["indexes"]:
                _add(found, index)
        else:
            _drop(found, command["index"])
        return {}


def _add(found: list[Document], index: Document) -> None:
    for other in found:
        is_same_key = list(other["key"].items()) == list(index["key"].items())
        if (other["name"] == index["name"]) is not is_same_key:
            raise Refused(_CONFLICT, f"an index exists with another name or key: {other['name']}")
    if index not in found:
        found.append(index)


def _drop(found: list[Document], name: str) -> None:
    if name not in [index["name"] for index in found]:
        raise Refused(_NOT_FOUND, f"index not found with name [{name}]")
    found[:] = [index for index in found if index["name"] != name]
