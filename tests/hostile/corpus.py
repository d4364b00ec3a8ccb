"""Image files in the shapes of known attacks and bugs, made in code, each with the code that its job must end with.

A file that starts like one of the eight formats and cannot be decoded is `corrupt_image`, also where Pillow itself
says that it cannot identify it; `unsupported_format` is what starts like none of them.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import struct
import zlib
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from PIL import Image
from pillow_heif import register_heif_opener  # type: ignore[import-untyped,unused-ignore]

from tests.hostile import builders as b

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

register_heif_opener()

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")


@dataclass(frozen=True)
class Specimen:
    """One file, and how its job must end.

    Attributes:
        name: What the file is.
        build: Returns the file, the same one each time.
        code: The code of the failed job; `done` where the file must be decoded.
    """

    name: str
    build: Callable[[], bytes]
    code: str


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return a picture that is different everywhere, so that a wrong pixel shows."""
    grey = Image.linear_gradient("L").resize(size)
    rgb = Image.merge(
        "RGB", [grey, grey.transpose(Image.Transpose.ROTATE_180), Image.radial_gradient("L").resize(size)]
    )
    if mode in {"I;16", "F", "I"}:
        return grey.convert(mode)
    return rgb if mode == "RGB" else rgb.convert("L").convert(mode) if mode in {"1", "LA"} else rgb.convert(mode)


