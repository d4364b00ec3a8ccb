"""Writes a filter for MongoDB's vector search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.search.filters import Clause
from producer.search.values import Kind

if TYPE_CHECKING:
    from producer.search.filters import Filter


def to_mongo(wanted: Filter) -> dict[str, Any]:
    """Return the filter as `$vectorSearch` and `find` take it."""
    if isinstance(wanted, Clause):
        return _clause(wanted)
    if not wanted.members:
        return {}
    return {wanted.operator: [to_mongo(member) for member in wanted.members]}


def _clause(clause: Clause) -> dict[str, Any]:
    has_null = clause.operator in ("$eq", "$in") and any(value.kind is Kind.NULL for value in clause.values)
    if not has_null:
        return {clause.path: {clause.operator: _operand(clause)}}
    # In vector search, unlike in `find`, null does not equal a missing field.
    either = [{clause.path: {"$eq": None}}, {clause.path: {"$exists": False}}]
    rest = tuple(value for value in clause.values if value.kind is not Kind.NULL)
    if rest:
        either.append({clause.path: {"$in": [value.to_bson() for value in rest]}})
    return {"$or": either}


def _operand(clause: Clause) -> Any:
    values = [value.to_bson() for value in clause.values]
    return values if clause.operator == "$in" else values[0]
