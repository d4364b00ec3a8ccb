"""Reads the chunks of a PNG (PNG 3rd edition, section 5)."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from worker.errors import CorruptImage

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AROUND_BODY = 12  # bytes of the length, the kind and the checksum


class Chunk(NamedTuple):
    """One chunk of a file: its kind, and where its body starts and ends."""

    kind: bytes
    start: int
    end: int

    def body(self, content: bytes) -> bytes:
        """Return the body."""
        return content[self.start : self.end]

    def is_sound(self, content: bytes) -> bool:
        """Return whether the checksum is right."""
        checksum = int.from_bytes(content[self.end : self.end + 4], "big")
        return zlib.crc32(content[self.start - 4 : self.end]) == checksum


def read_chunks(content: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the end of the file. The last one may be cut off."""
    position, size = len(SIGNATURE), len(content)
    while position + 8 <= size:
        length, kind = struct.unpack_from(">I4s", content, position)
        yield Chunk(kind, position + 8, min(position + 8 + length, size))
        position += length + _AROUND_BODY


def write_chunk(kind: bytes, *parts: bytes) -> bytes:
    """Return one chunk."""
    body = b"".join(parts)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))


def damaged(what: str) -> CorruptImage:
    """Return the error for a PNG that a browser does not draw."""
    return CorruptImage(f"the image cannot be decoded: {what}")
