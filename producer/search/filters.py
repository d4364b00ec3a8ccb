"""Reads a filter: checks it, and turns it into a tree that both backends understand.

Only `$eq $ne $gt $gte $lt $lte $in $nin $exists $not $nor $and $or` over declared fields are allowed. These are the
operators of MongoDB's vector search; the others, such as `$where`, could read the rest of a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.search.errors import InvalidSearch
from producer.search.values import RANGE_KINDS, Kind, cell_of, matcher, read_value

if TYPE_CHECKING:
    from producer.search.values import Value

MAX_DEPTH = 4
MAX_CLAUSES = 32
MAX_OBJECTS = 64
MAX_VALUES = 256
_RANGES = ("$gt", "$gte", "$lt", "$lte")
_LISTS = ("$in", "$nin")
_VALUES = ("$eq", "$ne")
_LOGICAL = ("$and", "$or", "$nor")
_EXTENDED = {"$date", "$oid", "$numberLong", "$numberInt", "$uuid", "$binary"}


@dataclass(frozen=True)
class Clause:
    """One comparison. `$ne` and `$nin` are written as the negation of `$eq` and `$in`.

    Attributes:
        path: The field, such as `camera.model`.
        operator: `$eq`, `$gt`, `$gte`, `$lt`, `$lte`, `$in` or `$exists`.
        values: The operand: one value, or several for `$in`; `$exists` has a boolean.
    """

    path: str
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Group:
    """Filters that are combined by `$and`, `$or` or `$nor`."""

    operator: str
    members: tuple[Filter, ...]


Filter = Clause | Group
EVERYTHING = Group("$and", ())


def read_filter(given: Mapping[str, Any] | None, fields: Sequence[str]) -> Filter:
    """Return the tree of a filter.

    Args:
        given: The filter as JSON or Python values; None matches everything.
        fields: The declared fields.

    Raises:
        InvalidSearch: The filter cannot be used; `param` is the path of the part, such as `filter.$or[1].album`.
    """
    return EVERYTHING if given is None else _Reader(fields).read(given, "filter", 1)


def matches_document(wanted: Filter, document: Mapping[str, Any]) -> bool:
    """Return whether a document matches a filter."""
    if isinstance(wanted, Clause):
        return matcher(wanted.operator, wanted.values)(cell_of(document, wanted.path))
    results = (matches_document(member, document) for member in wanted.members)
    if wanted.operator == "$and":
        return all(results)
    return any(results) is (wanted.operator == "$or")


class _Reader:
    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        self._clauses = 0
        self._objects = 0

    def read(self, given: Any, param: str, depth: int) -> Filter:
        if not isinstance(given, Mapping):
            raise InvalidSearch(param, 'must be an object, such as {"album": "summer"}')
        if depth > MAX_DEPTH:
            raise InvalidSearch(param, f"is nested more than {MAX_DEPTH} levels deep")
        self._objects += 1
        if self._objects > MAX_OBJECTS:  # each costs a pass over all images, even an empty one
            raise InvalidSearch("filter", f"has more than {MAX_OBJECTS} parts")
        return _all_of([self._part(name, value, f"{param}.{name}", depth) for name, value in given.items()])

    def _part(self, name: Any, value: Any, param: str, depth: int) -> Filter:
        if name in _LOGICAL:
            return Group(name, self._several(value, param, depth))
        if isinstance(name, str) and name.startswith("$"):
            raise InvalidSearch(param, f"operator {name!r} is not allowed here; use {', '.join(_LOGICAL)}, or a field")
        if name not in self._fields:
            declared = ", ".join(self._fields) or "no field"
            raise InvalidSearch(param, f"this field is not in CLIPQUEUE_FILTER_FIELDS, which declares {declared}")
        return self._field(name, value, param, depth)

    def _several(self, value: Any, param: str, depth: int) -> tuple[Filter, ...]:
        if not isinstance(value, list | tuple) or not value:
            raise InvalidSearch(param, "must be a list of filters that is not empty")
        return tuple(self.read(one, f"{param}[{number}]", depth + 1) for number, one in enumerate(value))

    def _field(self, path: str, value: Any, param: str, depth: int) -> Filter:
        if not _has_operators(value):
            return self._clause(path, "$eq", value, param)
        if not value:
            raise InvalidSearch(param, 'must be a value, or an object with operators, such as {"$gt": 5}')
        return _all_of([self._operator(path, name, one, f"{param}.{name}", depth) for name, one in value.items()])

    def _operator(self, path: str, name: str, value: Any, param: str, depth: int) -> Filter:
        if name == "$not":
            if not _has_operators(value):
                raise InvalidSearch(param, 'must be an object with operators, such as {"$gt": 5}')
            if depth >= MAX_DEPTH:
                raise InvalidSearch(param, f"is nested more than {MAX_DEPTH} levels deep")
            return Group("$nor", (self._field(path, value, param, depth + 1),))
        if name == "$ne":
            return Group("$nor", (self._clause(path, "$eq", value, param),))
        if name == "$nin":
            return Group("$nor", (self._clause(path, "$in", value, param),))
        return self._clause(path, name, value, param)

    def _clause(self, path: str, operator: str, value: Any, param: str) -> Clause:
        self._clauses += 1
        if self._clauses > MAX_CLAUSES:
            raise InvalidSearch("filter", f"has more than {MAX_CLAUSES} comparisons")
        return Clause(path, operator, _operand(operator, value, param))


def _has_operators(value: Any) -> bool:
    """Return whether a field's value holds operators; `{"$date": ...}` and others of extended JSON are values."""
    return isinstance(value, Mapping) and not _EXTENDED & set(value)


def _operand(operator: str, value: Any, param: str) -> tuple[Value, ...]:
    if operator == "$eq":
        return (read_value(value, param),)
    if operator in _RANGES:
        bound = read_value(value, param)
        if bound.kind not in RANGE_KINDS:
            raise InvalidSearch(param, "must be a number, a string or a date")
        return (bound,)
    if operator == "$in":
        return _list(value, param)
    if operator == "$exists":
        exists = read_value(value, param)
        if exists.kind is not Kind.BOOL:
            raise InvalidSearch(param, "must be true or false")
        return (exists,)
    allowed = ", ".join((*_VALUES, *_RANGES, *_LISTS, "$exists", "$not"))
    raise InvalidSearch(param, f"operator {operator!r} is not allowed; use {allowed}")


def _list(value: Any, param: str) -> tuple[Value, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidSearch(param, "must be a list of values that is not empty")
    if len(value) > MAX_VALUES:
        raise InvalidSearch(param, f"has more than {MAX_VALUES} values")
    values = tuple(read_value(one, f"{param}[{number}]") for number, one in enumerate(value))
    if len({one.kind for one in values if one.kind is not Kind.NULL}) > 1:
        raise InvalidSearch(param, "must have values of one type, and null at most")  # MongoDB's vector search says so
    return values


def _all_of(members: list[Filter]) -> Filter:
    return members[0] if len(members) == 1 else Group("$and", tuple(members))
