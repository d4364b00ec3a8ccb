"""The order in which all documents are read: by `_id`, the ids of one type after those of another.

MongoDB's comparisons hold only between values of one type ("type bracketing"): `{"$gt": "a"}` finds no number. So each
type is read by queries of its own, which the index on `_id` serves. An `_id` may be anything but an array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..contract.records import Document


@dataclass(frozen=True)
class Bracket:
    """The ids of one type.

    Attributes:
        classes: The classes that pymongo reads them as. (Some are subclasses of others: a bool is an int, Code a str.)
        first: The condition for all of them.
        kept: The part of the condition that stays when only ids after a certain one are wanted.
    """

    classes: tuple[type, ...]
    first: Document
    kept: Document = field(default_factory=dict)

    def after(self, document_id: Any) -> Document:
        """Return the condition for the ids of the bracket that come after this one."""
        return {**self.kept, "$gt": document_id}


def brackets_after(document_id: Any) -> Iterator[tuple[Bracket, Document]]:
    """Yield each bracket, in order, that has ids after this one, with the condition for them.

    Args:
        document_id: Any `_id`; None for all. (The bracket of null, with one id at most, is the first.)
    """
    start = 0 if document_id is None else place_of(document_id)
    for place, bracket in enumerate(_BRACKETS[start:], start):
        is_first = place == start and document_id is not None
        yield bracket, bracket.after(document_id) if is_first else bracket.first


def _of_type(name: str, *classes: type) -> Bracket:
    # Together with $type, because MinKey is less than the values of all types.
    return Bracket(classes, {"$type": name}, {"$type": name})


# The embedded server knows no name of a type but that of strings, numbers, null, objects and bools. The most frequent
# types come first, because it reads the whole collection for each query (except for null).
_BRACKETS = (
    Bracket((NoneType,), {"$eq": None}, {"$eq": None}),
    Bracket((str,), {"$gte": ""}),
    Bracket((ObjectId,), {"$gte": ObjectId("0" * 24)}),
    Bracket((int, Int64, float, Decimal128), {"$type": "number"}),
    Bracket((UUID, bytes, Binary), {"$gte": Binary(b"", 0)}),
    Bracket((datetime, DatetimeMS), {"$gte": datetime.min.replace(tzinfo=UTC)}),
    _of_type("bool", bool),
    _of_type("object", dict, DBRef),
    _of_type("timestamp", Timestamp),
    _of_type("javascript", Code),
    _of_type("javascriptWithScope"),
    _of_type("minKey", MinKey),
    _of_type("maxKey", MaxKey),
)


def place_of(document_id: Any) -> int:
    """Return the place of an id's bracket in the order of reading.

    Code with a scope is taken for code without one: some of it may be read twice, and none is left out.
    """
    return next(place for place, bracket in enumerate(_BRACKETS) if type(document_id) in bracket.classes)
