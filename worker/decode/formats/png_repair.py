"""Packs the pixels of a PNG anew if their checksum is wrong or missing. Browsers draw such a file, Pillow does not."""

from __future__ import annotations

import struct
import zlib

from worker.decode.formats.png_chunks import SIGNATURE, read_chunks, write_chunk

_ZLIB_HEADER_BYTES = 2
_RAW = -15  # zlib's number for data without header and checksum
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by color type
# The passes of an interlaced picture: first column and row, and steps (PNG 3rd edition, section 8.2).
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def repacked(content: bytes, max_pixels: int) -> bytes | None:
    """Return a PNG of `worker.decode.formats.png` with its pixels packed anew; None if some are missing.

    Args:
        content: The file.
        max_pixels: Files with more pixels are not unpacked.
    """
    chunks = {chunk.kind: chunk.body(content) for chunk in read_chunks(content)}
    width, height, depth, color, _, _, interlaced = struct.unpack(">2I5B", chunks[b"IHDR"])
    if color not in _SAMPLES or not 0 < width * height <= max_pixels:
        return None
    expected = _unpacked_bytes(width, height, depth * _SAMPLES[color], interlaced=bool(interlaced))
    try:
        rows = zlib.decompressobj(_RAW).decompress(chunks[b"IDAT"][_ZLIB_HEADER_BYTES:], expected)
    except zlib.error:
        return None
    if len(rows) < expected:
        return None
    chunks[b"IDAT"] = zlib.compress(rows, 0)
    return SIGNATURE + b"".join(write_chunk(kind, body) for kind, body in chunks.items())


def _unpacked_bytes(width: int, height: int, pixel_bits: int, *, interlaced: bool) -> int:
    """Return the number of bytes of all rows, each with the byte that names its filter."""
    total = 0
    for left, top, step_x, step_y in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * pixel_bits + 7) // 8)
    return total
