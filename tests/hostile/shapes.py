"""Builds families of image files for the corpus, format by format."""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from PIL import Image
from pillow_heif import register_heif_opener  # type: ignore[import-untyped,unused-ignore]

from tests.hostile import builders as b

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

register_heif_opener()

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return an image whose pixels all differ, so that a wrong pixel is noticed."""
    gray = Image.linear_gradient("L").resize(size)
    rgb = Image.merge(
        "RGB", [gray, gray.transpose(Image.Transpose.ROTATE_180), Image.radial_gradient("L").resize(size)]
    )
    if mode in {"I;16", "F", "I"}:
        return gray.convert(mode)
    return rgb if mode == "RGB" else rgb.convert("L").convert(mode) if mode in {"1", "LA"} else rgb.convert(mode)


@cache
def sample(file_format: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return a valid file of this format."""
    return b.encoded(picture(mode), file_format, **options)


def animation(file_format: str, frames: int, **options: Any) -> bytes:
    """Return an animation of 16x16 pixels with this number of frames."""
    stills = [Image.new("RGB", (16, 16), (index % 256, 9, 9)) for index in range(frames)]
    content = b.encoded(stills[0], file_format, save_all=True, append_images=stills[1:], **options)
    for header in (b"mvhd", b"tkhd", b"mdhd") if file_format == "AVIF" else ():
        content = b.overwritten(
            content, content.index(header) + 8, bytes(16)
        )  # zero creation times make the file reproducible
    return content


def cut(file_format: str, share: float = 0.5) -> bytes:
    """Return the first `share` of a valid file."""
    content = sample(file_format)
    return content[: int(len(content) * share)]


# PNG


def gray_png(*chunks: bytes, after: Sequence[bytes] = (), rows: bytes = b"\0\0") -> bytes:
    """Return a PNG of one gray pixel with additional chunks."""
    return b.png(b.png_header(1, 1, 8, 0), *chunks, rows=rows, after=after)


def png_bombs(kind: bytes, head: bytes, plain: bytes, count: int) -> bytes:
    """Return a PNG with `count` chunks, each of which decompresses to a megabyte or more."""
    return gray_png(b.png_chunk(kind, head + zlib.compress(plain * 1_048_576, 9)) * count)


def apng(frames: int, control: bytes = b"") -> bytes:
    """Return a PNG whose header states this number of frames."""
    return gray_png(b.png_chunk(b"acTL", struct.pack(">II", frames, 0)), control)


def apng_control(sequence: int, width: int) -> bytes:
    """Return a fcTL chunk."""
    return b.png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, 1, 0, 0, 1, 1, 0, 0))


def exif_png(exif: bytes) -> bytes:
    """Return a PNG with this EXIF block."""
    return b.replaced(sample("PNG"), b"\0\0\0\0IEND", b.png_chunk(b"eXIf", exif) + b"\0\0\0\0IEND")


# JPEG

DC_TABLE, AC_TABLE = b.jpeg_huffman(0, b"\1", b"\0"), b.jpeg_huffman(0x10, b"\1", b"\xe0")
GRAY_SCAN = b.jpeg_scan([1])


def gray_jpeg(*parts: bytes, frame: bytes | None = None, scan: bytes = GRAY_SCAN) -> bytes:
    """Return a JPEG without pixel data: segments, a frame of 64x64, and a scan header."""
    frame = frame or b.jpeg_frame(b.BASELINE, 64, 64)
    return b.jpeg(b.jpeg_quantization(), DC_TABLE, AC_TABLE, *parts, frame, scan)


