"""Files that start like a supported format but cannot be decoded."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

from tests.hostile import builders as b
from tests.hostile.shapes import (
    AC_TABLE,
    DC_TABLE,
    FORMATS,
    GRAY_SCAN,
    STILL,
    apng,
    apng_control,
    bmp_header,
    box_of,
    cut,
    gif,
    gray_jpeg,
    gray_png,
    heic,
    inserted,
    overlay,
    prefix_code,
    progressive,
    resized,
    rle,
    sample,
    text,
    webp_animation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FLOATS = (258, b.SHORT, [32]), (339, b.SHORT, [3])

CORRUPT: dict[str, Callable[[], bytes]] = {
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
    "PNG of color type 5": lambda: b.png(b.png_header(9, 9, 8, 5), rows=bytes(999)),
    "PNG with too few rows": lambda: b.png(b.png_header(99, 99), rows=bytes(999)),
    "PNG with unknown row filters": lambda: b.png(b.png_header(9, 9, 8, 0), rows=b"\x09" * 99),
    "PNG with data that is not compressed": lambda: b.png(b.png_header(9, 9), b.png_chunk(b"IDAT", b"garbage" * 9)),
    "PNG without its palette": lambda: b.png(b.png_header(9, 9, 8, 3), rows=bytes(90)),
    "PNG with a palette of 4096 colors": lambda: b.png(b.png_header(9, 9, 8, 3), b.png_chunk(b"PLTE", bytes(12_288))),
    "PNG with a chunk of 4294967295 bytes": lambda: b.PNG_MAGIC + b.png_header(9, 9) + b"\xff\xff\xff\xfftEXt",
    "PNG whose frame lies outside": lambda: apng(2, apng_control(0, 9)),
    "PNG whose frames are out of order": lambda: apng(2, apng_control(7, 1)),
    "PNG whose frame is missing": lambda: apng(1),
    "PNG whose frame has 100000 empty pieces": lambda: gray_png(
        b.png_chunk(b"acTL", struct.pack(">II", 1, 0)),
        after=[apng_control(0, 1), *(b.png_chunk(b"fdAT", struct.pack(">I", 1 + i)) for i in range(100_000))],
    ),
    "PNG whose frame is past its end": lambda: gray_png(
        b.png_chunk(b"acTL", struct.pack(">II", 1, 0)), after=[apng_control(0, 1), b"\xff\xff\xff\xfffdAT\0\0\0\1"]
    ),
    "PNG with an unknown chunk that must be known": lambda: gray_png(b.png_chunk(b"AAAA")),
    # JPEG
    "JPEG without a quantization table": lambda: b.jpeg(DC_TABLE, AC_TABLE, b.jpeg_frame(0xC0, 9, 9), GRAY_SCAN),
    "JPEG with Huffman codes that overflow": lambda: gray_jpeg(b.jpeg_huffman(0, b"\xff" * 16, bytes(255))),
    "JPEG with a short quantization table": lambda: gray_jpeg(b.jpeg_quantization(0, bytes(9))),
    "JPEG of quantization precision 15": lambda: gray_jpeg(b.jpeg_quantization(0xF0, bytes(64))),
    "JPEG of 0x0 pixels": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 0, 0)),
    "JPEG of 2 channels": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 9, 9, [0x11] * 2)),
    "JPEG sampled 15 times": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 9, 9, [0xFF])),
    "JPEG sampled 0 times": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 9, 9, [0])),
    "JPEG with two frames of different size": lambda: gray_jpeg(b.jpeg_frame(b.BASELINE, 65_500, 65_500)),
    "JPEG whose scan is of channel 9": lambda: gray_jpeg(scan=b.jpeg_scan([9])),
    "JPEG whose scan is of no channel": lambda: gray_jpeg(scan=b.jpeg_scan([])),
    "JPEG whose scan is backwards": lambda: gray_jpeg(
        frame=b.jpeg_frame(b.PROGRESSIVE, 9, 9), scan=b.jpeg_scan([1], 63, 1)
    ),
    "JPEG with a segment past its end": lambda: inserted(b.jpeg_segment(0xFE, length=65_535)),
    # GIF
    "GIF of 0x0 pixels": lambda: gif(size=(0, 0), image=b.gif_image(0, 0, b"\x44\1")),
    "GIF with an unknown block": lambda: gif(b"\x99"),
    "GIF whose control has 255 bytes": lambda: gif(b.gif_extension(0xF9, bytes(255))),
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
    "TIFF whose strip is past its end": lambda: b.tiff_picture(9, 9, bytes(99), (273, b.LONG, [2**31])),
    "TIFF with tiles of 0x0": lambda: b.tiff_tiled((9, 9), (0, 0), bytes(99), 1),
    "TIFF of floats with tiles of 0x0": lambda: b.tiff_tiled((9, 9), (0, 0), bytes(99), 1, *FLOATS),
    "TIFF of floats with strips of 0 rows": lambda: b.tiff_picture(
        9, 9, bytes(999), (339, b.SHORT, [3]), (278, b.LONG, [0]), depth=(32,)
    ),
    "TIFF of floats with 4294967295 channels": lambda: b.tiff_picture(
        9, 9, bytes(99), (277, b.LONG, [2**32 - 1]), (339, b.SHORT, [3]), depth=(32,)
    ),
    "TIFF of floats whose strip is past its end": lambda: b.tiff_picture(
        9, 9, bytes(99), (339, b.SHORT, [3]), (273, b.LONG, [2**31]), depth=(32,)
    ),
    "TIFF of garbage, 16 bits in LZW with a predictor": lambda: b.tiff_picture(
        64, 64, b"\xa5garbage" * 64, (317, b.SHORT, [2]), depth=(16,), compression=5
    ),
    "TIFF around a WebP of another size": lambda: b.tiff_picture(
        9, 9, sample("WEBP"), compression=50_001, depth=(8, 8, 8), photometric=2
    ),
    "TIFF with a palette that is too short": lambda: b.tiff_picture(
        9, 9, b"\xff" * 81, (320, b.SHORT, [9] * 30), photometric=3
    ),
    "TIFF with tiles of 0x0, compressed": lambda: b.tiff_tiled((9, 9), (0, 0), bytes(99), 1, compression=8),
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
    "BMP of 100000 colors": lambda: b.bmp(9, 9, 8, bytes(999), colors=100_000),
    "BMP of 0x0 pixels": lambda: b.bmp(0, 0, 24, bytes(64)),
    "BMP whose pixels are past its end": lambda: bmp_header(10, b"\xff\xff\xff\x7f"),
    "BMP of 49 million pixels without one": lambda: b.bmp(7000, 7000, 24, b""),
    "BMP of run lengths that is cut short": lambda: rle(b"\0\xff\1\2"),
    # WebP
    "WebP with a stated size that is too large": lambda: b.overwritten(sample("WEBP"), 4, b"\xf0\xff\xff\x7f"),
    "WebP with a stated size that is too small": lambda: b.overwritten(sample("WEBP"), 4, b"\x20\0\0\0"),
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
    "AVIF without a codec configuration": lambda: b.replaced(sample("AVIF"), b"av1C", b"free"),
    "AVIF with a box of 4 GB": lambda: sample("AVIF").replace(b"\0\0\0!hdlr", b"\xff\xff\xff\xffhdlr"),
    "HEIC of 0x0 pixels": lambda: resized("HEIF", 0, 0),
    "HEIC with a stated size of 1x1": lambda: resized("HEIF", 1, 1),
    "HEIC with a stated size of 7000x7000": lambda: resized("HEIF", 7000, 7000),
    "HEIC of zeros": lambda: sample("HEIF").split(b"mdat")[0] + b"mdat" + bytes(999),
    "HEIC without a codec configuration": lambda: b.replaced(sample("HEIF"), b"hvcC", b"free"),
    "HEIC that overlays itself without end": lambda: overlay(1, reference=2),
    "HEIC that overlays one image 16000 times": lambda: overlay(16_000),
    "HEIC of 256x256 tiles": lambda: heic(b"grid", b"\0\0\xff\xff" + struct.pack(">HH", 16_384, 3000), [1] * 65_535),
}
