"""Unusual but valid files, which must be decoded."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

from tests.hostile import builders as b
from tests.hostile.shapes import (
    FORMATS,
    STILL,
    animation,
    apng,
    apng_control,
    big_tiff,
    gif,
    gray_jpeg,
    gray_png,
    heic,
    inserted,
    ispe,
    mpo,
    overlay,
    picture,
    png_bombs,
    progressive,
    resized,
    rle,
    sample,
    saved,
    webp_animation,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SOUND: dict[str, Callable[[], bytes]] = {
    **{f"{file_format} as usual": partial(sample, file_format) for file_format in FORMATS},
    # PNG
    **{f"PNG of mode {mode}": saved("PNG", mode) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")},
    "PNG with a transparent color": saved("PNG", "P", transparency=3),
    "PNG of 1x1": gray_png,
    "PNG of 16 bits, interlaced, 1x1": lambda: b.png(b.png_header(1, 1, 16, 6, 1), rows=bytes(9)),
    "PNG of 49 million pixels in 7 KB": lambda: b.png(b.png_header(7000, 7000, 1, 0), rows=bytes(876 * 7000)),
    "PNG of 16384x3 pixels": lambda: b.png(b.png_header(16_384, 3, 8, 0), rows=bytes(16_385 * 3)),
    "PNG with a color outside the palette": lambda: b.png(
        b.png_header(1, 1, 8, 3), b.png_chunk(b"PLTE", bytes(3)), rows=b"\0\xff"
    ),
    "PNG with 50000 unknown chunks": lambda: gray_png(b.png_chunk(b"aaAa") * 50_000),
    "PNG with 50000 empty pieces of data": lambda: gray_png(after=[b.png_chunk(b"IDAT") * 50_000]),
    "PNG with trailing data": lambda: sample("PNG") + b"<script>alert(1)</script>",
    "PNG without an end": lambda: sample("PNG")[:-12],
    "PNG with a broken color profile": saved("PNG", icc_profile=b"garbage" * 9999),
    "PNG with a zTXt bomb": lambda: png_bombs(b"zTXt", b"a\0\0", b"aa", 1),
    "PNG with an iTXt bomb": lambda: png_bombs(b"iTXt", b"a\0\1\0\0\0", b"aa", 1),
    "PNG with an iCCP bomb": lambda: png_bombs(b"iCCP", b"a\0\0", b"aa", 1),
    "PNG with 70 MiB of text": lambda: png_bombs(b"zTXt", b"a\0\0", b"a", 70),
    "PNG with 18500 color profiles of 1 MiB": lambda: png_bombs(b"iCCP", b"a\0\0", b"a", 18_500),
    "PNG with 18500 nameless texts of 1 MiB": lambda: png_bombs(b"zTXt", b"\0\0", b"a", 18_500),
    "PNG with 100000 damaged chunks of transparency": lambda: gray_png(b.png_chunk(b"tRNS", crc=1) * 100_000),
    "PNG with EXIF of 65535 tags": lambda: gray_png(b.png_chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(786_420))),
    "PNG with a short acTL": lambda: gray_png(b.png_chunk(b"acTL", b"\0")),
    "PNG of 3 frames": lambda: animation("PNG", 3),
    "PNG with 1000 stated frames": lambda: apng(1000, apng_control(0, 1)),
    "PNG with 0 stated frames": lambda: apng(0),
    # JPEG
    "JPEG of gray": saved("JPEG", "L"),
    "JPEG of CMYK": saved("JPEG", "CMYK"),
    "JPEG of YCCK": lambda: b.replaced(sample("JPEG", "CMYK"), b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"),
    "JPEG with restarts": saved("JPEG", restart_marker_blocks=1),
    "JPEG, progressive": saved("JPEG", progressive=True),
    "JPEG of 100 scans": lambda: progressive(100),
    "JPEG of 49 million pixels in 20 scans": lambda: progressive(20, (7000, 7000)),
    "JPEG with 200 scan markers in a comment": lambda: inserted(b.jpeg_segment(0xFE, b.jpeg_scan([1]) * 200)),
    "JPEG followed by one of 200 scans": lambda: sample("JPEG") + progressive(200),
    "JPEG, arithmetic-coded": lambda: gray_jpeg(frame=b.jpeg_frame(b.ARITHMETIC, 64, 64)),
    "JPEG of 49 million pixels without one": lambda: gray_jpeg(frame=b.jpeg_frame(b.BASELINE, 7000, 7000)),
    "JPEG with 100000 comments": lambda: inserted(b.jpeg_segment(0xFE) * 100_000),
    "JPEG with padding of 1 MB": lambda: inserted(b"\xff" * 1_000_000),
    "JPEG with a broken color profile": saved("JPEG", icc_profile=b"garbage" * 99_999),
    "JPEG with pieces of a color profile missing": lambda: inserted(b.jpeg_segment(0xE2, b"ICC_PROFILE\0\7\xff")),
    "JPEG with a segment of length 0": lambda: inserted(b.jpeg_segment(0xFE, length=0)),
    "JPEG with trailing data": lambda: sample("JPEG") + b"PK\3\4" + bytes(999),
    "JPEG with an index of 2 pictures": lambda: b.encoded(picture(), "MPO", save_all=True, append_images=[picture()]),
    "JPEG with an index of 4000 pictures": lambda: mpo(4000),
    "JPEG with 100000 pieces of EXIF": lambda: inserted(b.jpeg_segment(0xE1, b"Exif\0\0" + bytes(10)) * 100_000),
    "JPEG without an end": lambda: sample("JPEG")[:-2],
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
            ("next directory is itself", b.tiff((274, b.SHORT, [1]), following=8)),
            ("4294967295 values", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0"),
            ("65535 tags that are not there", b"II*\0\x08\0\0\0\xff\xff"),
        )
    },
    # GIF
    "GIF, interlaced": saved("GIF", interlace=True),
    "GIF of 3 frames": lambda: animation("GIF", 3),
    "GIF of 5000 frames, which its header does not state": lambda: (
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
    **{f"TIFF of mode {mode}": saved("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F")},
    **{
        f"TIFF of {how}": saved("TIFF", compression=how)
        for how in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg")
    },
    "TIFF of LAB": saved("TIFF", "LAB", icc_profile=None),
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
    "TIFF of 16 bits with a strip of 1 MB 16000 times": lambda: b.tiff_picture(
        16,
        16_000,
        zlib.compress(bytes(32)) + bytes(1_000_000),
        (273, b.LONG, [b.TIFF_DATA] * 16_000),
        (278, b.LONG, [1]),
        (279, b.LONG, [1_000_000] * 16_000),
        depth=(16,),
        compression=8,
    ),
    "TIFF of 16 bits whose pages are a ring": lambda: b.tiff_picture(
        9, 9, bytes(162), (254, b.LONG, [1]), (330, b.LONG, [8] * 9000), depth=(16,)
    ),
    "TIFF turned by 90 degrees": lambda: b.tiff_picture(9, 5, bytes(45), (274, b.SHORT, [6])),
    "TIFF whose next directory is itself": lambda: b.tiff_picture(9, 9, bytes(82))[:-4] + struct.pack("<I", 90),
    "TIFF whose child directory is itself": lambda: b.tiff_picture(
        9, 9, bytes(82), (330, b.LONG, [90]), (34_665, b.LONG, [90])
    ),
    "TIFF with a resolution of 200000 numbers": lambda: b.tiff_picture(
        1, 1, b"\0", (282, b.RATIONAL, [3, 7] * 200_000)
    ),
    "BigTIFF": big_tiff,
    "BigTIFF with 90000 tags": lambda: big_tiff((65_000, 99, 1, 1), repeats=90_000),
    "BigTIFF with 50000 tags past its end": lambda: big_tiff((65_000, 4, 10, 2**64 - 1), repeats=50_000),
    # BMP
    **{f"BMP of mode {mode}": saved("BMP", mode) for mode in ("1", "L", "P", "RGBA")},
    "BMP, top-down": lambda: b.bmp(16, -16, 24, bytes(range(256)) * 3),
    "BMP of 16 bits": lambda: b.bmp(16, 16, 16, bytes(range(256)) * 2),
    "BMP of OS/2": lambda: b"BM" + struct.pack("<IHHIIHHHH", 74, 0, 0, 26, 12, 4, 4, 1, 24) + bytes(48),
    "BMP of run lengths": lambda: rle(b"\x10\1\0\0" * 4 + b"\0\1"),
    "BMP of run lengths, 4 bits": lambda: rle(b"\x10\x12\0\0" * 4 + b"\0\1", depth=4),
    "BMP of run lengths that end early": lambda: rle(b"\5\1\0\1"),
    "BMP of run lengths past the row": lambda: rle(b"\xff\1\0\0" * 4 + b"\0\1"),
    "BMP of run lengths that jump far out": lambda: rle(b"\0\2\xff\xff\xff\1\0\1"),
    "BMP of 4 million pixels, a run of 1 in each row": lambda: rle(b"\1\1\0\0" * 250, (16_000, 250)),
    # WebP, AVIF, HEIC
    "lossless WebP": saved("WEBP", lossless=True),
    "WebP with alpha": saved("WEBP", "RGBA"),
    "WebP of 3 frames": lambda: animation("WEBP", 3),
    "WebP of 49 million pixels in 30 bytes": lambda: b.webp(b.webp_lossless(7000, 7000, b.WEBP_BLACK)),
    "WebP of 49 million pixels around 16x16": lambda: webp_animation((7000, 7000), b.webp_frame(16, 16, STILL)),
    "WebP with a broken color profile and EXIF": saved("WEBP", icc_profile=b"garbage", exif=b"garbage"),
    "WebP whose frame states another size": lambda: webp_animation((16, 16), b.webp_frame(8, 8, STILL)),
    "WebP with trailing data": lambda: sample("WEBP") + b"PK\3\4",
    "WebP with 100000 unknown chunks": lambda: webp_animation(
        (16, 16), b.riff_chunk(b"abcd", b"") * 100_000, b.webp_frame(16, 16, STILL)
    ),
    "AVIF with alpha": saved("AVIF", "RGBA"),
    "AVIF of 3 frames": lambda: animation("AVIF", 3, speed=10),
    "AVIF with a stated size of 1x1": lambda: resized("AVIF", 1, 1),
    "AVIF with a stated size of 7000x7000": lambda: resized("AVIF", 7000, 7000),
    "AVIF of 1024x1024 with a stated size of 64x64": lambda: b.replaced(
        b.encoded(picture(size=(1024, 1024)), "AVIF", speed=10), ispe(1024, 1024), ispe(64, 64)
    ),
    "HEIC with alpha": saved("HEIF", "RGBA"),
    "HEIC of 3 pictures": lambda: animation("HEIF", 3),
    "HEIC with an image derived from itself beside a valid one": lambda: heic(b"iden", b"", [2]),
    "HEIC with a grid of itself beside a valid image": lambda: heic(
        b"grid", bytes(4) + struct.pack(">HH", 64, 64), [2]
    ),
    "HEIC that overlays one image 900 times": lambda: overlay(900),
}
