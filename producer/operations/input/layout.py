"""Finds out from its first line how a CSV file is laid out. What is not clear is refused, never guessed."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.operations.input.columns import KNOWN, Positions, find_columns
from producer.operations.input.commas import UNCLEAR, is_unclear
from producer.operations.input.rows import UnreadableInput

if TYPE_CHECKING:
    from producer.operations.input.columns import Columns, Named

_TAB = "\t"
_DELIMITERS = (_TAB, ";", ",", "|")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# What ends the column before the first URL.
_BEFORE_URL = re.compile(rf"([{''.join(_DELIMITERS)}])\s*\"?{_URL.pattern}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a CSV file is laid out.

    Attributes:
        delimiter: The character between columns.
        width: How many columns there are.
        positions: The columns of the id and the URL.
        has_header: The first line names the columns.
        is_certain: Someone said that each line is one URL.
    """

    delimiter: str
    width: int
    positions: Positions
    has_header: bool = False
    is_certain: bool = False


def cells_of(text: str, delimiter: str) -> list[str]:
    """Return the columns of a line. Quotes that cannot be read make one column of everything."""
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
    except csv.Error:
        return [text]


def is_url(text: str) -> bool:
    """Return whether a text begins as a URL of any scheme does."""
    return _URL.match(text) is not None


def find_layout(line: str, columns: Columns | None, delimiter: str | None) -> Layout:
    """Return the layout of a file.

    Args:
        line: Its first line that is no comment.
        columns: What `--columns` says.
        delimiter: What `--delimiter` says.

    Raises:
        UnreadableInput: The layout is not clear.
    """
    delimiters = (delimiter,) if delimiter else _DELIMITERS
    if columns and not columns.order:
        return _find_names(line, columns.named, delimiters)
    if columns:
        return _find_order(line, columns, delimiters)
    return _find_header(line, delimiters) or _find_data(line, delimiter)


def change_layout(layout: Layout, line: str, delimiter: str | None) -> Layout:
    """Return the layout from this line on: if rows with an id follow a list of URLs, that of an id and a URL."""
    if layout.width > 1 or layout.is_certain or is_url(line.lstrip(' "')):
        return layout
    try:
        return _find_data(line, delimiter)
    except UnreadableInput:
        return layout


def _find_names(line: str, named: Named, delimiters: tuple[str, ...]) -> Layout:
    wanted = [name for name in (named.image_id, named.url) if name is not None]
    for delimiter in delimiters:
        cells = cells_of(line, delimiter)
        if all(cells.count(name) == 1 for name in wanted):
            image_id = None if named.image_id is None else cells.index(named.image_id)
            return Layout(delimiter, len(cells), Positions(image_id, cells.index(named.url)), has_header=True)
    raise UnreadableInput(f"the header does not have each of these columns once: {', '.join(wanted)}")


def _find_order(line: str, columns: Columns, delimiters: tuple[str, ...]) -> Layout:
    width, positions = len(columns.order), columns.positions
    if width == 1:
        return Layout(_TAB, 1, positions, _is_header(line), is_certain=True)
    fitting = [delimiter for delimiter in delimiters if _fits(cells_of(line, delimiter), width, positions)]
    if len(fitting) == 1 or fitting[:1] == [_TAB]:  # no URL contains a tab
        return Layout(fitting[0], width, positions)
    for delimiter in delimiters:
        if "://" not in line and find_columns(cells_of(line, delimiter)) == positions:
            return Layout(delimiter, width, positions, has_header=True)
    if len(delimiters) == 1:
        return Layout(delimiters[0], width, positions)
    if fitting:
        raise UnreadableInput("more than one delimiter fits --columns: choose with --delimiter")
    raise UnreadableInput(
        "the column that --columns says has no URL. Give --delimiter if the columns are not separated by commas, "
        "semicolons, tabs or |; if the line is a header, name its columns with --columns id=NAME,url=NAME"
    )


def _fits(cells: list[str], width: int, positions: Positions) -> bool:
    is_url_last = positions.url == width - 1  # a URL that contains the delimiter makes more columns
    return (len(cells) == width or (is_url_last and len(cells) > width)) and is_url(cells[positions.url])


def _is_header(line: str) -> bool:
    return "://" not in line and find_columns(cells_of(line, _TAB)) is not None


def _find_header(line: str, delimiters: tuple[str, ...]) -> Layout | None:
    """Return the layout that a header with known names describes; None if the line is no such header."""
    if "://" in line:
        return None
    for delimiter in delimiters:
        cells = cells_of(line, delimiter)
        if (positions := find_columns(cells)) is None:
            continue
        if positions.image_id is None and len(cells) > 1:
            raise UnreadableInput(
                f"no column of the header is the id; {KNOWN}. Give --columns id=NAME,url=NAME, or --columns url=NAME "
                "to make the ids from the URLs"
            )
        is_list = len(cells) == 1
        return Layout(_TAB if is_list else delimiter, len(cells), positions, has_header=True, is_certain=is_list)
    return None


def _find_data(line: str, delimiter: str | None) -> Layout:
    """Return the layout of a file without a header: a list of URLs, or an id and a URL in each line."""
    if is_url(line.lstrip(' "')):
        return _find_list(line.strip(" "), delimiter or _TAB)
    found = _BEFORE_URL.search(line)
    if found is None and delimiter is None:
        raise UnreadableInput(
            "this is neither a URL, nor an id and a URL, nor a header with a known name of the URL. Name the columns "
            f"of a header with --columns id=NAME,url=NAME; {KNOWN}"
        )
    layout = Layout(delimiter or (found[1] if found else ","), 2, Positions(0, 1))
    cells = cells_of(line, layout.delimiter)
    if len(cells) == 1 or not is_url(cells[1]):
        raise UnreadableInput("without a header, a line is a URL, or an id and a URL: give the order with --columns")
    if len(cells) > layout.width and is_unclear(layout.delimiter.join(cells[1:]), has_context=True):
        raise UnreadableInput(f"{UNCLEAR}: put the URL in quotes, or give the order of the columns with --columns")
    return layout


def _find_list(line: str, delimiter: str) -> Layout:
    if len(cells_of(line, delimiter)) > 1:
        raise UnreadableInput("the URL is followed by other columns: give their order, such as with --columns url,id")
    if not line.startswith('"') and is_unclear(line, has_context=False):
        raise UnreadableInput(
            f"{UNCLEAR}: give --columns url if each line is one URL, or their order if there are more columns, such as "
            "--columns url,id"
        )
    return Layout(delimiter, 1, Positions(None, 0))
