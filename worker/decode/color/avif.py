"""Reads what an AVIF states about its colors: the boxes `colr` and `clli` of its primary image, or else its AV1 data.

Walks the boxes of ISO/IEC 14496-12 that HEIF (ISO/IEC 23008-12) puts into `meta`. Boxes that do not fit into the box
around them end the walk; damage states nothing.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from worker.decode.color.av1 import sequence_color
from worker.decode.color.cicp import heif_space
from worker.decode.color.transfer import DEFAULT_PEAK_NITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.decode.color.transfer import RgbSpace

_MAX_BOXES = 1000  # in one box
_MAX_ITEMS = 4096  # whose properties are looked through
_FULL_BOX_BYTES = 4  # version and flags
_FIRST_BYTES = 1024  # of the AV1 data; its header comes first


def avif_space(content: bytes) -> RgbSpace | None:
    """Return the space that the primary image states by numbers, or None if it states none."""
    try:
        meta = _child(content, b"meta")[_FULL_BOX_BYTES:]
        primary = _child(meta, b"pitm")
        item = int.from_bytes(primary[4:8] if primary[0] else primary[4:6], "big")
        properties = list(_properties(meta, item))
        codes = _nclx(properties) or sequence_color(_first_bytes(content, meta, item))
    except (struct.error, IndexError):
        return None
    peak = next((body[:2] for kind, body in properties if kind == b"clli"), b"")
    return heif_space(*codes, float(int.from_bytes(peak, "big")) or DEFAULT_PEAK_NITS) if codes else None


def _nclx(properties: list[tuple[bytes, bytes]]) -> tuple[int, int] | None:
    """Return the codes for primaries and transfer (ISO/IEC 14496-12, 12.1.5)."""
    for kind, body in properties:
        if kind == b"colr" and body[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">2H", body, 4)
            return primaries, transfer
    return None


def _properties(meta: bytes, item: int) -> Iterator[tuple[bytes, bytes]]:
    boxes = _child(meta, b"iprp")
    properties = list(_boxes(_child(boxes, b"ipco")))
    for index in _associations(_child(boxes, b"ipma"), item):
        if 0 < index <= len(properties):
            yield properties[index - 1]


def _first_bytes(content: bytes, meta: bytes, wanted: int) -> bytes:
    """Return the first bytes of an image's data: the start of its first extent (ISO/IEC 14496-12, 8.11.3)."""
    body = _child(meta, b"iloc")
    version, offset_bytes, length_bytes = body[0], body[4] >> 4, body[4] & 15
    base_bytes, index_bytes = body[5] >> 4, body[5] & 15 if version else 0
    id_bytes = 4 if version == 2 else 2  # noqa: PLR2004 - the version with 32-bit numbers
    numbers = _Numbers(body, 6)
    for _ in range(min(numbers.read(id_bytes), _MAX_ITEMS)):
        item = numbers.read(id_bytes)
        in_idat = numbers.read(2) & 15 if version else 0
        numbers.read(2)
        base, extents = numbers.read(base_bytes), numbers.read(2)
        if item == wanted and extents:
            numbers.read(index_bytes)
            start = base + numbers.read(offset_bytes)
            return (_child(meta, b"idat") if in_idat else content)[start : start + _FIRST_BYTES]
        numbers.skip(extents * (index_bytes + offset_bytes + length_bytes))
    return b""


class _Numbers:
    """Reads big-endian numbers one after the other. Raises IndexError at the end."""

    def __init__(self, body: bytes, position: int) -> None:
        self._body = body
        self._position = position

    def read(self, size: int) -> int:
        start = self._position
        self.skip(size)
        return int.from_bytes(self._body[start : self._position], "big")

    def skip(self, size: int) -> None:
        self._position += size
        if self._position > len(self._body):
            raise IndexError


def _associations(body: bytes, wanted: int) -> list[int]:
    """Return the numbers of the item's properties, counted from 1 (ISO/IEC 23008-12, 9.3.1)."""
    version, wide = body[0], body[3] & 1
    id_bytes, index_bytes = 4 if version else 2, 2 if wide else 1
    (count,), position = struct.unpack(">I", body[4:8]), 8
    for _ in range(min(count, _MAX_ITEMS)):
        item = int.from_bytes(body[position : position + id_bytes], "big")
        start, number = position + id_bytes + 1, body[position + id_bytes]
        position = start + number * index_bytes
        if item == wanted:  # the highest bit of each says whether the property is essential
            mask = 0x7FFF if wide else 0x7F
            return [
                int.from_bytes(body[at : at + index_bytes], "big") & mask for at in range(start, position, index_bytes)
            ]
    return []


def _child(content: bytes, wanted: bytes) -> bytes:
    return next((body for kind, body in _boxes(content) if kind == wanted), b"")


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and body of each box. A box of size 0 reaches to the end, one of size 1 has a 64-bit size."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 8 > len(content):
            return
        size, kind = struct.unpack(">I4s", content[position : position + 8])
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", content[position + 8 : position + 16]), 16
        end = position + size if size else len(content)
        if (size and size < head) or end > len(content):
            return
        yield kind, content[position + head : end]
        position = end
