"""Makes texts fit for a terminal: nothing that came from outside can move the cursor, and each has a known width.

A width is in cells: a Chinese character takes two.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from producer.contract.text import printable
from producer.operations.text import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_CHARS = 500
_BARS = "▁▂▃▄▅▆▇█"
# Each takes one cell, as what it replaces.
_IN_ASCII = str.maketrans(dict(zip(_BARS, "_.,-=+*#", strict=True)) | {"↑": "^", "↓": "v", "…": "~", "·": "-"})
_KIB = 1024
_SECOND_MS = 1e3


class Letters:
    """The characters that the terminal can show.

    Args:
        ascii_only: It can show nothing but ASCII.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        self.ascii_only = ascii_only

    def inert(self, text: str, max_chars: int = _MAX_CHARS) -> str:
        """Return a text of unknown origin as one line that terminals and this program agree on the width of.

        Characters without a width are replaced, since terminals differ in what they do with them.
        """
        if text.isascii() and text.isprintable() and len(text) <= max_chars:  # most are, and this is faster
            return text
        shown = printable(unicodedata.normalize("NFC", text[: max_chars + 1]), max_chars)
        shown = "".join(char if cell_len(char) else "\N{REPLACEMENT CHARACTER}" for char in shown)
        return shown.encode("ascii", "replace").decode() if self.ascii_only else shown

    def own(self, text: str) -> str:
        """Return a text with this program's own symbols, such as bars, as the terminal can show it."""
        return text.translate(_IN_ASCII) if self.ascii_only else text


def fit(text: str, width: int, align: str = "<") -> str:
    """Return a text with exactly `width` cells: filled up on the right (`<`) or left (`>`), or cut at its end."""
    cells = cell_len(text)
    if cells > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    blank = " " * (width - cells)
    return text + blank if align == "<" else blank + text


def fit_ends(text: str, width: int) -> str:
    """Return a text with exactly `width` cells; a longer one loses its middle, since names often differ at the end."""
    if cell_len(text) <= width:
        return fit(text, width)
    if not text.isascii() or width < len("a…b"):
        return fit(text, width)
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[-half:]}"


def wrap(text: str, width: int) -> list[str]:
    """Return a text in lines of at most `width` cells. A line ends at a space if it has one in its second half."""
    lines, line = [], ""
    for char in text:
        if cell_len(line) + cell_len(char) > width:
            head, space, tail = line.rpartition(" ")
            line, tail = (head, tail) if space and cell_len(head) * 2 > width else (line, "")
            lines.append(line)
            line = tail
        line += char
    return [*lines, line]


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last `width` values as bars, the highest of them as a full one."""
    last = values[-width:] if width > 0 else ()
    top = max(last, default=0.0)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1)) if top > 0 else 0] for value in last)


def number(value: float) -> str:
    """Return a rate or a count: `0`, `0.42`, `4.2`, `42.0`, `1,042`."""
    if value >= 1000 or value == 0:  # noqa: PLR2004  (no column has room for a decimal)
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def span(seconds: float) -> str:
    """Return a time: `8 ms`, `1.2 s`, `42 s`, `3 min`, `5 h`, `2 days`."""
    if seconds < 1:
        return f"{max(seconds, 0) * _SECOND_MS:.0f} ms"
    if seconds < 10:  # noqa: PLR2004  (from here on, tenths of a second say nothing)
        return f"{seconds:.1f} s"
    return duration(seconds)


def size(count: float) -> str:
    """Return a number of bytes in at most five characters: `512`, `1.5K`, `980M`, `1.2G`."""
    for unit in ("", "K", "M", "G", "T"):
        if count < 1000 or unit == "T":  # noqa: PLR2004  (one more would not fit)
            return f"{count:.0f}{unit}" if unit == "" or count >= 10 else f"{count:.1f}{unit}"  # noqa: PLR2004
        count /= _KIB
    raise AssertionError


def share(part: float) -> str:
    """Return a share as per cent: `97%`."""
    return f"{100 * part:.0f}%"
