"""The widget that shows lines, and sends only those that have changed: a line over ssh may be slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from producer.top.lines import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.top.text import Letters

# Of the terminal's own colours. What matters also has an attribute that a terminal without colours has.
STYLES = {
    "": Style(),
    "bold": Style(bold=True),
    "bar": Style(reverse=True),
    "heading": Style(bold=True, underline=True),
    "chosen": Style(reverse=True),
    "label": Style(color="cyan"),
    "good": Style(color="green"),
    "warn": Style(color="yellow", bold=True),
    "bad": Style(color="red", bold=True),
}


class Lines(Widget):
    """Shows lines.

    Args:
        letters: The characters that the terminal can show.
        has_colours: Whether it has colours.

    Attributes:
        draws: How often lines were given to it.
    """

    DEFAULT_CSS = "Lines { width: 100%; height: 100%; }"

    def __init__(self, letters: Letters, *, has_colours: bool) -> None:
        super().__init__()
        self.draws = 0
        self._letters = letters
        self._styles = STYLES if has_colours else {name: style.without_color for name, style in STYLES.items()}
        self._lines: list[Line] = []

    @property
    def text(self) -> str:
        """All lines without styles."""
        return "\n".join(line.text.rstrip() for line in self._lines)

    @property
    def full(self) -> list[str]:
        """The lines without styles, as wide as the screen."""
        return [line.text for line in self._lines]

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines, cut to the widget's size."""
        self.draws += 1
        width, height = self.size
        new = [line.within(width).map(self._letters.own) for line in lines[:height]]
        new += [Line(((" " * width, ""),))] * (height - len(new))
        old, self._lines = self._lines, new
        if len(old) != len(new):
            self.refresh()
            return
        changed = [y for y, (before, now) in enumerate(zip(old, new, strict=True)) if before != now]
        if changed:
            self.refresh(*(Region(0, y, _end_of_change(old[y], new[y]), 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return line `y` for Textual."""
        line = self._lines[y] if y < len(self._lines) else Line()
        strip = Strip([Segment(text, self._styles[style]) for text, style in line.parts])
        return strip.adjust_cell_length(self.size.width)


def _end_of_change(old: Line, new: Line) -> int:
    """Return how many cells from the left have changed; what follows is the same on both lines."""
    if old.text[-1:] != new.text[-1:] or not (old.text.isascii() and new.text.isascii()):
        return max(cell_len(old.text), cell_len(new.text), 1)
    ends = _styled(old), _styled(new)
    same = 0
    while same < min(map(len, ends)) and ends[0][-1 - same] == ends[1][-1 - same]:
        same += 1
    return max(len(ends[1]) - same, 1)


def _styled(line: Line) -> list[tuple[str, str]]:
    return [(char, style) for text, style in line.parts for char in text]
