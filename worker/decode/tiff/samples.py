"""Reads the samples of a TIFF, where Pillow cannot or does it wrong: more than 8 bits, floats, and rare layouts.

libtiff, which is part of Pillow, still decompresses: each strip or tile is handed to it as rows of plain bytes.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from worker.decode.tiff.layout import NO_COMPRESSION, WEBP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from worker.decode.tiff.layout import Layout

    Bytes = NDArray[np.uint8]
    Samples = NDArray[np.number]

# Compressions of plain bytes: none, LZW, deflate (two numbers), PackBits, LZMA and Zstandard. The others are codecs of
# pictures, whose samples are not bytes; of these WebP alone is read here, since Pillow's libtiff lacks it.
BYTE_COMPRESSIONS = {NO_COMPRESSION, 5, 8, 32946, 32773, 34925, 50000}
_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3  # Predictor
_INLINE_BYTES = 4  # longer values of a tag lie outside the directory
_RGBA_SAMPLES = 4
_MAX_EXPANSION, _SPARE_BYTES = 2, 4096  # of compression, if it makes the bytes more
_BAND_BYTES = 4 * 1024 * 1024  # about so much is decompressed at once, so that wide samples need little memory
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def read_bands(layout: Layout, content: bytes) -> Iterator[Samples]:
    """Yield the samples from top to bottom, in arrays of shape (rows, width, samples).

    Only the colors and the opacity are returned, in the file's order.

    Raises:
        OSError, ValueError, IndexError, SyntaxError: The file is damaged or truncated.
    """
    if layout.chunk_width <= 0 or layout.chunk_height <= 0:
        raise ValueError("a strip or tile has no pixels")
    across, down = -(-layout.width // layout.chunk_width), -(-layout.height // layout.chunk_height)
    if len(layout.offsets) < across * down * (layout.samples if layout.separate else 1):
        raise ValueError("strips or tiles are missing")
    wanted = [*range(layout.colors), *([] if layout.alpha is None else [layout.alpha])]
    chunks = _Chunks(layout, content)
    per_band = max(1, _BAND_BYTES // (across * layout.chunk_height * chunks.row_bytes))
    for first in range(0, down, per_band):
        last = min(first + per_band, down)
        planes = wanted if layout.separate else [0]
        parts = [
            chunks.read(
                [(plane * down + row) * across + column for row in range(first, last) for column in range(across)]
            )
            for plane in planes
        ]
        samples = _in_rows(np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0], layout, across)
        rows = min(layout.height, last * layout.chunk_height) - first * layout.chunk_height
        band = samples[:rows, : layout.width]
        yield band if layout.separate or band.shape[2] == len(wanted) else band[:, :, wanted]


def _in_rows(samples: Samples, layout: Layout, across: int) -> Samples:
    """Put tiles that lie one below the other beside each other: (rows of tiles x rows, width, samples)."""
    if across == 1:
        return samples
    shape = (-1, across, layout.chunk_height, layout.chunk_width, samples.shape[2])
    return samples.reshape(shape).swapaxes(1, 2).reshape(-1, across * layout.chunk_width, samples.shape[2])


class _Chunks:
    """The strips or tiles of one image."""

    def __init__(self, layout: Layout, content: bytes) -> None:
        self._layout, self._content = layout, content
        self._samples = 1 if layout.separate else layout.samples
        self._row_samples = layout.chunk_width * self._samples
        self.row_bytes = -(-self._row_samples * layout.bits // 8)
        self._starts = () if layout.counts else tuple(sorted(set(layout.offsets)))

    def read(self, numbers: Sequence[int]) -> Samples:
        """Return the samples of these chunks, one below the other: (rows, width of a chunk, samples)."""
        rows = [self._rows(number) for number in numbers]
        stored = [self._stored(number) for number in numbers]
        pixels = self._decompressed(stored, rows).reshape(-1, self.row_bytes)
        return self._values(pixels).reshape(sum(rows), self._layout.chunk_width, self._samples)

    def _rows(self, number: int) -> int:
        """Return the number of rows in a chunk. The last strip has fewer, a tile never has."""
        layout = self._layout
        if layout.tiled:
            return layout.chunk_height
        above = number % -(-layout.height // layout.chunk_height) * layout.chunk_height
        return min(layout.chunk_height, layout.height - above)

    def _stored(self, number: int) -> bytes:
        """Return the compressed bytes of a chunk."""
        start = self._layout.offsets[number]
        if self._layout.counts:
            end = start + self._layout.counts[number]
        else:  # some programs leave the sizes out
            following = bisect_right(self._starts, start)
            end = self._starts[following] if following < len(self._starts) else len(self._content)
        # A file may state that each of many strips is as large as the file. Nothing needs more than this.
        most = _MAX_EXPANSION * self._rows(number) * self.row_bytes + _SPARE_BYTES
        return self._content[start : min(end, start + most)]

    def _decompressed(self, stored: list[bytes], rows: list[int]) -> Bytes:
        layout = self._layout
        if layout.compression == NO_COMPRESSION:
            plain = b"".join(part[: count * self.row_bytes] for part, count in zip(stored, rows, strict=True))
            plain = plain.translate(_REVERSED) if layout.reversed_bits else plain
        elif layout.compression == WEBP:
            size = layout.chunk_width
            plain = b"".join(_webp(part, (size, n), self._samples) for part, n in zip(stored, rows, strict=True))
        else:
            return _decompressed(stored, sum(rows), rows[0], self.row_bytes, layout)
        if len(plain) != sum(rows) * self.row_bytes:
            raise OSError("image file is truncated")
        return np.frombuffer(plain, np.uint8)

    def _values(self, rows: Bytes) -> Samples:
        """Return the samples as numbers in this machine's byte order: (rows, samples of a row)."""
        layout, size = self._layout, self._layout.bits // 8
        if layout.bits % 8:
            return _unpacked(rows, self._row_samples, layout.bits)
        if layout.predictor == _FLOAT_DIFFERENCES:
            sums = _running_sums(rows, self._samples)
            planes = sums.reshape(len(rows), size, self._row_samples)
            return np.ascontiguousarray(planes.swapaxes(1, 2)).view(f">f{size}")[..., 0]
        order = ">" if layout.big_endian else "<"
        values = rows.view(f"{order}u{size}").astype(f"u{size}", copy=False)
        if layout.predictor == _DIFFERENCES:
            values = _running_sums(values, self._samples)
        return values.view(f"{layout.kind}{size}")


