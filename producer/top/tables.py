"""Tables with a chosen line, as wide as the screen and as high as there is room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from producer.top.lines import Line
from producer.top.text import fit, fit_ends

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: Its title.
        least: Its width on a narrow screen.
        align: `<` or `>`; `~` is on the left, and a text that is too long loses its middle.
        is_spared: The screen of 60 cells has no room for it.
        grows: It is given the width that is left, up to its longest text.
    """

    title: str
    least: int
    align: str = "<"
    is_spared: bool = False
    grows: bool = False

    def shown(self, text: str, width: int) -> str:
        """Return a text with the width of the column."""
        return fit_ends(text, width) if self.align == "~" else fit(text, width, self.align)


class Cursor:
    """The chosen line of a table, and the first one on the screen. It follows its line when the lines are sorted anew.

    Attributes:
        index: The place of the chosen line.
    """

    def __init__(self) -> None:
        self.index = 0
        self._first = 0
        self._key: Any = None

    def move(self, by: int, keys: Sequence[Any]) -> None:
        """Choose another line; `keys` are what tells the lines apart, in their order."""
        self._follow(keys)
        self._choose(self.index + by, keys)

    def window(self, height: int, keys: Sequence[Any]) -> range:
        """Return the lines on a screen with room for `height`, such that the chosen one is among them."""
        self._follow(keys)
        count = len(keys)
        self._first = max(min(self._first, self.index, count - height), self.index - height + 1, 0)
        return range(self._first, min(self._first + height, count))

    def _follow(self, keys: Sequence[Any]) -> None:
        # An id may be of a type that has no hash.
        self._choose(keys.index(self._key) if self._key in keys else self.index, keys)

    def _choose(self, index: int, keys: Sequence[Any]) -> None:
        self.index = max(min(index, len(keys) - 1), 0)
        self._key = keys[self.index] if keys else self._key


@dataclass(frozen=True)
class Table:
    """The columns of a table."""

    columns: Sequence[Column]

    def heading(self, rows: Sequence[Sequence[str]], width: int) -> tuple[Line, list[tuple[int, Column, int]]]:
        """Return the line with the titles, and the columns that fit: the place, the column and the width of each."""
        fitting = self._fitting(rows, width)
        return Line.of(self._joined([(column.title, column, cells) for _, column, cells in fitting], " ")), fitting

    def line(
        self,
        row: Sequence[str],
        fitting: Sequence[tuple[int, Column, int]],
        style: str = "",
        *,
        is_chosen: bool = False,
    ) -> Line:
        """Return one line of the table."""
        text = self._joined(
            [(row[place], column, cells) for place, column, cells in fitting], ">" if is_chosen else " "
        )
        return Line.of((text, "chosen" if is_chosen else style))

    def _joined(self, cells: Sequence[tuple[str, Column, int]], mark: str) -> str:
        return mark + " ".join(column.shown(text, width) for text, column, width in cells)

    def _fitting(self, rows: Sequence[Sequence[str]], width: int) -> list[tuple[int, Column, int]]:
        columns = list(enumerate(self.columns))
        while _width(columns) > width and any(column.is_spared for _, column in columns):
            columns.remove(next(found for found in reversed(columns) if found[1].is_spared))
        left = max(width - _width(columns), 0)
        fitting = []
        for place, column in columns:
            wanted = max((cell_len(row[place]) for row in rows), default=0) - column.least if column.grows else 0
            more = max(min(wanted, left), 0)
            left -= more
            fitting.append((place, column, column.least + more))
        return fitting


def _width(columns: Sequence[tuple[int, Column]]) -> int:
    return sum(column.least + 1 for _, column in columns)
