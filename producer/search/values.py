"""The values that a filter compares, and MongoDB's rules for comparing them with what a document holds.

A comparison is only true between values of one type: no number is less than a string. An array matches if one of its
elements does. A field that is missing equals null.
"""

from __future__ import annotations

import math
import operator as operator_module
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from producer.contract.errors import InvalidJob
from producer.contract.ids import parse_image_id
from producer.contract.records import bson_id
from producer.search.errors import InvalidSearch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_STRING_CHARS = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_INT = 2**63


class Kind(Enum):
    """The types that are compared with each other. ABSENT is an element of an array without the field."""

    NULL = "null"
    BOOL = "bool"
    NUMBER = "number"
    STRING = "string"
    DATE = "date"
    OBJECT_ID = "object id"
    UUID = "uuid"
    OTHER = "other"
    ABSENT = "absent"


RANGE_KINDS = (Kind.NUMBER, Kind.STRING, Kind.DATE)


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its type. A date is held as milliseconds since the epoch."""

    kind: Kind
    value: Any = None

    def to_bson(self) -> Any:
        """Return the value as pymongo sends it."""
        return _EPOCH + timedelta(milliseconds=self.value) if self.kind is Kind.DATE else self.value


# What a document holds at a path: nothing if the field is missing; several values for an array.
Cell = tuple[Value, ...]
MISSING: Cell = ()
_ABSENT = Value(Kind.ABSENT)
_OTHER = Value(Kind.OTHER)
_NAN = Value(Kind.NUMBER, math.nan)
_RANGES: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator_module.gt,
    "$gte": operator_module.ge,
    "$lt": operator_module.lt,
    "$lte": operator_module.le,
}


def read_value(given: Any, param: str) -> Value:
    """Return a value of a filter.

    Raises:
        InvalidSearch: It is of another type, or out of range.
    """
    if isinstance(given, Mapping):
        given = _extended(given, param)
    value = _value_of(given)
    if value.kind is Kind.OTHER:
        raise InvalidSearch(param, "must be a boolean, number, string, null, date, ObjectId or UUID")
    if value.kind is Kind.STRING and (len(value.value) > MAX_STRING_CHARS or not _is_utf8(value.value)):
        raise InvalidSearch(param, f"must be valid Unicode text of at most {MAX_STRING_CHARS} characters")
    if value.kind is Kind.NUMBER and not _is_usable_number(value.value):
        raise InvalidSearch(param, "must be a finite number of at most 64 bits")
    if value.kind is Kind.DATE:
        _check_date(value, param)
    return value


def cell_of(document: Mapping[str, Any], path: str) -> Cell:
    """Return what a document holds at a path. Embedded documents in arrays are searched, as MongoDB does."""
    return tuple(_walk(document, path.split(".")))


def matcher(operator: str, values: Sequence[Value]) -> Callable[[Cell], bool]:
    """Return a function that says whether a cell matches `$eq`, `$in`, `$exists` or a range."""
    if operator == "$exists":
        exists = bool(values[0].value)
        return lambda cell: any(value.kind is not Kind.ABSENT for value in cell) is exists
    if operator in ("$eq", "$in"):
        return _equality({*values, _ABSENT} if Value(Kind.NULL) in values else {*values})
    is_in_range, bound = _RANGES[operator], values[0]
    return lambda cell: any(stored.kind is bound.kind and is_in_range(stored.value, bound.value) for stored in cell)


def _equality(values: set[Value]) -> Callable[[Cell], bool]:
    matches_missing = _ABSENT in values
    return lambda cell: not values.isdisjoint(cell) if cell else matches_missing


def _walk(found: Mapping[str, Any], keys: list[str]) -> Iterator[Value]:
    key, *rest = keys
    if key not in found:
        return
    stored = found[key]
    if not rest:
        yield from _terminal(stored)
    elif isinstance(stored, Mapping):
        yield from _walk(stored, rest)
    elif isinstance(stored, list):
        for element in stored:
            if isinstance(element, Mapping):
                yield from tuple(_walk(element, rest)) or (_ABSENT,)


def _terminal(stored: Any) -> Iterator[Value]:
    if isinstance(stored, list):
        yield _OTHER  # the array itself: it exists, even if it is empty
        yield from map(_value_of, stored)
    else:
        yield _value_of(stored)


def _value_of(stored: Any) -> Value:  # noqa: PLR0911  (a table of types)
    if stored is None:
        return Value(Kind.NULL)
    if isinstance(stored, bool):
        return Value(Kind.BOOL, stored)
    if isinstance(stored, int | float):
        # An Int64 is an int. 5 and 5.0 are equal and have one hash, so they are one value.
        return _number(int(stored) if isinstance(stored, Int64) else stored)
    if isinstance(stored, Decimal128):
        number = stored.to_decimal()
        return _NAN if number.is_nan() else _number(float(number))
    if isinstance(stored, str):
        return Value(Kind.STRING, stored)
    if isinstance(stored, datetime):
        aware = stored if stored.tzinfo else stored.replace(tzinfo=UTC)
        return Value(Kind.DATE, (aware - _EPOCH) // timedelta(milliseconds=1))
    if isinstance(stored, DatetimeMS):
        return Value(Kind.DATE, int(stored))
    if isinstance(stored, UUID):
        return Value(Kind.UUID, stored)
    return Value(Kind.OBJECT_ID, stored) if isinstance(stored, ObjectId) else _OTHER


def _number(number: float) -> Value:
    # A NaN equals no other. As a key of a dictionary it is found again only if it is the same object.
    return Value(Kind.NUMBER, number) if number == number else _NAN  # noqa: PLR0124  (only NaN differs from itself)


def _extended(given: Mapping[str, Any], param: str) -> Any:
    if len(given) == 1 and "$date" in given:
        return _date(given["$date"], param)
    try:
        return bson_id(parse_image_id(given))
    except InvalidJob:
        raise InvalidSearch(
            param, 'must be a value, {"$date": "2026-01-01T00:00:00Z"}, {"$oid": "<24 hex digits>"} or {"$uuid": "..."}'
        ) from None


def _date(given: Any, param: str) -> datetime:
    try:
        if isinstance(given, str):
            return datetime.fromisoformat(given)
        if isinstance(given, int) and not isinstance(given, bool):
            return _EPOCH + timedelta(milliseconds=given)
    except (ValueError, OverflowError):
        pass
    raise InvalidSearch(param, "is not a date; expected format: 2026-01-01T00:00:00Z")


def _check_date(value: Value, param: str) -> None:
    try:
        value.to_bson()
    except OverflowError:
        raise InvalidSearch(param, "is a date outside of the years 1 to 9999") from None


def _is_usable_number(number: float) -> bool:
    return abs(number) < _MAX_INT if isinstance(number, int) else math.isfinite(number)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
