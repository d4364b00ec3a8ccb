"""Finds the objects in a JSON text that arrives in pieces: in an array, or one after the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from producer.operations.input.lines import MAX_LINE_CHARS
from producer.operations.input.rows import UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OUTSIDE_STRING = re.compile(r'["{}]')
_INSIDE_STRING = re.compile(r'["\\]')
_BETWEEN = re.compile(r"[\s,\[\]]*")


class ObjectFinder:
    """Finds the outermost objects. An object is kept in memory until it is complete.

    Args:
        line: The number of the line before the text.

    Attributes:
        source: Where the last object is, such as `object 7 (line 3)`.
    """

    def __init__(self, line: int) -> None:
        self._line = line + 1
        self._objects = 0
        self._depth = 0
        self._arrays = 0
        self._in_string = False
        self._is_escaped = False
        self._begun: list[str] = []  # the parts of the object that is not complete yet
        self._begun_chars = 0
        self.source = ""

    def find(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the text of each object.

        Raises:
            UnreadableInput: There is something else than objects, or the text ends early.
        """
        for piece in pieces:
            yield from self._find_in(piece)
        if self._depth or self._arrays > 0:
            where = f"inside {self.source}" if self._depth else "inside an array"
            raise UnreadableInput(f"the input ends {where}: it is not complete")

    def _find_in(self, piece: str) -> Iterator[str]:
        start = 0
        for end in self._ends(piece):
            if self._depth:  # an object begins
                self._pass(piece[start : end - 1])
                self._objects += 1
                self.source = f"object {self._objects} (line {self._line})"
                start = end - 1
            else:
                self._keep(piece[start:end])
                yield "".join(self._begun)
                self._begun.clear()
                self._begun_chars = 0
                start = end
        if self._depth:
            self._keep(piece[start:])
        else:
            self._pass(piece[start:])

    def _ends(self, piece: str) -> Iterator[int]:
        """Yield the position after each brace that begins or ends an outermost object."""
        position = int(self._is_escaped and bool(piece))
        self._is_escaped = self._is_escaped and not piece
        while found := (_INSIDE_STRING if self._in_string else _OUTSIDE_STRING).search(piece, position):
            position = found.end()
            match found[0]:
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    position += 1
                    self._is_escaped = position > len(piece)
                case "{":
                    self._depth += 1
                    if self._depth == 1:
                        yield position
                case _:
                    self._depth -= 1
                    if self._depth < 0:
                        raise self._unexpected()
                    if self._depth == 0:
                        yield position

    def _keep(self, text: str) -> None:
        self._line += text.count("\n")
        self._begun.append(text)
        self._begun_chars += len(text)
        if self._begun_chars > MAX_LINE_CHARS:
            raise UnreadableInput(f"{self.source} has more than {MAX_LINE_CHARS:,} characters")

    def _pass(self, text: str) -> None:
        if not _BETWEEN.fullmatch(text):
            raise self._unexpected()
        self._line += text.count("\n")
        self._arrays += text.count("[") - text.count("]")

    def _unexpected(self) -> UnreadableInput:
        after = f"after {self.source}" if self.source else "at its begin"
        return UnreadableInput(
            f"the JSON cannot be read {after}: give one object a line, as mongoexport writes, or an array of objects"
        )