def _running_sums(rows: Samples, step: int) -> Samples:
    """Add to each value of a row the one that lies `step` before it. Sums wrap around, as TIFF 6.0 wants."""
    return np.cumsum(rows.reshape(len(rows), -1, step), axis=1, dtype=rows.dtype).reshape(rows.shape)


def _unpacked(rows: Bytes, count: int, bits: int) -> NDArray[np.uint16]:
    """Return `count` values of fewer than 16 bits from each row, the highest bit first whatever the byte order."""
    start = np.arange(count) * bits
    padded = np.pad(rows, ((0, 0), (0, 2)))
    first, shift = start // 8, (24 - bits - start % 8).astype(np.uint32)
    three = [padded[:, first + place].astype(np.uint32) << (16 - 8 * place) for place in range(3)]
    values = (three[0] | three[1] | three[2]) >> shift & np.uint32((1 << bits) - 1)
    return values.astype(np.uint16)


def _decompressed(stored: list[bytes], rows: int, chunk_rows: int, row_bytes: int, layout: Layout) -> Bytes:
    """Let libtiff decompress: as the strips of a gray image of 8 bits, in which each byte is a pixel."""
    places = np.cumsum([0, *map(len, stored)])[:-1] + 8
    data = b"".join(stored)
    data += bytes(len(data) % 2)
    tags = [
        (256, 4, [row_bytes]), (257, 4, [rows]), (258, 3, [8]), (259, 3, [layout.compression]), (262, 3, [1]),
        (266, 3, [2 if layout.reversed_bits else 1]), (273, 4, places.tolist()), (277, 3, [1]),
        (278, 4, [chunk_rows]), (279, 4, [len(part) for part in stored]),
    ]  # fmt: skip
    entries, values, start = b"", b"", 8 + len(data)
    for tag, kind, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}{'HI'[kind - 3]}", *numbers)
        place = packed.ljust(4, b"\0") if len(packed) <= _INLINE_BYTES else struct.pack("<I", start + len(values))
        values += packed if len(packed) > _INLINE_BYTES else b""
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + place
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    file = b"II*\0" + struct.pack("<I", start + len(values)) + data + values + directory
    with _any_size(), Image.open(BytesIO(file), formats=("TIFF",)) as image:
        return np.asarray(image)


@contextmanager
def _any_size() -> Iterator[None]:
    """Lift Pillow's limit of pixels: here each byte is one, and the real size has been checked."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _webp(stored: bytes, size: tuple[int, int], samples: int) -> bytes:
    with Image.open(BytesIO(stored), formats=("WEBP",)) as image:
        if image.size != size:
            raise ValueError("a strip or tile has another size than its WebP image")
        return image.convert("RGBA" if samples == _RGBA_SAMPLES else "RGB").tobytes()