@cache
def sample(file_format: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return a sound file of this format."""
    return b.encoded(picture(mode), file_format, **options)


def animation(file_format: str, frames: int, **options: Any) -> bytes:
    """Return so many frames of 16x16."""
    stills = [Image.new("RGB", (16, 16), (index % 256, 9, 9)) for index in range(frames)]
    return b.encoded(stills[0], file_format, save_all=True, append_images=stills[1:], **options)


def cut(file_format: str, share: float = 0.5) -> bytes:
    """Return the first part of a sound file."""
    content = sample(file_format)
    return content[: int(len(content) * share)]


# PNG


def grey_png(*chunks: bytes, after: Sequence[bytes] = (), rows: bytes = b"\0\0") -> bytes:
    """Return a PNG of one grey pixel, with further chunks."""
    return b.png(b.png_header(1, 1, 8, 0), *chunks, rows=rows, after=after)


def png_bombs(kind: bytes, head: bytes, plain: bytes, count: int) -> bytes:
    """Return a PNG with so many chunks of compressed data."""
    return grey_png(b.png_chunk(kind, head + zlib.compress(plain * 1_048_576, 9)) * count)


def apng(frames: int, control: bytes = b"") -> bytes:
    """Return a PNG that says it is an animation of so many frames."""
    return grey_png(b.png_chunk(b"acTL", struct.pack(">II", frames, 0)), control)


def apng_control(sequence: int, width: int) -> bytes:
    """Return a fcTL chunk."""
    return b.png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, width, 1, 0, 0, 1, 1, 0, 0))


def exif_png(exif: bytes) -> bytes:
    """Return a PNG with this EXIF block."""
    return b.replaced(sample("PNG"), b"\0\0\0\0IEND", b.png_chunk(b"eXIf", exif) + b"\0\0\0\0IEND")


# JPEG

DC_TABLE, AC_TABLE = b.jpeg_huffman(0, b"\1", b"\0"), b.jpeg_huffman(0x10, b"\1", b"\xe0")
GREY_SCAN = b.jpeg_scan([1])


def grey_jpeg(*parts: bytes, frame: bytes | None = None, scan: bytes = GREY_SCAN) -> bytes:
    """Return a JPEG without picture data: segments, a frame of 64x64, a scan."""
    frame = frame or b.jpeg_frame(b.BASELINE, 64, 64)
    return b.jpeg(b.jpeg_quantization(), DC_TABLE, AC_TABLE, *parts, frame, scan)


def inserted(*segments: bytes) -> bytes:
    """Return a sound JPEG with these segments in front."""
    content = sample("JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def progressive(scans: int, size: tuple[int, int] = (64, 64), marker: int = b.PROGRESSIVE) -> bytes:
    """Return a progressive JPEG whose scans after the first each correct all of the picture by nothing.

    Code 0 with 14 bits of length says that the next 32,767 blocks have nothing in this scan.
    """
    codes = "0".ljust(15, "1") * (size[0] * size[1] // 64 // 32_767 + 1)
    codes += "1" * (-len(codes) % 8)
    nothing = int(codes, 2).to_bytes(len(codes) // 8, "big").replace(b"\xff", b"\xff\0")
    refinements = (b.jpeg_scan([1], 1, 63, 0x10) + nothing) * (scans - 2)
    first = b.jpeg_scan([1], 0, 0, 1) + b.jpeg_scan([1], 1, 63, 1)
    frame = b.jpeg_frame(marker, *size)
    return b.jpeg(b.jpeg_quantization(), DC_TABLE, AC_TABLE, frame, first, refinements)


def mpo(pictures: int) -> bytes:
    """Return a JPEG with an index of so many pictures, of which only the first is there."""
    entry = struct.pack("<LLLHH", 0, 100, 0, 0, 0)
    index = struct.pack("<HHLLHHLL", 0xB001, 4, 1, pictures, 0xB002, 7, 16 * pictures, 38)
    return inserted(b.jpeg_segment(0xE2, b"MPF\0II*\0\x08\0\0\0\2\0" + index + bytes(4) + entry * pictures))


# GIF, TIFF, BMP, WebP


def gif(*blocks: bytes, size: tuple[int, int] = (2, 2), image: bytes | None = None) -> bytes:
    """Return a GIF: blocks, an image."""
    return (
        b.gif_header(*size)
        + b"".join(blocks)
        + (b.gif_image(2, 2, b.gif_codes(bytes(4))) if image is None else image)
        + b";"
    )


def strips(count: int, size: int = 1536) -> bytes:
    """Return a bitonal TIFF that has its one strip so many times, one after the other over the whole picture."""
    data = bytes(size * size // 16)
    own: list[b.Tag] = [(273, b.LONG, [b.TIFF_DATA] * count), (278, b.LONG, [size // 2])]
    return b.tiff_picture(size, size, data, *own, depth=(1,))


def tiles(data: bytes, height: int, compression: int) -> bytes:
    """Return a TIFF of 49 million pixels in 1,024 tiles, each far higher than the picture, all the same bytes."""
    return b.tiff_tiled((16_384, 3000), (16, height), data, 1024, compression=compression)


def big_tiff(*entries: tuple[int, int, int, int], repeats: int = 1) -> bytes:
    """Return a BigTIFF of one pixel, with further tags, the last of them repeated."""
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
    """Return a BMP of run-length codes."""
    palette = b"".join(bytes([index, 255 - index, index // 2, 0]) for index in range(1 << depth))
    return b.bmp(*size, depth, codes, compression=1 if depth == 8 else 2, palette=palette)


def bmp_header(offset: int, new: bytes) -> bytes:
    """Return a BMP with other bytes in its header."""
    return b.overwritten(sample("BMP"), offset, new)


STILL = b.webp_lossless(16, 16, b.WEBP_BLACK)


def webp_animation(size: tuple[int, int], *frames: bytes) -> bytes:
    """Return an animated WebP."""
    return b.webp(b.webp_canvas(*size, 2), b.riff_chunk(b"ANIM", bytes(6)), *frames)


def prefix_code(symbol: int) -> bytes:
    """Return a lossless WebP whose 280 green codes all have one length: a table that cannot be (CVE-2023-4863)."""
    order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    lengths = [(int(entry == symbol), 3) for entry in order]
    return b.webp(b.webp_lossless(16, 16, [*[(0, 1)] * 4, (15, 4), *lengths, (0, 1), *[(0, 8)] * 500]))


# AVIF and HEIC


def ispe(width: int, height: int) -> bytes:
    """Return the property that says how large a picture is."""
    return b.full_box(b"ispe", struct.pack(">II", width, height))


def resized(file_format: str, width: int, height: int) -> bytes:
    """Return a file whose container says another size than the picture in it has."""
    return b.replaced(sample(file_format), ispe(64, 64), ispe(width, height))


def box_of(content: bytes, kind: bytes) -> bytes:
    """Return the first box of this kind."""
    start = content.index(kind) - 4
    return content[start : start + struct.unpack_from(">I", content, start)[0]]


def heic(derived: bytes, body: bytes, references: Sequence[int]) -> bytes:
    """Return a HEIC whose picture is derived (as grid, overlay, identity) from item 1, which is a picture of 64x64."""
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
    """Return a HEIC that lays the same picture over itself so many times."""
    return heic(b"iovl", bytes(8) + b"\xff\xff" + struct.pack(">HH", 64, 64) + bytes(4 * count), [reference] * count)


def text(content: str) -> Callable[[], bytes]:
    """Return what returns this text."""
    return content.encode


def saved(file_format: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    """Return what returns a sound file of this format."""
    return partial(sample, file_format, mode, **options)


_UNSUPPORTED: dict[str, Callable[[], bytes]] = {
    "one byte": lambda: b"\x89",
    "text": text("hello"),
    "random bytes": lambda: hashlib.shake_256(b"1").digest(4096),
    "zeros": lambda: bytes(4096),
    "HTML": text("<!DOCTYPE html><html><script>alert(1)</script></html>"),
    "SVG that reads a file": text(
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        '<svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/"/><text>&x;</text></svg>'
    ),
    "SVG with a billion laughs": text(
        '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>'
    ),
    "SVG, compressed": lambda: gzip.compress(b"<svg xmlns='http://www.w3.org/2000/svg'/>", mtime=0),
    "MVG that starts a command (CVE-2016-3714)": text(
        "push graphic-context\nviewbox 0 0 9 9\nfill 'url(https://a.b/\"|ls \"-la)'\npop graphic-context"
    ),
    "MSL script": text('<?xml version="1.0"?><image><read filename="/etc/passwd"/></image>'),
    "PDF": text("%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"),
    "PostScript (CVE-2018-16509)": text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file"),
    "EPS": saved("EPS"),
    "EPS behind a DOS header": lambda: struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, 99, 0, 0, 0, 0, 0xFFFF) + sample("EPS"),
    "ZIP": lambda: b"PK\3\4" + bytes(64),
    "gzip bomb": lambda: gzip.compress(bytes(10_000_000), mtime=0),
    "tar": lambda: b"a.png".ljust(257, b"\0") + b"ustar\x0000" + bytes(512),
    "ELF": lambda: b"\x7fELF\2\1\1" + bytes(64),
    "EXE": lambda: b"MZ" + bytes(64),
    "shell script": text("#!/bin/sh\nid\n"),
    "PSD": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 60_000, 60_000, 8, 3) + bytes(64),
    "FITS bomb": lambda: b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    "ICO": saved("ICO"),
    "ICO around a PNG bomb": lambda: (
        b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 99, 22) + b.png(b.png_header(60_000, 60_000))
    ),
    "ICNS": saved("ICNS"),
    "PCX": saved("PCX"),
    "TGA": saved("TGA"),
    "PPM": saved("PPM"),
    "PPM with a huge size": text("P6 99999999999 99999999999 255\n"),
    "DDS": saved("DDS"),
    "SGI": saved("SGI"),
    "IM": saved("IM"),
    "XBM": saved("XBM", "1"),
    "JPEG 2000": saved("JPEG2000"),
    "JPEG 2000 codestream": saved("JPEG2000", no_jp2=True),
    "JPEG XL": lambda: b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64),
    "QOI": saved("QOI"),
    "WMF": lambda: b"\xd7\xcd\xc6\x9a\0\0" + bytes(64),
    "EMF": lambda: b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(64),
    "FLI": lambda: struct.pack("<IHHHHHH", 128, 0xAF11, 1, 9, 9, 8, 3) + bytes(112),
    "MP4": lambda: b.box(b"ftyp", b"isom", bytes(4), b"isomavc1") + b.box(b"moov"),
    "WAV": lambda: b.riff_chunk(b"RIFF", b"WAVE" + bytes(64)),
    "MNG": lambda: b"\x8aMNG\r\n\x1a\n" + bytes(64),
    "GIF of no version": lambda: b"GIF88a" + sample("GIF")[6:],
    "PNG behind a line break": lambda: b"\n" + sample("PNG"),
    "PNG whose line breaks were converted": lambda: sample("PNG").replace(b"\r\n", b"\n", 1),
    "JPEG behind HTML": lambda: b"<html>" + sample("JPEG"),
    "JPEG inside a PDF": lambda: b"%PDF-1.4\nstream\n" + sample("JPEG"),
    "PNG behind a ZIP header": lambda: b"PK\3\4" + sample("PNG"),
    "data URL": text("data:image/png;base64,iVBORw0KGgo="),
}

_TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "PNG of 60000x60000 pixels": lambda: b.png(b.png_header(60_000, 60_000), rows=b"\0"),
    "PNG of 2147483647x2147483647 pixels": lambda: b.png(b.png_header(2**31 - 1, 2**31 - 1), rows=b"\0"),
    "PNG of 4294967295x4294967295 pixels": lambda: b.png(b.png_header(2**32 - 1, 2**32 - 1), rows=b"\0"),
    "PNG of 7072x7072 pixels, just more than allowed": lambda: b.png(b.png_header(7072, 7072, 1, 0), rows=bytes(99)),
    "PNG of 16385x1, one side too long": lambda: b.png(b.png_header(16_385, 1, 8, 0), rows=bytes(16_386)),
    "PNG of 1x16385, one side too long": lambda: b.png(b.png_header(1, 16_385, 8, 0), rows=bytes(2 * 16_385)),
    "PNG of 4294967295x1, one side too long": lambda: b.png(b.png_header(2**32 - 1, 1), rows=b"\0"),
    "JPEG of 65500x65500 pixels": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 65_500, 65_500)),
    "progressive JPEG of 65500x65500 pixels": lambda: progressive(2, (65_500, 65_500)),
    "JPEG of 16385x8, one side too long": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 16_385, 8)),
    "GIF of 65535x65535 pixels": lambda: gif(size=(65_535, 65_535)),
    "GIF whose frame is larger than its screen": lambda: gif(image=b.gif_image(65_535, 65_535, b"\x44\1")),
    "GIF whose frame lies far out": lambda: gif(image=b.gif_image(65_535, 9, b"\x44\1", left=65_535, top=65_500)),
    "GIF of 1x65535, one side too long": lambda: gif(size=(1, 65_535)),
    "TIFF of 60000x60000 pixels": lambda: b.tiff_picture(60_000, 60_000, bytes(64)),
    "TIFF of 4294967295x4294967295 pixels": lambda: b.tiff_picture(2**32 - 1, 2**32 - 1, bytes(64)),
    "TIFF of 60000x60000 pixels, compressed": lambda: b.tiff_picture(60_000, 60_000, bytes(64), compression=8),
    "TIFF of 20000x1 turned, one side too long": lambda: b.tiff_picture(20_000, 1, bytes(20_000), (274, b.SHORT, [6])),
    "BMP of 30000x30000 pixels": lambda: b.bmp(30_000, 30_000, 24, bytes(64)),
    "BMP of -1x-1 pixels": lambda: bmp_header(18, b"\xff" * 8),
    "BMP of 2147483648 rows": lambda: bmp_header(22, b"\0\0\0\x80"),
    "BMP of run lengths, 60000x60000 pixels": lambda: rle(b"\0\1", (60_000, 60_000)),
    "WebP of 16384x16384 pixels": lambda: webp_animation((16_384, 16_384), b.webp_frame(16, 16, STILL)),
    "WebP of 9000x9000 pixels": lambda: webp_animation((9000, 9000), b.webp_frame(16, 16, STILL)),
    "lossless WebP of 16384x16384 pixels": lambda: b.webp(b.webp_lossless(16_384, 16_384, b.WEBP_BLACK)),
    "WebP of 16777216x1, one side too long": lambda: webp_animation(
        (1 << 24, 1), b.webp_frame(16, 1, b.webp_lossless(16, 1, b.WEBP_BLACK))
    ),
    "AVIF of 16384x16384 pixels": lambda: resized("AVIF", 16_384, 16_384),
    "AVIF of 20000x9, one side too long": lambda: resized("AVIF", 20_000, 9),
    "HEIC of 60000x60000 pixels": lambda: resized("HEIF", 60_000, 60_000),
    "HEIC of 16384x16384 pixels": lambda: resized("HEIF", 16_384, 16_384),
    "HEIC of 20000x9, one side too long": lambda: resized("HEIF", 20_000, 9),
}

_TOO_MANY_SCANS: dict[str, Callable[[], bytes]] = {
    "JPEG of 101 scans": lambda: progressive(101),
    "JPEG of 20000 scans": lambda: progressive(20_000),
    "JPEG of 49 million pixels in 400 scans": lambda: progressive(400, (7000, 7000)),
    "arithmetic-coded JPEG of 400 scans": lambda: progressive(400, marker=b.ARITHMETIC_PROGRESSIVE),
}

_TOO_MANY_FRAMES: dict[str, Callable[[], bytes]] = {
    "PNG of 1001 frames": lambda: apng(1001),
    "PNG of 2147483648 frames": lambda: apng(2**31),
    "WebP of 1001 frames": lambda: webp_animation((16, 16), b.webp_frame(16, 16, STILL) * 1001),
    "WebP of 100000 frames": lambda: webp_animation((16, 16), b.webp_frame(16, 16, STILL) * 100_000),
    "AVIF of 1001 frames": lambda: animation("AVIF", 1001, speed=10),
    "JPEG with an index of 4000 pictures": lambda: mpo(4000),
}

_CORRUPT: dict[str, Callable[[], bytes]] = {
    **{f"half a {file_format}": partial(cut, file_format) for file_format in FORMATS},
    **{f"nine tenths of a {file_format}": partial(cut, file_format, 0.9) for file_format in FORMATS},
    "signature of a PNG": lambda: b.PNG_MAGIC,
    "first marker of a JPEG": lambda: b"\xff\xd8\xff\xe0",
    "signature of a GIF": lambda: b"GIF89a",
    "header of a TIFF": lambda: b"II*\0\x08\0\0\0",
    "header of a WebP": lambda: sample("WEBP")[:20],
    "brand of an AVIF": lambda: b.box(b"ftyp", b"avif", bytes(4), b"mif1"),
    "brand of a HEIC": lambda: b.box(b"ftyp", b"heic", bytes(4), b"mif1"),
    "text that starts like a BMP": text("BMW builds cars and motorcycles in Bavaria, and has done so for long."),
    # PNG
    "PNG of 0x0 pixels": lambda: b.png(b.png_header(0, 0), rows=b"\0"),
    "PNG with a wrong checksum": lambda: b.png(b.png_chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\0\0\0\0", 1), rows=b"\0\0"),
    "PNG with a short header": lambda: b.png(b.png_chunk(b"IHDR", bytes(5)), rows=b"\0\0"),
    "PNG without a header": lambda: b.png(b"", rows=b"\0\0"),
    "PNG without data": lambda: b.png(b.png_header(9, 9)),
    "PNG of 3 bits a channel": lambda: b.png(b.png_header(9, 9, 3), rows=bytes(999)),
    "PNG of colour type 5": lambda: b.png(b.png_header(9, 9, 8, 5), rows=bytes(999)),
    "PNG with too few rows": lambda: b.png(b.png_header(99, 99), rows=bytes(999)),
    "PNG with unknown row filters": lambda: b.png(b.png_header(9, 9, 8, 0), rows=b"\x09" * 99),
    "PNG with data that is not compressed": lambda: b.png(b.png_header(9, 9), b.png_chunk(b"IDAT", b"garbage" * 9)),
    "PNG without its palette": lambda: b.png(b.png_header(9, 9, 8, 3), rows=bytes(90)),
    "PNG with a palette of 4096 colours": lambda: b.png(b.png_header(9, 9, 8, 3), b.png_chunk(b"PLTE", bytes(12_288))),
    "PNG with a chunk of 4294967295 bytes": lambda: b.PNG_MAGIC + b.png_header(9, 9) + b"\xff\xff\xff\xfftEXt",
    "PNG with a zTXt bomb": lambda: png_bombs(b"zTXt", b"a\0\0", b"aa", 1),
    "PNG with an iTXt bomb": lambda: png_bombs(b"iTXt", b"a\0\1\0\0\0", b"aa", 1),
    "PNG with an iCCP bomb": lambda: png_bombs(b"iCCP", b"a\0\0", b"aa", 1),
    "PNG with 70 MiB of text": lambda: png_bombs(b"zTXt", b"a\0\0", b"a", 70),
    "PNG with a short acTL": lambda: grey_png(b.png_chunk(b"acTL", b"\0")),
    "PNG whose frame lies outside": lambda: apng(2, apng_control(0, 9)),
    "PNG whose frames are out of order": lambda: apng(2, apng_control(7, 1)),
    # JPEG
    "JPEG without a table for its numbers": lambda: b.jpeg(DC_TABLE, AC_TABLE, b.jpeg_frame(0xC0, 9, 9), GREY_SCAN),
    "JPEG with Huffman codes that overflow": lambda: grey_jpeg(b.jpeg_huffman(0, b"\xff" * 16, bytes(255))),
    "JPEG with a short quantization table": lambda: grey_jpeg(b.jpeg_quantization(0, bytes(9))),
    "JPEG of quantization precision 15": lambda: grey_jpeg(b.jpeg_quantization(0xF0, bytes(64))),
    "JPEG of 0x0 pixels": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 0, 0)),
    "JPEG of 2 channels": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 9, 9, [0x11] * 2)),
    "JPEG of 12 bits": lambda: grey_jpeg(frame=b.jpeg_frame(b.EXTENDED, 9, 9, bits=12)),
    "JPEG sampled 15 times": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 9, 9, [0xFF])),
    "JPEG sampled 0 times": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 9, 9, [0])),
    "JPEG with two frames of different size": lambda: grey_jpeg(b.jpeg_frame(b.BASELINE, 65_500, 65_500)),
    "JPEG without losses, cut short": lambda: grey_jpeg(frame=b.jpeg_frame(b.LOSSLESS, 9, 9)),
    "JPEG of hierarchy": lambda: grey_jpeg(frame=b.jpeg_frame(0xC5, 9, 9)),
    "JPEG whose scan is of channel 9": lambda: grey_jpeg(scan=b.jpeg_scan([9])),
    "JPEG whose scan is of no channel": lambda: grey_jpeg(scan=b.jpeg_scan([])),
    "JPEG whose scan is backwards": lambda: grey_jpeg(
        frame=b.jpeg_frame(b.PROGRESSIVE, 9, 9), scan=b.jpeg_scan([1], 63, 1)
    ),
    "JPEG with a segment past its end": lambda: inserted(b.jpeg_segment(0xFE, length=65_535)),
    # GIF
    "GIF of 0x0 pixels": lambda: gif(size=(0, 0), image=b.gif_image(0, 0, b"\x44\1")),
    "GIF without an image": lambda: gif(image=b""),
    "GIF that is one endless extension": lambda: gif(b"!\xfe" + b"\xff" * 9999, image=b""),
    "GIF with a code that is not there": lambda: gif(image=b.gif_image(2, 2, b.bits([(4, 3), (7, 3), (7, 3)]))),
    "GIF with codes of 13 bits": lambda: gif(image=b.gif_image(2, 2, b"\xff" * 99, minimum=12)),
    "GIF with codes of 255 bits": lambda: gif(image=b.gif_image(2, 2, b"\xff" * 99, minimum=255)),
    "GIF of 49 million pixels with 4 in it": lambda: gif(size=(7000, 7000), image=b.gif_image(7000, 7000, b"\x44\1")),
    "GIF cut short in its palette": lambda: sample("GIF")[:20],
    # TIFF
    "TIFF whose directory is past its end": lambda: b"II*\0\xff\xff\xff\x7f" + bytes(64),
    "TIFF whose directory is the header": lambda: b"II*\0\0\0\0\0" + bytes(64),
    "TIFF without a size": lambda: b.tiff((262, b.SHORT, [1])),
    "TIFF of 0x0 pixels": lambda: b.tiff_picture(0, 0, bytes(64)),
    "TIFF of text for a width": lambda: b.tiff_picture(9, 9, bytes(99), (256, b.ASCII, list(b"nine"))),
    "TIFF of float width": lambda: b.tiff_picture(9, 9, bytes(99), (256, b.FLOAT, [float("nan")])),
    "TIFF with 4294967295 channels": lambda: b.tiff_picture(9, 9, bytes(99), (277, b.LONG, [2**32 - 1])),
    "TIFF of 77 bits a channel": lambda: b.tiff_picture(9, 9, bytes(99), depth=(77,)),
    "TIFF of unknown compression": lambda: b.tiff_picture(9, 9, bytes(99), compression=9999),
    "TIFF whose strip is past its end": lambda: b.tiff_picture(9, 9, bytes(99), (273, b.LONG, [2**31])),
    "TIFF with tiles of 0x0": lambda: b.tiff_tiled((9, 9), (0, 0), bytes(99), 1),
    "TIFF with tiles of 0x0, compressed": lambda: b.tiff_tiled((9, 9), (0, 0), bytes(99), 1, compression=8),
    "TIFF with a tile of 2 GB around one pixel": lambda: b.tiff_tiled(
        (1, 1), (46_000, 46_000), b"abc", 1, compression=5
    ),
    "TIFF with a tile that overflows": lambda: b.tiff_tiled((9, 9), (2**31, 2**31), bytes(99), 1, compression=8),
    "TIFF with a size for its strip that overflows": lambda: b.tiff_picture(
        99, 99, bytes(99), (279, b.LONG, [2**32 - 1]), compression=5
    ),
    **{
        f"TIFF of garbage, {name}": partial(
            b.tiff_picture, 64, 64, b"\xa5garbage" * 64, compression=number, depth=depth
        )
        for number, name, depth in (
            (5, "LZW", (8,)),
            (6, "old JPEG", (8,)),
            (7, "JPEG", (8,)),
            (8, "deflate", (8,)),
            (34_925, "LZMA", (8,)),
            (34_676, "LogLuv", (16,)),
            (50_000, "Zstandard", (8,)),
            (50_001, "WebP", (8, 8, 8)),
        )
    },
    "TIFF around a JPEG of 2000 scans": lambda: b.tiff_picture(64, 64, progressive(2000), compression=7),
    "TIFF around a JPEG of another size": lambda: b.tiff_picture(64, 64, progressive(9, (9000, 9000)), compression=7),
    # BMP
    "BMP of 7 bits": lambda: bmp_header(28, b"\7\0"),
    "BMP of 65535 bits": lambda: bmp_header(28, b"\xff\xff"),
    "BMP with a header of 4 GB": lambda: bmp_header(14, b"\xff" * 4),
    "BMP with a header of 0 bytes": lambda: bmp_header(14, bytes(4)),
    "BMP around a JPEG": lambda: b.bmp(9, 9, 0, sample("JPEG"), compression=4),
    "BMP of absurd masks": lambda: b.bmp(9, 9, 32, b"\x0f" * 999, compression=3),
    "BMP of 100000 colours": lambda: b.bmp(9, 9, 8, bytes(999), colours=100_000),
    "BMP of 0x0 pixels": lambda: b.bmp(0, 0, 24, bytes(64)),
    "BMP whose pixels are past its end": lambda: bmp_header(10, b"\xff\xff\xff\x7f"),
    "BMP of 49 million pixels without one": lambda: b.bmp(7000, 7000, 24, b""),
    "BMP of run lengths that end early": lambda: rle(b"\5\1\0\1"),
    "BMP of run lengths that is cut short": lambda: rle(b"\0\xff\1\2"),
    # WebP
    "WebP that says it is longer": lambda: b.overwritten(sample("WEBP"), 4, b"\xf0\xff\xff\x7f"),
    "WebP that says it is shorter": lambda: b.overwritten(sample("WEBP"), 4, b"\x20\0\0\0"),
    "WebP with a prefix code of too many symbols": lambda: prefix_code(1),
    "WebP with a prefix code that is incomplete": lambda: prefix_code(15),
    "WebP of version 7": lambda: b.webp(b.webp_lossless(16, 16, b.WEBP_BLACK, version=7)),
    "WebP with a broken key frame": lambda: b.webp(b.riff_chunk(b"VP8 ", b"\x30\1\0\0\0\0" + bytes(64))),
    "WebP without a frame": lambda: webp_animation((16, 16)),
    "WebP whose frame lies outside": lambda: webp_animation((16, 16), b.webp_frame(16, 16, STILL, left=8)),
    "WebP whose chunk is 4 GB long": lambda: b.webp(
        b.webp_canvas(16, 16, 0x20), b.riff_chunk(b"ICCP", bytes(8), 2**32 - 1), STILL
    ),
    # AVIF and HEIC
    "AVIF of 0x0 pixels": lambda: resized("AVIF", 0, 0),
    "AVIF of 4294967295x4294967295 pixels": lambda: resized("AVIF", 2**32 - 1, 2**32 - 1),
    "AVIF whose data is past its end": lambda: b.replaced(
        sample("AVIF"), box_of(sample("AVIF"), b"iloc")[-8:], b"\x7f\xff\xff\xff\0\0\0\x40"
    ),
    "AVIF of zeros": lambda: sample("AVIF").split(b"mdat")[0] + b"mdat" + bytes(999),
    "AVIF without a codec": lambda: b.replaced(sample("AVIF"), b"av1C", b"free"),
    "AVIF with a box of 4 GB": lambda: sample("AVIF").replace(b"\0\0\0!hdlr", b"\xff\xff\xff\xffhdlr"),
    "HEIC of 0x0 pixels": lambda: resized("HEIF", 0, 0),
    "HEIC that says 1x1": lambda: resized("HEIF", 1, 1),
    "HEIC that says 7000x7000": lambda: resized("HEIF", 7000, 7000),
    "HEIC of zeros": lambda: sample("HEIF").split(b"mdat")[0] + b"mdat" + bytes(999),
    "HEIC without a codec": lambda: b.replaced(sample("HEIF"), b"hvcC", b"free"),
    "HEIC laid over itself for ever": lambda: overlay(1, reference=2),
    "HEIC that is itself": lambda: heic(b"iden", b"", [2]),
    "HEIC laid over itself 16000 times": lambda: overlay(16_000),
    "HEIC of 256x256 tiles": lambda: heic(b"grid", b"\0\0\xff\xff" + struct.pack(">HH", 16_384, 3000), [1] * 65_535),
    "HEIC of tiles of itself": lambda: heic(b"grid", bytes(4) + struct.pack(">HH", 64, 64), [2]),
}

_TOO_COSTLY: dict[str, Callable[[], bytes]] = {
    "PNG with 19000 colour profiles of 1 MiB": lambda: png_bombs(b"iCCP", b"a\0\0", b"a", 19_000),
    "PNG with 19000 nameless texts of 1 MiB": lambda: png_bombs(b"zTXt", b"\0\0", b"a", 19_000),
    "PNG with 19000 texts of 1 MiB that are no text": lambda: png_bombs(b"iTXt", b"a\0\1\0\0\0", b"\xff", 19_000),
    "JPEG with 500000 pieces of EXIF": lambda: inserted(b.jpeg_segment(0xE1, b"Exif\0\0" + bytes(10)) * 500_000),
    "TIFF with a bitonal strip 150000 times": lambda: strips(150_000),
    "TIFF with 4900000 strips": lambda: strips(4_900_000, 4),
    "TIFF with tiles far out, deflate": lambda: tiles(zlib.compress(bytes(16_000_000), 9), 1_000_000, 8),
    "TIFF with tiles far out, LZMA": lambda: tiles(lzma.compress(bytes(16_000_000), preset=0), 1_000_000, 34_925),
    "TIFF with tiles far out, JPEG": lambda: tiles(progressive(99, (16, 65_000)), 65_000, 7),
}

_SOUND: dict[str, Callable[[], bytes]] = {
    **{f"{file_format} as it should be": partial(sample, file_format) for file_format in FORMATS},
    # PNG
    **{f"PNG of mode {mode}": saved("PNG", mode) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")},
    "PNG with a transparent colour": saved("PNG", "P", transparency=3),
    "PNG of 1x1": grey_png,
    "PNG of 16 bits, interlaced, 1x1": lambda: b.png(b.png_header(1, 1, 16, 6, 1), rows=bytes(9)),
    "PNG of 49 million pixels in 7 KB": lambda: b.png(b.png_header(7000, 7000, 1, 0), rows=bytes(876 * 7000)),
    "PNG of 16384x3 pixels": lambda: b.png(b.png_header(16_384, 3, 8, 0), rows=bytes(16_385 * 3)),
    "PNG with a colour outside the palette": lambda: b.png(
        b.png_header(1, 1, 8, 3), b.png_chunk(b"PLTE", bytes(3)), rows=b"\0\xff"
    ),
    "PNG with 50000 unknown chunks": lambda: grey_png(b.png_chunk(b"aaAa") * 50_000),
    "PNG with 50000 empty pieces of data": lambda: grey_png(after=[b.png_chunk(b"IDAT") * 50_000]),
    "PNG with something behind it": lambda: sample("PNG") + b"<script>alert(1)</script>",
    "PNG without an end": lambda: sample("PNG")[:-12],
    "PNG with a broken colour profile": saved("PNG", icc_profile=b"garbage" * 9999),
    "PNG of 3 frames": lambda: animation("PNG", 3),
    "PNG that says it has 1000 frames": lambda: apng(1000, apng_control(0, 1)),
    "PNG that says it has no frame": lambda: apng(0),
    # JPEG
    "JPEG of grey": saved("JPEG", "L"),
    "JPEG of CMYK": saved("JPEG", "CMYK"),
    "JPEG of YCCK": lambda: b.replaced(sample("JPEG", "CMYK"), b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"),
    "JPEG with restarts": saved("JPEG", restart_marker_blocks=1),
    "JPEG, progressive": saved("JPEG", progressive=True),
    "JPEG of 100 scans": lambda: progressive(100),
    "JPEG of 49 million pixels in 20 scans": lambda: progressive(20, (7000, 7000)),
    "JPEG with 200 scan markers in a comment": lambda: inserted(b.jpeg_segment(0xFE, b.jpeg_scan([1]) * 200)),
    "JPEG with one of 200 scans behind it": lambda: sample("JPEG") + progressive(200),
    "JPEG, arithmetic-coded": lambda: grey_jpeg(frame=b.jpeg_frame(b.ARITHMETIC, 64, 64)),
    "JPEG of 49 million pixels without one": lambda: grey_jpeg(frame=b.jpeg_frame(b.BASELINE, 7000, 7000)),
    "JPEG with 100000 comments": lambda: inserted(b.jpeg_segment(0xFE) * 100_000),
    "JPEG with padding of 1 MB": lambda: inserted(b"\xff" * 1_000_000),
    "JPEG with a broken colour profile": saved("JPEG", icc_profile=b"garbage" * 99_999),
    "JPEG with pieces of a colour profile missing": lambda: inserted(b.jpeg_segment(0xE2, b"ICC_PROFILE\0\7\xff")),
    "JPEG with a segment of length 0": lambda: inserted(b.jpeg_segment(0xFE, length=0)),
    "JPEG with something behind it": lambda: sample("JPEG") + b"PK\3\4" + bytes(999),
    "JPEG without an end": lambda: sample("JPEG")[:-2],
    "JPEG with an index of 2 pictures": lambda: b.encoded(picture(), "MPO", save_all=True, append_images=[picture()]),
    "JPEG with a broken index of pictures": lambda: inserted(b.jpeg_segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff")),
    "JPEG with broken Photoshop blocks": lambda: inserted(
        b.jpeg_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0" * 99)
    ),
    **{
        f"JPEG with EXIF, {name}": partial(inserted, b.jpeg_segment(0xE1, b"Exif\0\0" + exif))
        for name, exif in (
            ("nothing", b""),
            ("garbage", b"garbage" * 99),
            ("orientation 6", b.tiff((274, b.SHORT, [6]))),
            ("orientation 99", b.tiff((274, b.SHORT, [99]))),
            ("orientation as text", b.tiff((274, b.ASCII, list(b"upright\0")))),
            ("orientation 3/0", b.tiff((274, b.RATIONAL, [3, 0]))),
            ("orientation not a number", b.tiff((274, b.FLOAT, [float("nan")]))),
            ("8000 orientations", b.tiff((274, b.RATIONAL, [3, 0] * 8000))),
            ("resolution not a number", b.tiff((282, b.FLOAT, [float("nan")]), (296, b.SHORT, [2]))),
            ("resolution 1/0", b.tiff((282, b.RATIONAL, [1, 0]), (296, b.SHORT, [2]))),
            ("directory past its end", b"II*\0\xff\xff\xff\xff"),
            ("directory that is its own next", b.tiff((274, b.SHORT, [1]), following=8)),
            ("4294967295 values", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0"),
            ("65535 tags that are not there", b"II*\0\x08\0\0\0\xff\xff"),
        )
    },
    # GIF
    "GIF, interlaced": saved("GIF", interlace=True),
    "GIF of 3 frames": lambda: animation("GIF", 3),
    "GIF of 5000 frames, which its header does not say": lambda: (
        gif()[:-1] + b.gif_image(2, 2, b.gif_codes(bytes(4))) * 5000 + b";"
    ),
    "GIF of 49 million pixels in 20 KB": lambda: gif(
        size=(7000, 7000), image=b.gif_image(7000, 7000, b.gif_run(49_000_000))
    ),
    "GIF of 1x1 around an image of 640x480": lambda: gif(size=(1, 1), image=b.gif_image(640, 480, b.gif_run(307_200))),
    "GIF without a palette": lambda: b.gif_header(2, 2, b"") + gif()[19:],
    "GIF whose end is missing": lambda: gif()[:-1],
    "GIF with 200000 comments": lambda: gif(b.gif_extension(0xFE, b"a") * 200_000),
    "GIF with a comment of 1 MB": lambda: gif(b.gif_extension(0xFE, bytes(1_000_000))),
    "GIF with a comment of 300000 pieces": lambda: gif(b.gif_extension(0xFE, bytes(300_000), 1)),
    # TIFF
    **{
        f"TIFF of mode {mode}": saved("TIFF", mode)
        for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F", "LAB")
    },
    **{
        f"TIFF of {how}": saved("TIFF", compression=how)
        for how in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")
    },
    "TIFF of group4": saved("TIFF", "1", compression="group4"),
    "TIFF of YCbCr": saved("TIFF", "YCbCr"),
    "TIFF of garbage, group 4": lambda: b.tiff_picture(64, 64, b"\xa5garbage" * 64, compression=4, depth=(1,)),
    "TIFF of 12 frames": lambda: animation("TIFF", 12),
    "TIFF of floats that are not numbers": lambda: b.tiff_picture(
        9, 9, struct.pack("<3f", float("nan"), float("inf"), -1e38) * 27, (339, b.SHORT, [3]), depth=(32,)
    ),
    "TIFF of negative numbers": lambda: b.tiff_picture(
        9, 9, struct.pack("<3i", -(2**31), -1, 2**31 - 1) * 27, (339, b.SHORT, [2]), depth=(32,)
    ),
    "TIFF turned by 90 degrees": lambda: b.tiff_picture(9, 5, bytes(45), (274, b.SHORT, [6])),
    "TIFF that is its own next": lambda: b.tiff_picture(9, 9, bytes(82))[:-4] + struct.pack("<I", 90),
    "TIFF that is its own child": lambda: b.tiff_picture(9, 9, bytes(82), (330, b.LONG, [90]), (34_665, b.LONG, [90])),
    "TIFF with a tile of 256 MB around one pixel": lambda: b.tiff_tiled(
        (1, 1), (16_000, 16_000), zlib.compress(bytes(256_000_000), 1), 1, compression=8
    ),
    "TIFF with a resolution of 200000 numbers": lambda: b.tiff_picture(
        1, 1, b"\0", (282, b.RATIONAL, [3, 7] * 200_000)
    ),
    "BigTIFF": big_tiff,
    "BigTIFF with 100000 tags": lambda: big_tiff((65_000, 99, 1, 1), repeats=100_000),
    "BigTIFF with 50000 tags past its end": lambda: big_tiff((65_000, 4, 10, 2**64 - 1), repeats=50_000),
    # BMP
    **{f"BMP of mode {mode}": saved("BMP", mode) for mode in ("1", "L", "P", "RGBA")},
    "BMP, top-down": lambda: b.bmp(16, -16, 24, bytes(range(256)) * 3),
    "BMP of 16 bits": lambda: b.bmp(16, 16, 16, bytes(range(256)) * 2),
    "BMP of OS/2": lambda: b"BM" + struct.pack("<IHHIIHHHH", 74, 0, 0, 26, 12, 4, 4, 1, 24) + bytes(48),
    "BMP of run lengths": lambda: rle(b"\x10\1\0\0" * 4 + b"\0\1"),
    "BMP of run lengths, 4 bits": lambda: rle(b"\x10\x12\0\0" * 4 + b"\0\1", depth=4),
    "BMP of run lengths past the row": lambda: rle(b"\xff\1\0\0" * 4 + b"\0\1"),
    "BMP of run lengths that jump far out": lambda: rle(b"\0\2\xff\xff\xff\1\0\1"),
    "BMP of 4 million pixels, a run of 1 in each row": lambda: rle(b"\1\1\0\0" * 250, (16_000, 250)),
    # WebP, AVIF, HEIC
    "WebP without losses": saved("WEBP", lossless=True),
    "WebP with alpha": saved("WEBP", "RGBA"),
    "WebP of 3 frames": lambda: animation("WEBP", 3),
    "WebP of 49 million pixels in 30 bytes": lambda: b.webp(b.webp_lossless(7000, 7000, b.WEBP_BLACK)),
    "WebP of 49 million pixels around 16x16": lambda: webp_animation((7000, 7000), b.webp_frame(16, 16, STILL)),
    "WebP with a broken colour profile and EXIF": saved("WEBP", icc_profile=b"garbage", exif=b"garbage"),
    "WebP whose frame says another size": lambda: webp_animation((16, 16), b.webp_frame(8, 8, STILL)),
    "WebP with something behind it": lambda: sample("WEBP") + b"PK\3\4",
    "WebP with 100000 unknown chunks": lambda: webp_animation(
        (16, 16), b.riff_chunk(b"abcd", b"") * 100_000, b.webp_frame(16, 16, STILL)
    ),
    "AVIF with alpha": saved("AVIF", "RGBA"),
    "AVIF of 3 frames": lambda: animation("AVIF", 3, speed=10),
    "AVIF that says 1x1": lambda: resized("AVIF", 1, 1),
    "AVIF that says 7000x7000": lambda: resized("AVIF", 7000, 7000),
    "HEIC with alpha": saved("HEIF", "RGBA"),
    "HEIC of 3 pictures": lambda: animation("HEIF", 3),
    "HEIC laid over itself 900 times": lambda: overlay(900),
}

SPECIMENS: tuple[Specimen, ...] = tuple(
    Specimen(name, build, code)
    for code, builds in (
        ("unsupported_format", _UNSUPPORTED),
        ("too_many_pixels", _TOO_LARGE),
        ("too_many_scans", _TOO_MANY_SCANS),
        ("too_many_frames", _TOO_MANY_FRAMES),
        ("corrupt_image", _CORRUPT),
        ("decode_too_costly", _TOO_COSTLY),
        ("done", _SOUND),
    )
    for name, build in builds.items()
)