def inserted(*segments: bytes) -> bytes:
    """Return a valid JPEG with these segments inserted at the start."""
    content = sample("JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def progressive(scans: int, size: tuple[int, int] = (64, 64), marker: int = b.PROGRESSIVE) -> bytes:
    """Return a progressive JPEG in which each scan after the first two refines the whole image without changing it.

    Code 0 with a 14-bit length means that the next 32,767 blocks are empty in this scan.
    """
    codes = "0".ljust(15, "1") * (size[0] * size[1] // 64 // 32_767 + 1)
    codes += "1" * (-len(codes) % 8)
    nothing = int(codes, 2).to_bytes(len(codes) // 8, "big").replace(b"\xff", b"\xff\0")
    refinements = (b.jpeg_scan([1], 1, 63, 0x10) + nothing) * (scans - 2)
    first = b.jpeg_scan([1], 0, 0, 1) + b.jpeg_scan([1], 1, 63, 1)
    frame = b.jpeg_frame(marker, *size)
    return b.jpeg(b.jpeg_quantization(), DC_TABLE, AC_TABLE, frame, first, refinements)


def mpo(pictures: int) -> bytes:
    """Return a JPEG whose MPF index lists this number of images, although the file contains only the first."""
    entry = struct.pack("<LLLHH", 0, 100, 0, 0, 0)
    index = struct.pack("<HHLLHHLL", 0xB001, 4, 1, pictures, 0xB002, 7, 16 * pictures, 38)
    return inserted(b.jpeg_segment(0xE2, b"MPF\0II*\0\x08\0\0\0\2\0" + index + bytes(4) + entry * pictures))


# GIF, TIFF, BMP, WebP


def gif(*blocks: bytes, size: tuple[int, int] = (2, 2), image: bytes | None = None) -> bytes:
    """Return a GIF with these blocks before the image."""
    return (
        b.gif_header(*size)
        + b"".join(blocks)
        + (b.gif_image(2, 2, b.gif_codes(bytes(4))) if image is None else image)
        + b";"
    )


def strips(count: int, size: int = 1536) -> bytes:
    """Return a bitonal TIFF whose directory lists the same strip `count` times."""
    data = bytes(size * size // 16)
    own: list[b.Tag] = [(273, b.LONG, [b.TIFF_DATA] * count), (278, b.LONG, [size // 2])]
    return b.tiff_picture(size, size, data, *own, depth=(1,))


def tiles(data: bytes, height: int, compression: int) -> bytes:
    """Return a TIFF of 49 million pixels with 1,024 tiles of the same data, each much higher than the image."""
    return b.tiff_tiled((16_384, 3000), (16, height), data, 1024, compression=compression)


def big_tiff(*entries: tuple[int, int, int, int], repeats: int = 1) -> bytes:
    """Return a BigTIFF of one pixel with additional tags. The last of them is repeated."""
    own = [
        (256, 4, 1, 1),
        (257, 4, 1, 1),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (278, 4, 1, 1),
        (279, 4, 1, 1),
    ]
    tags = [struct.pack("<HHQQ", *entry) for entry in [*own, *entries]]
    tags += tags[-1:] * (repeats - 1)
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(tags)) + b"".join(tags) + bytes(8)


def rle(codes: bytes, size: tuple[int, int] = (16, 4), depth: int = 8) -> bytes:
    """Return a BMP with run-length encoded pixels."""
    palette = b"".join(bytes([index, 255 - index, index // 2, 0]) for index in range(1 << depth))
    return b.bmp(*size, depth, codes, compression=1 if depth == 8 else 2, palette=palette)


def bmp_header(offset: int, new: bytes) -> bytes:
    """Return a valid BMP whose header has the bytes at `offset` replaced."""
    return b.overwritten(sample("BMP"), offset, new)


STILL = b.webp_lossless(16, 16, b.WEBP_BLACK)


def webp_animation(size: tuple[int, int], *frames: bytes) -> bytes:
    """Return an animated WebP."""
    return b.webp(b.webp_canvas(*size, 2), b.riff_chunk(b"ANIM", bytes(6)), *frames)


def prefix_code(symbol: int) -> bytes:
    """Return a lossless WebP whose 280 green codes all have one length: an invalid table (CVE-2023-4863)."""
    order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    lengths = [(int(entry == symbol), 3) for entry in order]
    return b.webp(b.webp_lossless(16, 16, [*[(0, 1)] * 4, (15, 4), *lengths, (0, 1), *[(0, 8)] * 500]))


# AVIF and HEIC


def ispe(width: int, height: int) -> bytes:
    """Return the property that states the size of an image."""
    return b.full_box(b"ispe", struct.pack(">II", width, height))


def resized(file_format: str, width: int, height: int) -> bytes:
    """Return a file whose container states another size than its image has."""
    return b.replaced(sample(file_format), ispe(64, 64), ispe(width, height))


def box_of(content: bytes, kind: bytes) -> bytes:
    """Return the first box of this kind."""
    start = content.index(kind) - 4
    return content[start : start + struct.unpack_from(">I", content, start)[0]]


def heic(derived: bytes, body: bytes, references: Sequence[int]) -> bytes:
    """Return a HEIC whose image is derived (grid, overlay or identity) from item 1, an image of 64x64 pixels."""
    sound = sample("HEIF")
    data = box_of(sound, b"mdat")[8:]
    properties = box_of(sound, b"hvcC") + ispe(64, 64)
    items = b"".join(
        b.full_box(b"infe", struct.pack(">HH", number, 0), kind, b"\0", version=2)
        for number, kind in ((1, b"hvc1"), (2, derived))
    )

    def head(start: int) -> bytes:
        places = struct.pack(">HHHII", 1, 0, 1, start, len(data))
        places += struct.pack(">HHHII", 2, 0, 1, start + len(data), len(body))
        links = struct.pack(f">HH{len(references)}H", 2, len(references), *references)
        return b.box(b"ftyp", b"heic", bytes(4), b"mif1heic") + b.full_box(
            b"meta",
            b.full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            b.full_box(b"pitm", struct.pack(">H", 2)),
            b.full_box(b"iloc", b"\x44\0\0\2", places),
            b.full_box(b"iinf", b"\0\2", items),
            b.full_box(b"iref", b.box(b"dimg", links)),
            b.box(b"iprp", b.box(b"ipco", properties), b.full_box(b"ipma", b"\0\0\0\2\0\1\2\x81\2\0\2\1\2")),
        )

    return head(len(head(0)) + 8) + b.box(b"mdat", data, body)


def overlay(count: int, reference: int = 1) -> bytes:
    """Return a HEIC that overlays the same image `count` times."""
    return heic(b"iovl", bytes(8) + b"\xff\xff" + struct.pack(">HH", 64, 64) + bytes(4 * count), [reference] * count)


def text(content: str) -> Callable[[], bytes]:
    """Return a function that returns this text."""
    return content.encode


def saved(file_format: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    """Return a function that returns a valid file of this format."""
    return partial(sample, file_format, mode, **options)
