"""Judges the packed pixels of a PNG where Pillow and browsers differ.

Pixels with a wrong or missing checksum are packed anew: browsers draw such a file, Pillow does not. Pixels that end
before the last row, with a right checksum, are found: Pillow leaves the rest black, and browsers leave it out.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from worker.decode.formats.png_chunks import SIGNATURE, read_chunks, write_chunk

if TYPE_CHECKING:
    from PIL import Image

_ZLIB_HEADER_BYTES = 2
_PIECE_BYTES = 1024 * 1024  # unpacked at once
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
    width, height, _, color = struct.unpack_from(">2I2B", chunks[b"IHDR"])
    if color not in _SAMPLES or not 0 < width * height <= max_pixels:
        return None
    expected = _unpacked_bytes(chunks[b"IHDR"])
    try:
        rows = zlib.decompressobj(_RAW).decompress(chunks[b"IDAT"][_ZLIB_HEADER_BYTES:], expected)
    except zlib.error:
        return None
    if len(rows) < expected:
        return None
    chunks[b"IDAT"] = zlib.compress(rows, 0)
    return SIGNATURE + b"".join(write_chunk(kind, body) for kind, body in chunks.items())


def lacks_rows(content: bytes, image: Image.Image) -> bool:
    """Return whether the pixels of a reduced PNG end too early, although Pillow has loaded the image."""
    # Pillow leaves rows that are missing at zero, and the pixels are unpacked once more only if a last row is so. Of an
    # interlaced picture, one of the last two rows comes last.
    last = np.asarray(image.crop((0, max(0, image.height - 2), *image.size)))
    if last.reshape(len(last), -1).any(axis=1).all():
        return False
    chunks = {chunk.kind: (chunk.start, chunk.end) for chunk in read_chunks(content)}
    (start, end), unpacking = chunks[b"IDAT"], zlib.decompressobj(_RAW)
    missing, packed = _unpacked_bytes(content[slice(*chunks[b"IHDR"])]), content[start + _ZLIB_HEADER_BYTES : end]
    with suppress(zlib.error):
        while missing > 0 and packed and not unpacking.eof:
            missing -= len(unpacking.decompress(packed, _PIECE_BYTES))
            packed = unpacking.unconsumed_tail
        missing -= len(unpacking.flush()) if missing > 0 else 0
    return missing > 0


def _unpacked_bytes(header: bytes) -> int:
    """Return the number of bytes of all rows, each with the byte that names its filter. `header` is IHDR's body."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">2I5B", header)
    pixel_bits = depth * _SAMPLES[color]
    total = 0
    for left, top, step_x, step_y in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * pixel_bits + 7) // 8)
    return total
