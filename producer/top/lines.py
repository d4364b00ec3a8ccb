"""What a screen shows: lines of styled text. The names of the styles are those of `producer.top.page`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len

from producer.top.text import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Line:
    """One line: texts, each with the name of a style."""

    parts: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, *parts: str | tuple[str, str]) -> Line:
        """Return a line of texts; one without a style is plain."""
        return cls(tuple((part, "") if isinstance(part, str) else part for part in parts))

    @property
    def text(self) -> str:
        """The line without styles."""
        return "".join(text for text, _ in self.parts)

    def map(self, change: Callable[[str], str]) -> Line:
        """Return the line with other texts of the same width."""
        return Line(tuple((change(text), style) for text, style in self.parts))

    def within(self, width: int) -> Line:
        """Return the line with exactly `width` cells; its last style fills it up."""
        parts, left = [], width
        for text, style in self.parts:
            shown = text if cell_len(text) <= left else fit(text, left)
            parts.append((shown, style))
            left -= cell_len(shown)
        style = self.parts[-1][1] if self.parts and self.parts[-1][1] in {"bar", "chosen", "heading"} else ""
        return Line((*parts, (" " * left, style))) if left > 0 else Line(tuple(parts))


def keys_line(keys: Sequence[str], width: int) -> Line:
    """Return the line that names the keys. On a narrow screen the last ones are missing; the help has them all."""
    shown: list[str] = []
    for key in keys:
        if cell_len("  ".join((*shown, key))) <= width:
            shown.append(key)
    return Line.of(("  ".join(shown), "bar"))


def flow(label: str, chunks: Iterable[tuple[str, str]], width: int, indent: int = 9) -> list[Line]:
    """Return chunks, each a text with a style, in as many lines as they need. No chunk is broken.

    Args:
        label: Stands before the first one.
        chunks: The chunks.
        width: The cells of a line.
        indent: The cells of the label.
    """
    lines: list[Line] = []
    parts: list[tuple[str, str]] = []
    left = width - indent
    for text, style in chunks:
        if parts and cell_len(text.rstrip()) > left:
            lines.append(_flowed(label if not lines else "", parts, indent))
            parts, left = [], width - indent
        parts += [(text, style), ("  ", "")]
        left -= cell_len(text) + 2
    return [*lines, _flowed(label if not lines else "", parts, indent)]


def _flowed(label: str, parts: Sequence[tuple[str, str]], indent: int) -> Line:
    *others, (last, style), _ = parts or [("", ""), ("", "")]
    return Line(((fit(label, indent), "label"), *others, (last.rstrip(), style)))
