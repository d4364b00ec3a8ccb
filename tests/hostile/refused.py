"""Files that are refused: unsupported formats, too many pixels, frames or scans, and files that cost too much."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import struct
import zlib
from typing import TYPE_CHECKING

from tests.hostile import builders as b
from tests.hostile.shapes import (
    STILL,
    animation,
    apng,
    bmp_header,
    gif,
    gray_jpeg,
    inserted,
    progressive,
    resized,
    rle,
    sample,
    saved,
    strips,
    text,
    tiles,
    webp_animation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UNSUPPORTED: dict[str, Callable[[], bytes]] = {
    "JPEG of 12 bits": lambda: gray_jpeg(frame=b.jpeg_frame(b.EXTENDED, 9, 9, bits=12)),
    "lossless JPEG, truncated": lambda: gray_jpeg(frame=b.jpeg_frame(b.LOSSLESS, 9, 9)),
    "hierarchical JPEG": lambda: gray_jpeg(frame=b.jpeg_frame(0xC5, 9, 9)),
    "one byte": lambda: b"\x89",
    "text": text("hello"),
    "random bytes": lambda: hashlib.shake_256(b"1").digest(4096),
    "zeros": lambda: bytes(4096),
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
    "JPEG inside a PDF": lambda: b"%PDF-1.4\nstream\n" + sample("JPEG"),
    "PNG behind a ZIP header": lambda: b"PK\3\4" + sample("PNG"),
    "TIFF of unknown compression": lambda: b.tiff_picture(9, 9, bytes(99), compression=9999),
    "TIFF of JPEG 2000": lambda: b.tiff_picture(9, 9, sample("JPEG2000"), compression=34_712),
    "TIFF of a sensor's values": lambda: b.tiff_picture(9, 9, bytes(99), photometric=32_803),
    "TIFF of complex numbers": lambda: b.tiff_picture(9, 9, bytes(999), (339, b.SHORT, [6]), depth=(64,)),
    "data URL": text("data:image/png;base64,iVBORw0KGgo="),
}

TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "PNG of 60000x60000 pixels": lambda: b.png(b.png_header(60_000, 60_000), rows=b"\0"),
    "PNG of 2147483647x2147483647 pixels": lambda: b.png(b.png_header(2**31 - 1, 2**31 - 1), rows=b"\0"),
    "PNG of 4294967295x4294967295 pixels": lambda: b.png(b.png_header(2**32 - 1, 2**32 - 1), rows=b"\0"),
    "PNG of 7072x7072 pixels, just more than allowed": lambda: b.png(b.png_header(7072, 7072, 1, 0), rows=bytes(99)),
    "PNG of 16385x1, one side too long": lambda: b.png(b.png_header(16_385, 1, 8, 0), rows=bytes(16_386)),
    "PNG of 1x16385, one side too long": lambda: b.png(b.png_header(1, 16_385, 8, 0), rows=bytes(2 * 16_385)),
    "PNG of 4294967295x1, one side too long": lambda: b.png(b.png_header(2**32 - 1, 1), rows=b"\0"),
    "JPEG of 65500x65500 pixels": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 65_500, 65_500)),
    "progressive JPEG of 65500x65500 pixels": lambda: progressive(2, (65_500, 65_500)),
    "JPEG of 16385x8, one side too long": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 16_385, 8)),
    "GIF of 65535x65535 pixels": lambda: gif(size=(65_535, 65_535)),
    "GIF whose frame is larger than its screen": lambda: gif(image=b.gif_image(65_535, 65_535, b"\x44\1")),
    "GIF with a frame far outside the screen": lambda: gif(
        image=b.gif_image(65_535, 9, b"\x44\1", left=65_535, top=65_500)
    ),
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
    "TIFF with a tile of 144 MB around one pixel": lambda: b.tiff_tiled(
        (1, 1), (12_000, 12_000), zlib.compress(bytes(144_000_000), 1), 1, compression=8
    ),
    "TIFF of 60000x60000 floats": lambda: b.tiff_picture(60_000, 60_000, bytes(64), (339, b.SHORT, [3]), depth=(32,)),
    "TIFF of 20000x1 floats turned": lambda: b.tiff_picture(
        20_000, 1, bytes(80_000), (274, b.SHORT, [6]), (339, b.SHORT, [3]), depth=(32,)
    ),
    "TIFF with a tile of 2 GB of floats around one pixel": lambda: b.tiff_tiled(
        (1, 1), (46_000, 46_000), bytes(99), 1, (258, b.SHORT, [32]), (339, b.SHORT, [3]), compression=8
    ),
    "TIFF with a tile of 2 GB around one pixel": lambda: b.tiff_tiled(
        (1, 1), (46_000, 46_000), b"abc", 1, compression=5
    ),
    "TIFF with a tile that overflows": lambda: b.tiff_tiled((9, 9), (2**31, 2**31), bytes(99), 1, compression=8),
    "TIFF with tiles far outside the image, deflate": lambda: tiles(zlib.compress(bytes(16_000_000), 9), 1_000_000, 8),
    "TIFF with tiles far outside the image, LZMA": lambda: tiles(
        lzma.compress(bytes(16_000_000), preset=0), 1_000_000, 34_925
    ),
    "TIFF with tiles far outside the image, JPEG": lambda: tiles(progressive(99, (16, 65_000)), 65_000, 7),
}

TOO_MANY_SCANS: dict[str, Callable[[], bytes]] = {
    "JPEG of 101 scans": lambda: progressive(101),
    "JPEG of 20000 scans": lambda: progressive(20_000),
    "JPEG of 49 million pixels in 400 scans": lambda: progressive(400, (7000, 7000)),
    "arithmetic-coded JPEG of 400 scans": lambda: progressive(400, marker=b.ARITHMETIC_PROGRESSIVE),
}

TOO_MANY_FRAMES: dict[str, Callable[[], bytes]] = {
    "PNG of 1001 frames": lambda: apng(1001),
    "PNG of 2147483648 frames": lambda: apng(2**31),
    "WebP of 1001 frames": lambda: webp_animation((16, 16), b.webp_frame(16, 16, STILL) * 1001),
    "WebP of 40000 frames": lambda: webp_animation((16, 16), b.webp_frame(16, 16, STILL) * 40_000),
    "AVIF of 1001 frames": lambda: animation("AVIF", 1001, speed=10),
}

TOO_COSTLY: dict[str, Callable[[], bytes]] = {
    "JPEG with 5 million comments": lambda: inserted(b.jpeg_segment(0xFE) * 5_000_000),
    "GIF with 6 million empty comments": lambda: gif(b.gif_extension(0xFE, b"") * 6_000_000),
    "BMP of 10 million run lengths": lambda: rle(b"\1\1" * 10_000_000, (4000, 4000)),
    "TIFF with a bitonal strip 150000 times": lambda: strips(150_000),
    "TIFF with 4900000 strips": lambda: strips(4_900_000, 4),
}
