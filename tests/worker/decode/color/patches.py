"""A picture of six plain fields, files of it, and the parts by which PNG, AVIF and BMP state a color space."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.support.pictures import encoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN = Path(__file__).with_name("shown.json")  # what Chromium shows of each file
FIELD = 16  # pixels; JPEG's blocks fit in
COLORS = ((128, 128, 128), (64, 64, 64), (200, 40, 30), (50, 170, 70), (60, 70, 210), (230, 200, 60))
COLUMNS, ROWS = 3, 2
_ALPHA = (255, 230, 200, 160, 128, 90)
_BYTES_BEFORE_CHUNKS = 33  # PNG: the signature and IHDR


def picture(mode: str = "RGB") -> Image.Image:
    """Return the six fields in any mode. With alpha, each has another one."""
    fields = np.array(COLORS, np.uint8).reshape(ROWS, COLUMNS, 3).repeat(FIELD, 0).repeat(FIELD, 1)
    image = Image.fromarray(fields)
    if mode == "P":
        return image.quantize(8)
    gray = image.convert("L") if mode in ("L", "LA", "I;16") else image
    if mode == "I;16":
        return Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    if mode in ("LA", "RGBA"):
        alpha = np.array(_ALPHA, np.uint8).reshape(ROWS, COLUMNS).repeat(FIELD, 0).repeat(FIELD, 1)
        gray.putalpha(Image.fromarray(alpha))
        return gray
    return gray.convert(mode)


def fields_of(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean color of the middle of each field, of shape (6, 3)."""
    side = pixels.shape[0] // ROWS
    grid = pixels.reshape(ROWS, side, COLUMNS, side, 3)[:, side // 4 : -side // 4, :, side // 4 : -side // 4]
    means: NDArray[np.float64] = grid.mean(axis=(1, 3)).reshape(-1, 3)
    return means


def png(*chunks: bytes, mode: str = "RGB", **options: Any) -> bytes:
    """Return the picture as a PNG with these chunks after IHDR."""
    content = encoded(picture(mode), "PNG", **options)
    return content[:_BYTES_BEFORE_CHUNKS] + b"".join(chunks) + content[_BYTES_BEFORE_CHUNKS:]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*xy: float) -> bytes:
    """White, red, green, blue."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy)))


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, matrix, full]))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def clli(nits: float) -> bytes:
    return chunk(b"cLLI", struct.pack(">2I", round(nits * 10_000), 0))


def mdcv(nits: float) -> bytes:
    return chunk(b"mDCV", struct.pack(">8H2I", *(0,) * 8, round(nits * 10_000), 50))


def avif(mode: str = "RGB", **options: Any) -> bytes:
    subsampling = "4:0:0" if mode == "L" else "4:4:4"
    return encoded(picture(mode), "AVIF", quality=100, subsampling=subsampling, **options)


def nclx(content: bytes, primaries: int, transfer: int) -> bytes:
    """Return the AVIF with other codes in every `nclx`. Its matrix and range stay."""
    start, *others = content.split(b"colrnclx")
    codes = struct.pack(">2H", primaries, transfer)
    return start + b"".join(b"colrnclx" + codes + other[4:] for other in others)


def without_nclx(content: bytes) -> bytes:
    """Return the AVIF with a box of no meaning in place of `colr`."""
    return content.replace(b"colrnclx", b"freenclx")


def in_av1(content: bytes, primaries: int, transfer: int) -> bytes:
    """Return the AVIF with other codes in the header of its AV1 data, which does not end at bytes."""
    bits = "".join(f"{byte:08b}" for byte in content)
    old, new = (f"1{p:08b}{t:08b}{6:08b}" for p, t in ((1, 13), (primaries, transfer)))
    if bits.count(old) != 1:
        raise AssertionError(bits.count(old))
    bits = bits.replace(old, new)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def bmp(profile: bytes = b"", kind: bytes = b"DEBM", header: int = 124) -> bytes:
    """Return a BMP with a header of version 4 (108 bytes) or 5 (124 bytes)."""
    rows = np.asarray(picture())[::-1, :, ::-1].tobytes()
    head = struct.pack("<IiiHHIIiiII", header, COLUMNS * FIELD, ROWS * FIELD, 1, 24, 0, len(rows), 0, 0, 0, 0)
    head = (head + bytes(16) + kind).ljust(108, b"\0")
    if header > len(head):
        head += struct.pack("<4I", 4, header + len(rows), len(profile), 0)
    body = head + rows + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + header) + body
