"""Tables with a chosen line, as wide as the screen and as high as there is room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from producer.top.lines import Line
from producer.top.text import fit, fit_ends

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: Its title.
        least: Its width on a narrow screen.
        align: `<` or `>`; `~` is on the left, and a text that is too long loses its middle.
        is_spared: The screen of 60 cells has no room for it.
    """

    title: str
    least: int
    align: str = "<"
    is_spared: bool = False

    def shown(self, text: str, width: int) -> str:
        """Return a text with the width of the column."""
        return fit_ends(text, width) if self.align == "~" else fit(text, width, self.align)


class Cursor:
    """The chosen line of a table, and the first one on the screen.

    Once it was moved, it follows its line when the lines are sorted anew.

    Attributes:
        index: The place of the chosen line.
    """

    def __init__(self) -> None:
        self.index = 0
        self._first = 0
        self._moved_to: list[Any] = []

    def move(self, by: int, keys: Sequence[Any]) -> None:
        """Choose another line; `keys` are what tells the lines apart, in their order."""
        self._follow(keys)
        self.index = max(min(self.index + by, len(keys) - 1), 0)
        self._moved_to = [keys[self.index]] if keys else []

    def window(self, height: int, keys: Sequence[Any]) -> range:
        """Return the lines on a screen with room for `height`, such that the chosen one is among them."""
        self._follow(keys)
        count = len(keys)
        self._first = max(min(self._first, self.index, count - height), self.index - height + 1, 0)
        return range(self._first, min(self._first + height, count))

    def _follow(self, keys: Sequence[Any]) -> None:
        # An id may be of a type that has no hash.
        found = [keys.index(key) for key in self._moved_to if key in keys]
        self.index = max(min(found[0] if found else self.index, len(keys) - 1), 0)


# The columns that fit on a screen, with their widths.
Fitting = list[tuple[Column, int]]


@dataclass(frozen=True)
class Table:
    """The columns of a table. A row has a text for the title of each."""

    columns: Sequence[Column]

    def without(self, titles: Collection[str]) -> Table:
        """Return the table without some columns."""
        return Table([column for column in self.columns if column.title not in titles])

    def fitting(self, longest: Mapping[str, int], width: int) -> Fitting:
        """Return the columns that fit.

        Args:
            longest: The cells of the longest text in each column that grows. They take what is left, up to that.
            width: The cells of the screen.
        """
        columns = list(self.columns)
        while _width(columns) > width and any(column.is_spared for column in columns):
            columns.remove(next(column for column in reversed(columns) if column.is_spared))
        left = max(width - _width(columns), 0)
        fitting = []
        for column in columns:
            more = max(min(longest.get(column.title, 0) - column.least, left), 0)
            left -= more
            fitting.append((column, column.least + more))
        return fitting


def longest(texts: Iterable[str]) -> int:
    """Return the cells of the longest text."""
    return max(map(cell_len, texts), default=0)


def heading(fitting: Fitting) -> Line:
    """Return the line with the titles."""
    return Line.of((_joined({column.title: column.title for column, _ in fitting}, fitting, " "), "heading"))


def row_line(row: Mapping[str, str], fitting: Fitting, style: str = "", *, is_chosen: bool = False) -> Line:
    """Return the line of a row. The keys act on the chosen one, which is marked without colours too."""
    return Line.of((_joined(row, fitting, ">" if is_chosen else " "), "chosen" if is_chosen else style))


def merged(fitting: Fitting, titles: Sequence[str], title: str) -> Fitting:
    """Return the columns with one, `title`, in the place of several neighbours."""
    places = [place for place, (column, _) in enumerate(fitting) if column.title in titles]
    first, last = places[0], places[-1]
    width = sum(cells + 1 for _, cells in fitting[first : last + 1]) - 1
    return [*fitting[:first], (Column(title, width, ">"), width), *fitting[last + 1 :]]


def _joined(row: Mapping[str, str], fitting: Fitting, mark: str) -> str:
    return mark + " ".join(column.shown(row[column.title], width) for column, width in fitting)


def _width(columns: Sequence[Column]) -> int:
    return sum(column.least + 1 for column in columns)
