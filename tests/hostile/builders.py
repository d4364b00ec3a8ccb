"""Builds image files byte by byte, including invalid ones that no image library would write."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
BASELINE, EXTENDED, PROGRESSIVE, LOSSLESS, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA
BYTE, ASCII, SHORT, LONG, RATIONAL, FLOAT = 1, 2, 3, 4, 5, 11
_TIFF_TYPES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", FLOAT: "f"}
TIFF_DATA = 8  # the offset of the data in a file from `tiff`

# A TIFF tag: number, type, values.
Tag = tuple[int, int, "Sequence[float]"]


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the image as a file of this format."""
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    """Return `content` with the first occurrence of `old` replaced. Raises ValueError if there is none."""
    if old not in content:
        raise ValueError(f"{old!r} is not in the file")
    return content.replace(old, new, 1)


def overwritten(content: bytes, offset: int, new: bytes) -> bytes:
    """Return `content` with the bytes at `offset` overwritten by `new`."""
    return content[:offset] + new + content[offset + len(new) :]


def png_chunk(kind: bytes, body: bytes = b"", crc: int | None = None) -> bytes:
    """Return one PNG chunk, by default with the right checksum."""
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_header(width: int, height: int, depth: int = 8, color: int = 2, interlace: int = 0) -> bytes:
    """Return the IHDR chunk. Color 0 is gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGBA."""
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace))


def png(header: bytes, *chunks: bytes, rows: bytes | None = None, after: Iterable[bytes] = ()) -> bytes:
    """Return a PNG: header, chunks, the compressed `rows` if given, the chunks `after` them, and IEND."""
    data = b"" if rows is None else png_chunk(b"IDAT", zlib.compress(rows, 9))
    return PNG_MAGIC + header + b"".join(chunks) + data + b"".join(after) + png_chunk(b"IEND")


