"""Splits the bytes of an input into lines of text as they arrive. A long line takes a bounded amount of memory."""

from __future__ import annotations

import codecs
import io
from collections import deque
from typing import TYPE_CHECKING

from producer.operations.input.binary import START_BYTES, refuse_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# A document has at most 16 MiB, but its vector is longer in JSON.
MAX_LINE_CHARS = 32 << 20


class Lines:
    """The lines of UTF-8 text, with or without a byte order mark, ended by LF, CRLF or CR, without their ends.

    A byte that is not UTF-8 becomes a lone surrogate. Of a line with more than MAX_LINE_CHARS characters, the rest is
    skipped, but it is still longer than that.

    Args:
        read: Returns the next bytes, as soon as there are some; none at the end.

    Attributes:
        number: The number of the last line that was returned, from 1.
        comments: How many lines were comments; counted by the readers of rows.
    """

    def __init__(self, read: Callable[[], bytes]) -> None:
        self.number = 0
        self.comments = 0
        self._read = read
        decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._whole: deque[str] = deque()
        self._begun: list[str] = []  # the parts of the line that has not ended yet
        self._begun_chars = 0
        self._is_first = True
        self._is_at_end = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line. Raises UnreadableInput if the input is no text."""
        while not self._whole:
            if self._is_at_end:
                raise StopIteration
            self._receive()
        self.number += 1
        return self._whole.popleft()

    def push_back(self, lines: Sequence[str]) -> None:
        """Return these lines, which were the last ones, again."""
        self._whole.extendleft(reversed(lines))
        self.number -= len(lines)

    def first_character(self) -> str:
        """Return the first character that is not white space, without taking it; an empty string if there is none."""
        while True:
            for text in (*self._whole, *self._begun):
                if begin := text.lstrip()[:1]:
                    return begin
            if self._is_at_end:
                return ""
            self._receive()

    def pieces(self) -> Iterator[str]:
        """Yield all text that remains, in pieces as they arrive. Does not count lines."""
        while self._whole:
            yield self._whole.popleft() + "\n"
        yield "".join(self._begun)
        self._begun.clear()
        while not self._is_at_end:
            yield self._next_piece()

    def _receive(self) -> None:
        first, *others = self._next_piece().split("\n")
        self._continue(first)
        for text in others:
            self._end_line()
            self._continue(text)
        if self._is_at_end and self._begun:
            self._end_line()

    def _continue(self, text: str) -> None:
        if text and self._begun_chars <= MAX_LINE_CHARS:
            self._begun.append(text)
            self._begun_chars += len(text)

    def _end_line(self) -> None:
        self._whole.append("".join(self._begun))
        self._begun.clear()
        self._begun_chars = 0

    def _next_piece(self) -> str:
        received = self._read_start() if self._is_first else self._read()
        self._is_first = False
        self._is_at_end = not received
        return self._decoder.decode(received, final=self._is_at_end)

    def _read_start(self) -> bytes:
        start = b""
        while len(start) < START_BYTES and b"\n" not in start and (received := self._read()):
            start += received
        refuse_binary(start)
        return start
