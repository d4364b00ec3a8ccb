"""Reads the rows of an input, whatever form it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.operations.input.delimited import read_delimited
from producer.operations.input.json_rows import is_whole, read_json_lines, read_json_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.operations.input.columns import Columns
    from producer.operations.input.lines import Lines
    from producer.operations.input.rows import Row


def read_rows(lines: Lines, columns: Columns | None = None, delimiter: str | None = None) -> Iterator[Row]:
    """Yield a row for each image, as lines arrive. A row that cannot be read says why.

    Args:
        lines: Lines of URLs, CSV, or JSON.
        columns: Which columns or fields hold the id and the URL; by default, those with a known name.
        delimiter: The character between columns; by default, the first line says. It means that the input is CSV.

    Raises:
        UnreadableInput: The input is no text, it is not clear what its columns are, or its JSON is cut off.
    """
    begin = lines.first_character()
    if delimiter or begin not in {"{", "["}:
        yield from read_delimited(lines, columns, delimiter)
        return
    named = columns.named if columns else None
    is_lines = begin == "{" and _begins_with_whole_object(lines)
    yield from read_json_lines(lines, named) if is_lines else read_json_objects(lines, named)


def _begins_with_whole_object(lines: Lines) -> bool:
    taken = []
    for line in lines:
        taken.append(line)
        if line and not line.isspace():
            break
    lines.push_back(taken)
    return is_whole(taken[-1])