def jpeg_segment(marker: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Return one marker segment, by default with the right length."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2 if length is None else length) + body


def jpeg_quantization(table: int = 0, values: bytes = b"\1" * 64) -> bytes:
    """Return a DQT segment."""
    return jpeg_segment(0xDB, bytes([table]) + values)


def jpeg_huffman(kind: int, counts: bytes, symbols: bytes) -> bytes:
    """Return a DHT segment: the number of codes of each length from 1 to 16 bits, and their symbols."""
    return jpeg_segment(0xC4, bytes([kind]) + counts.ljust(16, b"\0") + symbols)


def jpeg_frame(marker: int, width: int, height: int, components: Sequence[int] = (0x11,), bits: int = 8) -> bytes:
    """Return a SOF segment. `components` holds the sampling factors of each component."""
    body = struct.pack(">BHHB", bits, height, width, len(components))
    return jpeg_segment(marker, body + b"".join(bytes([i + 1, factor, 0]) for i, factor in enumerate(components)))


def jpeg_scan(components: Sequence[int], first: int = 0, last: int = 63, approximation: int = 0) -> bytes:
    """Return a SOS segment without the entropy-coded data that should follow it."""
    body = bytes([len(components)]) + b"".join(bytes([number, 0]) for number in components)
    return jpeg_segment(0xDA, body + bytes([first, last, approximation]))


def jpeg(*parts: bytes) -> bytes:
    """Return a JPEG with these segments."""
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def gif_header(width: int, height: int, palette: bytes = b"\0\0\0\xff\0\0") -> bytes:
    """Return the signature, the logical screen and its palette of 2, 4, ... or 256 colors."""
    flags = 0x80 | (len(palette) // 3 - 1).bit_length() - 1 if palette else 0
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0) + palette


def gif_blocks(data: bytes, size: int = 255) -> bytes:
    """Return `data` in sub-blocks of `size` bytes, with the terminator."""
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def gif_extension(label: int, data: bytes, size: int = 255) -> bytes:
    """Return an extension block: 0xF9 graphic control, 0xFE comment, 0xFF application."""
    return b"!" + bytes([label]) + gif_blocks(data, size)


def gif_image(
    width: int, height: int, codes: bytes, minimum: int = 2, left: int = 0, top: int = 0, flags: int = 0
) -> bytes:
    """Return an image block with these LZW codes."""
    return b"," + struct.pack("<HHHHBB", left, top, width, height, flags, minimum) + gif_blocks(codes)


def gif_codes(pixels: bytes, minimum: int = 2) -> bytes:
    """Return LZW codes for `pixels`. Clear codes keep the code length at its initial value."""
    clear, width = 1 << minimum, minimum + 1
    codes: list[int] = []
    for index, pixel in enumerate(pixels):
        if index % (clear - 2) == 0:
            codes.append(clear)
        codes.append(pixel)
    return bits([(code, width) for code in [*codes, clear + 1]])


def gif_run(pixels: int) -> bytes:
    """Return LZW codes for at least `pixels` zeros, in the smallest number of codes."""
    codes, done = [(4, 3), (0, 3)], 1
    for code in range(6, 4096):
        codes.append((code, code.bit_length()))
        done += code - 4
    return bits([*codes, *[(4095, 12)] * max(0, (pixels - done) // 4091 + 1), (5, 12)])


def bits(fields: Iterable[tuple[int, int]]) -> bytes:
    """Pack (value, number of bits) fields, lowest bit first, padded with zeros to whole bytes."""
    total = position = 0
    for value, width in fields:
        total |= value << position
        position += width
    return total.to_bytes((position + 7) // 8, "little")


def tiff(*tags: Tag, data: bytes = b"", following: int = 0) -> bytes:
    """Return a little-endian TIFF: header, `data` at `TIFF_DATA`, long tag values, and the directory."""
    data += b"\0" * (len(data) % 2)
    entries = b""
    for number, kind, values in sorted(tags, key=lambda tag: tag[0]):
        count = len(values) // (2 if kind == RATIONAL else 1)
        packed = struct.pack(f"<{len(values)}{_TIFF_TYPES[kind]}", *values)
        if len(packed) > 4:
            packed, value = b"", packed
            offset = struct.pack("<I", TIFF_DATA + len(data))
            data += value + b"\0" * (len(value) % 2)
        else:
            offset = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", number, kind, count) + offset
    start = TIFF_DATA + len(data)
    return (
        b"II*\0" + struct.pack("<I", start) + data + struct.pack("<H", len(tags)) + entries
        + struct.pack("<I", following)
    )  # fmt: skip


def tiff_picture(
    width: int,
    height: int,
    data: bytes,
    *extra: Tag,
    depth: Sequence[int] = (8,),
    compression: int = 1,
    photometric: int = 1,
) -> bytes:
    """Return a TIFF of one strip. Tags in `extra` replace the default tags of the same number."""
    own: list[Tag] = [
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, depth),
        (259, SHORT, [compression]),
        (262, SHORT, [photometric]),
        (273, LONG, [TIFF_DATA]),
        (277, SHORT, [len(depth)]),
        (278, LONG, [height]),
        (279, LONG, [len(data)]),
    ]
    replacing = {tag[0] for tag in extra}
    return tiff(*(tag for tag in own if tag[0] not in replacing), *extra, data=data)


def tiff_tiled(
    size: tuple[int, int], tile: tuple[int, int], data: bytes, count: int, *extra: Tag, compression: int = 1
) -> bytes:
    """Return a gray TIFF of `count` tiles of the same bytes. Tags in `extra` replace the default ones."""
    own: list[Tag] = [
        (256, LONG, [size[0]]),
        (257, LONG, [size[1]]),
        (258, SHORT, [8]),
        (259, SHORT, [compression]),
        (262, SHORT, [1]),
        (277, SHORT, [1]),
        (322, LONG, [tile[0]]),
        (323, LONG, [tile[1]]),
        (324, LONG, [TIFF_DATA] * count),
        (325, LONG, [len(data)] * count),
    ]
    replacing = {tag[0] for tag in extra}
    return tiff(*(tag for tag in own if tag[0] not in replacing), *extra, data=data)


def bmp(
    width: int, height: int, depth: int, pixels: bytes, *, compression: int = 0, palette: bytes = b"", colors: int = 0
) -> bytes:
    """Return a BMP with a Windows 3 header. A negative height means that rows are stored top-down."""
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, depth, compression, len(pixels), 0, 0, colors, 0)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


def riff_chunk(kind: bytes, body: bytes, length: int | None = None) -> bytes:
    """Return one RIFF chunk, padded to an even length."""
    return kind + struct.pack("<I", len(body) if length is None else length) + body + b"\0" * (len(body) % 2)


def webp(*chunks: bytes) -> bytes:
    """Return a WebP with these chunks."""
    return riff_chunk(b"RIFF", b"WEBP" + b"".join(chunks))


def webp_canvas(width: int, height: int, flags: int = 0) -> bytes:
    """Return the VP8X chunk. Flag 2 means animation, 8 EXIF, 0x10 alpha, 0x20 ICC profile."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff_chunk(b"VP8X", struct.pack("<I", flags) + size)


def webp_frame(width: int, height: int, image: bytes, left: int = 0, top: int = 0) -> bytes:
    """Return an ANMF chunk that contains the chunks of one still image."""
    numbers = (left // 2, top // 2, width - 1, height - 1, 100)
    return riff_chunk(b"ANMF", b"".join(number.to_bytes(3, "little") for number in numbers) + b"\0" + image)


def webp_lossless(width: int, height: int, fields: Iterable[tuple[int, int]], version: int = 0) -> bytes:
    """Return a VP8L chunk: the header, then these bit fields."""
    header = [(0x2F, 8), (width - 1, 14), (height - 1, 14), (0, 1), (version, 3)]
    return riff_chunk(b"VP8L", bits([*header, *fields]))


# No transform, no color cache, no further groups. Each of the five prefix codes has one symbol, which takes no bits.
_ZERO = [(1, 1), (0, 1), (0, 1), (0, 1)]
WEBP_BLACK = [(0, 1)] * 3 + _ZERO * 3 + [(1, 1), (0, 1), (1, 1), (255, 8)] + _ZERO


def box(kind: bytes, *bodies: bytes, size: int | None = None) -> bytes:
    """Return an ISO base media box. HEIF and AVIF files consist of these."""
    body = b"".join(bodies)
    return struct.pack(">I", len(body) + 8 if size is None else size) + kind + body


def full_box(kind: bytes, *bodies: bytes, version: int = 0, flags: int = 0) -> bytes:
    """Return an ISO base media box with a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *bodies)
