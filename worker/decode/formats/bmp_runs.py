"""Unpacks the run lengths of a BMP (the compressions RLE8 and RLE4 of BITMAPINFOHEADER)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_END_OF_ROW, _END, _JUMP = 0, 1, 2


def unpack_runs(
    data: bytes, width: int, height: int, *, of_4_bits: bool
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], bool]:
    """Return the color indexes in the order in which rows are stored, and which pixels were drawn.

    Runs end at the end of their row. The third value says whether the data is whole.
    """
    pixels, drawn = bytearray(width * height), bytearray(width * height)
    position = x = y = 0
    while position + 2 <= len(data) and y < height:
        count, value = data[position], data[position + 1]
        position += 2
        if count:
            run = bytes((value >> 4, value & 15)) * (count // 2 + 1) if of_4_bits else bytes((value,)) * count
        elif value == _END_OF_ROW:
            x, y = 0, y + 1
            continue
        elif value == _JUMP:
            x, y = x + sum(data[position : position + 1]), y + sum(data[position + 1 : position + 2])
            position += 2
            continue
        elif value == _END:
            y = height
            break
        else:
            count, stored = value, (value + 1) // 2 if of_4_bits else value
            run = data[position : position + stored]
            position += stored + stored % 2
            run = bytes(index for pair in run for index in (pair >> 4, pair & 15)) if of_4_bits else run
        count = max(0, min(count, len(run), width - x))
        start = y * width + x
        pixels[start : start + count], drawn[start : start + count] = run[:count], b"\1" * count
        x += count
    shape, is_whole = (height, width), y >= height or (y == height - 1 and x >= width)
    return np.frombuffer(pixels, np.uint8).reshape(shape), np.frombuffer(drawn, np.bool_).reshape(shape), is_whole
