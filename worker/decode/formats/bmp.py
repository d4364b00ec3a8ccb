"""Rewrites the kinds of BMP that Pillow refuses or draws differently from browsers.

These are pixels of 2 bits, colors of other bit masks, transparent colors, run lengths that leave pixels out, and some
headers. The rules are those of Chromium's BMPImageReader.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from worker.decode.formats.bmp_runs import unpack_runs
from worker.decode.formats.still import Still
from worker.errors import CorruptImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.decode.limits import DecodeLimits

_FILE_HEADER_BYTES, _SHORT_HEADER, _OS2_HEADER = 14, 16, 64
_HEADER, _LONG_HEADERS = 40, (40, 52, 56, 64, 108, 124)
_WITH_ALPHA_MASK, _WITH_PROFILE = 56, 108  # headers of at least this length state an alpha mask, a color space
_MASKS_AT, _ALPHA_MASK_AT, _COLORS_AT = 54, 66, 46
_PLAIN, _RUNS_8, _RUNS_4, _MASKED, _MASKED_WITH_ALPHA = 0, 1, 2, 3, 6  # compressions
_USUAL_MASKS = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}
_MAX_TABLE = 65_535  # samples up to this value are looked up, since dividing each costs too much
_ALPHA = 0xFF000000


class _Header(NamedTuple):
    size: int
    width: int
    height: int
    planes: int
    depth: int
    compression: int


def reduce_bmp(content: bytes, limits: DecodeLimits) -> Still:
    """Return the BMP as Pillow can draw it. A damaged file stays as it is, so that Pillow refuses it.

    Raises:
        CorruptImage: A browser would not draw the file.
        TooManyPixels: The picture exceeds a limit.
    """
    if content[_FILE_HEADER_BYTES : _FILE_HEADER_BYTES + 4] == bytes([_SHORT_HEADER, 0, 0, 0]):
        content = _with_long_header(content)
    if len(content) < _FILE_HEADER_BYTES + _HEADER or int.from_bytes(content[14:18], "little") not in _LONG_HEADERS:
        return Still(content)
    header = _Header(*struct.unpack_from("<IiiHHI", content, _FILE_HEADER_BYTES))
    if header.width <= 0 or not header.height:
        return Still(content)
    limits.check_size(header.width, abs(header.height))
    if header.depth <= 8:  # noqa: PLR2004  (palettes exist up to 8 bits)
        return Still(_indexed(content, header, limits))
    return Still(_masked(content, header) if header.depth in _USUAL_MASKS else content)


def _with_long_header(content: bytes) -> bytes:
    """Return a file with the short header of OS/2 2.0 with the zeros that it leaves out."""
    more = _HEADER - _SHORT_HEADER
    start = int.from_bytes(content[10:14], "little") + more
    return b"".join(
        (content[:10], struct.pack("<II", start, _HEADER), content[18:30], bytes(more), content[30:])
    )  # fmt: skip


def _indexed(content: bytes, header: _Header, limits: DecodeLimits) -> bytes:
    most = 1 << header.depth
    if int.from_bytes(content[_COLORS_AT : _COLORS_AT + 4], "little") > most:
        content = content[:_COLORS_AT] + struct.pack("<I", most) + content[_COLORS_AT + 4 :]
    if header.compression in (_RUNS_8, _RUNS_4):
        data = content[int.from_bytes(content[10:14], "little") :]
        size = header.width, abs(header.height)
        indexes, drawn, is_whole = unpack_runs(data, *size, of_4_bits=header.compression == _RUNS_4)
        if not is_whole and not limits.allow_truncated:
            raise CorruptImage("the image cannot be decoded: the file is truncated")
    elif header.depth == 2 and header.compression == _PLAIN:  # noqa: PLR2004
        rows = _rows(content, header, np.dtype(np.uint8), -(-header.width // 4))
        if rows is None:
            return content
        fields: NDArray[np.uint8] = (rows[:, :, None] >> np.array([6, 4, 2, 0], np.uint8) & 3).astype(np.uint8)
        indexes = fields.reshape(len(rows), -1)[:, : header.width]
        drawn = np.ones_like(indexes, dtype=bool)
    else:
        return content
    pixels = _palette(content, header)[indexes]
    pixels[~drawn] = 0  # what no run draws is black, as in Chromium
    return _of_32_bits(pixels, header.height, alpha_mask=0)


def _palette(content: bytes, header: _Header) -> NDArray[np.uint32]:
    """Return 256 colors, each the four bytes of a pixel; black for those that the file lacks."""
    count = int.from_bytes(content[_COLORS_AT : _COLORS_AT + 4], "little") or 1 << header.depth
    start = _FILE_HEADER_BYTES + header.size
    return np.frombuffer(content[start : start + count * 4].ljust(1024, b"\0")[:1024], np.uint32)


def _masked(content: bytes, header: _Header) -> bytes:
    masks = _masks(content, header)
    if masks is None or masks == (*_USUAL_MASKS[header.depth], 0):
        return content
    if masks == (*_USUAL_MASKS[32], _ALPHA) and header.compression == _MASKED:
        return content
    rows = _rows(content, header, np.dtype(f"<u{header.depth // 8}"), header.width)
    if rows is None:
        return content
    pixels = np.zeros((*rows.shape, 4), np.uint8)
    for place, mask in ((0, masks[2]), (1, masks[1]), (2, masks[0]), (3, masks[3])):
        if mask:
            pixels[:, :, place] = _samples(rows, mask)
    return _of_32_bits(pixels, header.height, alpha_mask=_ALPHA if masks[3] else 0)


def _masks(content: bytes, header: _Header) -> tuple[int, ...] | None:
    """Return the bits of red, green, blue and alpha in a pixel; None for a compression that has none."""
    if header.compression == _MASKED and header.size == _OS2_HEADER:
        raise CorruptImage("the image cannot be decoded: its compression is unknown")
    is_masked = header.compression in (_MASKED, _MASKED_WITH_ALPHA)
    if (not is_masked and header.compression != _PLAIN) or len(content) < _ALPHA_MASK_AT + 4:
        return None
    colors = struct.unpack_from("<3I", content, _MASKS_AT) if is_masked else _USUAL_MASKS[header.depth]
    least = _WITH_ALPHA_MASK if header.compression == _MASKED else _WITH_PROFILE
    has_alpha = header.compression == _MASKED_WITH_ALPHA or header.size >= least
    masks = (*colors, *(struct.unpack_from("<I", content, _ALPHA_MASK_AT) if has_alpha else (0,)))
    if any(mask >> header.depth or not _is_one_range(mask) for mask in masks):
        raise CorruptImage("the image cannot be decoded: its bit masks are damaged")
    return masks


def _is_one_range(mask: int) -> bool:
    filled = mask | (mask - 1 if mask else 0)  # the zeros below the range become ones
    return not filled & filled + 1


def _rows(content: bytes, header: _Header, kind: np.dtype[Any], width: int) -> NDArray[Any] | None:
    """Return the stored rows, each of `width` numbers of this type; None if some are missing."""
    start, stride = int.from_bytes(content[10:14], "little"), -(-width * kind.itemsize // 4) * 4
    stored = np.frombuffer(content[start : start + stride * abs(header.height)], np.uint8)
    if len(stored) < stride * abs(header.height):
        return None
    return np.ascontiguousarray(stored.reshape(-1, stride)[:, : width * kind.itemsize]).view(kind)


def _samples(rows: NDArray[Any], mask: int) -> NDArray[np.uint8]:
    """Return the samples under a mask, spread over 0 to 255."""
    lowest = mask & -mask or 1
    highest = mask // lowest or 1
    values = (rows & rows.dtype.type(mask)) >> rows.dtype.type(lowest.bit_length() - 1)
    if highest > _MAX_TABLE:
        return np.asarray(values.astype(np.uint64) * 255 // highest, np.uint8)
    table: NDArray[np.uint8] = (np.arange(highest + 1, dtype=np.uint32) * 255 // highest).astype(np.uint8)
    return np.asarray(table[values], np.uint8)


def _of_32_bits(pixels: NDArray[Any], height: int, *, alpha_mask: int) -> bytes:
    """Return a BMP of these pixels, each four bytes: blue, green, red, and the opacity if there is a mask for it."""
    start, width = _FILE_HEADER_BYTES + _WITH_ALPHA_MASK, pixels.shape[1]
    header = struct.pack("<IiiHHI20x", _WITH_ALPHA_MASK, width, height, 1, 32, _MASKED)
    masks = struct.pack("<4I", *_USUAL_MASKS[32], alpha_mask)
    return b"".join((b"BM", struct.pack("<IHHI", start + pixels.nbytes, 0, 0, start), header, masks, pixels.tobytes()))
