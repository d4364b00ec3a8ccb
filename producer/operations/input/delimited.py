"""Reads rows from lines of URLs and from CSV."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from producer.contract.errors import InvalidJob
from producer.contract.text import printable
from producer.operations.input.commas import UNCLEAR, is_unclear
from producer.operations.input.layout import cells_of, change_layout, find_layout, is_url
from producer.operations.input.lines import MAX_LINE_CHARS
from producer.operations.input.rows import Row, UnreadableInput
from producer.operations.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.operations.input.columns import Columns
    from producer.operations.input.layout import Layout
    from producer.operations.input.lines import Lines

_QUOTES = (
    "the quotes cannot be read: a column in quotes ends with a quote and a delimiter, and a quote in it is doubled"
)
_OPEN = "a quote opens in this line and is never closed"
_TOO_LONG = f"a column has more than {csv.field_size_limit():,} characters, or a quote is never closed"
_SHOWN_CHARS = 200
_ID_AND_URL = re.compile(r"#[^\s:]*[,;|\t]\s*\"?https?://", re.IGNORECASE)
_NO_COMMENT = "it is not clear whether this is a comment or a row: put what begins with # in quotes, or delete the line"
# What follows may be a secret: a URL, its query, or the password in front of a host.
_BEFORE_SECRET = re.compile(r".*?(://|[?@]|:(?=[^,;|\t]*@))", re.DOTALL)
# How psql and MySQL write a missing value.
_NULL = r"\N"


def read_delimited(lines: Lines, columns: Columns | None, delimiter: str | None) -> Iterator[Row]:
    """Yield a row for each line, or for several lines that quotes join.

    Raises:
        UnreadableInput: The first line does not say which columns hold the id and the URL.
    """
    begun = _next_content(lines)
    if begun is None:
        return
    layout = _find_layout(begun, lines, columns, delimiter)
    if layout.has_header:
        layout = replace(layout, width=_width_of_header(begun, lines, layout.delimiter))
        begun = _next_content(lines, layout)
    while begun is not None:
        layout = change_layout(layout, begun, delimiter)
        yield _read_row(begun, lines, layout)
        begun = _next_content(lines, layout)


def _find_layout(line: str, lines: Lines, columns: Columns | None, delimiter: str | None) -> Layout:
    try:
        return find_layout(line, columns, delimiter)
    except UnreadableInput as exc:
        line = line[: _SHOWN_CHARS + 1]
        shown = _BEFORE_SECRET.match(line)
        begin = shown[0] if shown else line
        raise UnreadableInput(
            f"line {lines.number}: {exc}. The line {'begins with' if shown else 'is'}: {printable(begin, _SHOWN_CHARS)}"
        ) from None


def _width_of_header(begun: str, lines: Lines, delimiter: str) -> int:
    try:
        return len(_read_cells(begun, lines, delimiter))  # a name in quotes may have several lines
    except InvalidJob as exc:
        raise UnreadableInput(f"the header cannot be read: {exc}") from None


def _next_content(lines: Lines, layout: Layout | None = None) -> str | None:
    """Return the next line that is neither empty nor a comment; None at the end."""
    for line in lines:
        if line.startswith("#") and not _may_be_row(line, layout):
            lines.comments += 1
        elif line and not line.isspace():
            return line
    return None


def _may_be_row(comment: str, layout: Layout | None) -> bool:
    """Return whether a line that begins with # may be a row: its id may begin so."""
    if _ID_AND_URL.match(comment):
        return True
    if layout is None or layout.width == 1:
        return False
    cells = cells_of(comment, layout.delimiter)
    return len(cells) >= layout.width and is_url(cells[layout.positions.url])


def _read_row(begun: str, lines: Lines, layout: Layout) -> Row:
    source = f"line {lines.number}"
    if begun.startswith("#"):
        return Row(source, problem=_NO_COMMENT)
    if len(begun) > MAX_LINE_CHARS:
        return Row(source, problem=f"it has more than {MAX_LINE_CHARS:,} characters")
    try:
        image_id, url = _pick(begun, _read_cells(begun, lines, layout.delimiter), layout)
    except InvalidJob as exc:
        return Row(source, problem=str(exc))
    return Row(source, image_id, url)


def _read_cells(begun: str, lines: Lines, delimiter: str) -> list[str]:
    """Return the columns of the row that begins with this line. If it cannot be read, only this line is taken."""
    joined: list[str] = []

    def following() -> Iterator[str]:
        for line in lines:
            joined.append(line)
            yield f"{line}\n"

    reader = csv.reader(chain((f"{begun}\n",), following()), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        return [cell.strip() for cell in next(reader)]
    except csv.Error as exc:
        lines.push_back(joined)
        text = str(exc)
        raise InvalidJob(_OPEN if "end of data" in text else _TOO_LONG if "limit" in text else _QUOTES) from None


def _pick(text: str, cells: list[str], layout: Layout) -> tuple[str | None, str]:
    """Return the id and the URL of a row. Raises InvalidJob."""
    id_at, url_at = layout.positions.image_id, layout.positions.url
    if (layout.width, id_at) == (2, 0) and is_url(cells[0]) and not is_url("".join(cells[1:2])):
        is_quoted = len(cells) == 1 and text.lstrip().startswith('"')
        return None, cells[0] if is_quoted else _checked(text.strip())  # just a URL, among rows of an id and a URL
    if len(cells) <= max(id_at or 0, url_at):
        raise InvalidJob(f"the row has {count_of(len(cells), 'column')}, not {layout.width}")
    url = cells[url_at]
    if len(cells) > layout.width:
        url = _rest(cells, layout)
    elif layout.width == 1 and not layout.is_certain and not text.lstrip().startswith('"'):
        url = _checked(url)
    image_id = None if id_at is None else cells[id_at]
    return "" if image_id == _NULL else image_id, url


def _rest(cells: list[str], layout: Layout) -> str:
    """Return a URL that contains delimiters and stands last in its row."""
    if layout.positions.url != layout.width - 1 or layout.is_certain:
        raise InvalidJob(f"the row has {len(cells)} columns, not {layout.width}: put a URL with a delimiter in quotes")
    return _checked(layout.delimiter.join(cells[layout.positions.url :]))


def _checked(url: str) -> str:
    """Return a URL without quotes. Raises InvalidJob if another column may follow it."""
    if is_unclear(url, has_context=True):
        raise InvalidJob(f"{UNCLEAR}: put it in quotes, or give the order of the columns with --columns")
    return url
