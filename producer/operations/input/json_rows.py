"""Reads rows from JSON: one object a line, an array of objects, or objects over several lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from producer.contract.errors import InvalidJob
from producer.operations.input.columns import KNOWN, Named, find_columns
from producer.operations.input.json_objects import ObjectFinder
from producer.operations.input.lines import MAX_LINE_CHARS
from producer.operations.input.rows import Row, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.operations.input.lines import Lines


def read_json_lines(lines: Lines, named: Named | None) -> Iterator[Row]:
    """Yield a row for each line. A line that is no object is a row with a problem."""
    for line in lines:
        if line and not line.isspace():
            yield _read_row(line, f"line {lines.number}", named)


def read_json_objects(lines: Lines, named: Named | None) -> Iterator[Row]:
    """Yield a row for each object of the text that remains. Raises UnreadableInput if it is cut off or no JSON."""
    finder = ObjectFinder(lines.number)
    for text in finder.find(lines.pieces()):
        yield _read_row(text, finder.source, named)


def is_whole(line: str) -> bool:
    """Return whether a line that begins with a brace has its own object, or else begins an object of several lines."""
    return not line.rstrip().endswith(("{", "[", ":", ","))


def _read_row(text: str, source: str, named: Named | None) -> Row:
    try:
        document = _read_object(text)
        fields = named or _find_fields(document)
        image_id = None if fields.image_id is None else _value(document, fields.image_id)
        return Row(source, image_id, _value(document, fields.url))
    except (InvalidJob, UnreadableInput) as exc:
        return Row(source, problem=str(exc))


def _read_object(text: str) -> dict[str, Any]:
    if len(text) > MAX_LINE_CHARS:
        raise InvalidJob(f"it has more than {MAX_LINE_CHARS:,} characters")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # ValueError: also a number with thousands of digits
        raise InvalidJob("it is no JSON object, or not all of it: give one object a line") from None
    if not isinstance(document, dict):
        raise InvalidJob(f"it is JSON, but no object: give an object with an id and a URL; {KNOWN}")
    return document


def _find_fields(document: dict[str, Any]) -> Named:
    names = list(document)
    positions = find_columns(names)
    if positions is None:
        raise InvalidJob(f"no field is the URL; {KNOWN}. Choose with --columns id=FIELD,url=FIELD")
    if positions.image_id is None and len(names) > 1:
        raise InvalidJob(
            f"no field is the id; {KNOWN}. Give --columns id=FIELD,url=FIELD, or --columns url=FIELD to make the ids "
            "from the URLs"
        )
    return Named(None if positions.image_id is None else names[positions.image_id], names[positions.url])


def _value(document: dict[str, Any], path: str) -> Any:
    """Return the value of a field, such as `url`, `media.imageUrl` or `images.0.url`. Raises InvalidJob."""
    found: Any = document
    if path not in document:
        for name in path.split("."):
            found = _child(found, name)
    else:
        found = document[path]
    if found is None:
        raise InvalidJob(f"it has no field {path}")
    return found


def _child(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None
