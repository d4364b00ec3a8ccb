"""What a browser shows of a PNG: tRNS, palettes, damaged or needless chunks, orientation, animations.

The right values were read from drawings of Chromium 156.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from tests.hostile import builders as b
from tests.support.decoding import decoder_for
from tests.support.fields import BLUE, GREEN, HEIGHT, RED, WIDTH, assert_shows, fields, without
from worker.errors import CorruptImage, TooManyPixels
from worker.spec import PreprocessSpec

C = b.png_chunk
BOMB = zlib.compress(bytes(3_000_000))
GRAYS = fields()[..., 1]  # 40, 180, 60 and 210
INDEXES = np.repeat(np.array([[0, 1], [2, 3]], np.uint8), 24, axis=0).repeat(32, axis=1)
PALETTE = bytes([*RED, *GREEN, *BLUE, 240, 210, 40])
IN_PALETTE = np.frombuffer(PALETTE, np.uint8).reshape(4, 3)[INDEXES]


def scan(pixels: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def packed(values: np.ndarray, depth: int) -> np.ndarray:
    """Return rows of samples of 1 to 8 bits."""
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(values), -1), axis=1)


def png(*chunks: bytes, after: tuple[bytes, ...] = (), data: bytes | None = None) -> bytes:
    """Return an RGB PNG of the fields with these chunks before and after the pixels."""
    pixels = C(b"IDAT", zlib.compress(scan(fields()))) if data is None else data
    return b.png(b.png_header(WIDTH, HEIGHT), *chunks, after=[pixels, *after])


def shorts(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


@pytest.mark.parametrize("depth", [2, 4, 8, 16])
@pytest.mark.parametrize("extra", [0, 0x8000], ids=["", "high bits"])
def test_the_transparent_gray_is_white(depth: int, extra: int) -> None:
    """Up to 8 bits, browsers look at the lower byte of the stated sample alone."""
    values = GRAYS.astype(int) * 257 if depth == 16 else GRAYS.astype(int) * ((1 << depth) - 1) // 255
    shown = np.repeat((values >> 8 if depth == 16 else values * 255 // ((1 << depth) - 1))[..., None], 3, axis=2)
    transparent = int(values[0, 0])
    if not (depth == 16 and extra):
        shown[values == transparent] = 255
    rows = scan(values.astype(">u2") if depth == 16 else packed(values, depth))
    content = b.png(b.png_header(WIDTH, HEIGHT, depth, 0), C(b"tRNS", shorts(transparent | extra)), rows=rows)
    assert_shows(content, shown.astype(np.uint8))


@pytest.mark.parametrize("transparent", [0, 1])
def test_the_transparent_bit_is_white(transparent: int) -> None:
    values = (GRAYS > 100).astype(np.uint8)
    shown = np.where(values == transparent, 255, values * 255)
    content = b.png(b.png_header(WIDTH, HEIGHT, 1, 0), C(b"tRNS", shorts(transparent)), rows=scan(packed(values, 1)))
    assert_shows(content, np.repeat(shown[..., None], 3, axis=2).astype(np.uint8))


def test_a_transparent_gray_that_no_pixel_can_have_hides_nothing() -> None:
    values = GRAYS.astype(int) * 3 // 255
    content = b.png(b.png_header(WIDTH, HEIGHT, 2, 0), C(b"tRNS", shorts(4)), rows=scan(packed(values, 2)))
    assert_shows(content, np.repeat((values * 85)[..., None], 3, axis=2).astype(np.uint8))


@pytest.mark.parametrize(
    ("difference", "is_hidden"), [(0, True), (1, False), (256, False)], ids=["same", "low byte", "high byte"]
)
def test_a_transparent_color_of_16_bits_is_compared_in_all_bits(difference: int, is_hidden: bool) -> None:
    red, green, blue = (value * 257 for value in BLUE)
    rows = scan((fields().astype(int) * 257).astype(">u2"))
    content = b.png(b.png_header(WIDTH, HEIGHT, 16), C(b"tRNS", shorts(red ^ difference, green, blue)), rows=rows)
    assert_shows(content, without(BLUE) if is_hidden else fields())


@pytest.mark.parametrize(
    ("chunks", "alphas"),
    [
        ([C(b"PLTE", PALETTE), C(b"tRNS", bytes([0, 90]))], [0, 90, 255, 255]),
        ([C(b"PLTE", PALETTE), C(b"tRNS", bytes([0, 90]) + bytes(254))], [0, 90, 0, 0]),
        ([C(b"PLTE", PALETTE), C(b"tRNS", bytes(300))], [255] * 4),
        ([C(b"tRNS", bytes(4)), C(b"PLTE", PALETTE)], [255] * 4),
        ([C(b"PLTE", PALETTE), C(b"tRNS", b"\0"), C(b"tRNS", b"\xff\0")], [0, 255, 255, 255]),
        ([C(b"PLTE", PALETTE), C(b"tRNS", b"\0", crc=1), C(b"tRNS", b"\xff\0")], [255, 0, 255, 255]),
    ],
    ids=["two", "as many as possible", "too many", "before the palette", "twice", "damaged, then sound"],
)
def test_the_transparency_of_a_palette(chunks: list[bytes], alphas: list[int]) -> None:
    shares = np.array(alphas)[INDEXES][..., None] / 255
    content = b.png(b.png_header(WIDTH, HEIGHT, 8, 3), *chunks, rows=scan(INDEXES))
    assert_shows(content, (IN_PALETTE * shares + 255 * (1 - shares)).round().astype(np.uint8))


def test_the_last_color_stands_for_those_that_a_palette_lacks() -> None:
    content = b.png(b.png_header(WIDTH, HEIGHT, 8, 3), C(b"PLTE", PALETTE[:6]), rows=scan(INDEXES))
    assert_shows(content, np.frombuffer(PALETTE, np.uint8).reshape(4, 3)[np.minimum(INDEXES, 1)])


ANCILLARY = {
    b"pHYs": bytes(9), b"tIME": bytes(7), b"tEXt": b"a\0b", b"gAMA": bytes(4), b"sRGB": b"\0", b"cHRM": bytes(32),
    b"eXIf": b"II*\0", b"iCCP": b"x\0\0garbage", b"tRNS": shorts(*RED), b"cICP": bytes(4), b"acTL": shorts(0, 1, 0, 0),
    b"aaAa": b"x",
}  # fmt: skip


@pytest.mark.parametrize("kind", ANCILLARY, ids=lambda kind: kind.decode())
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_wrong_checksum_only_drops_the_chunk(kind: bytes, where: str) -> None:
    chunk = C(kind, ANCILLARY[kind], crc=1)
    assert_shows(png(chunk) if where == "before" else png(after=(chunk,)), fields())


@pytest.mark.parametrize("kind", ANCILLARY, ids=lambda kind: kind.decode())
@pytest.mark.parametrize("length", [0, 1])
def test_a_chunk_that_is_too_short_says_nothing(kind: bytes, length: int) -> None:
    if kind != b"sRGB":
        assert_shows(png(C(kind, ANCILLARY[kind][:length])), fields())


NEEDLESS = {
    "zTXt of 3 MB": png(C(b"zTXt", b"a\0\0" + BOMB)),
    "zTXt of 3 MB after the pixels": png(after=(C(b"zTXt", b"a\0\0" + BOMB),)),
    "iTXt of 3 MB": png(C(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
    "tEXt of 70 MB": png(C(b"tEXt", b"a\0" + bytes(100_000)) * 700),
    "zTXt of an unknown method": png(C(b"zTXt", b"a\0\x09" + BOMB)),
    **{f"tEXt named {name}": png(C(b"tEXt", f"{name}\0garbage".encode())) for name in ("bbox", "transparency", "exif")},
    "tEXt named interlace": png(C(b"tEXt", b"interlace\0abcd")),
    "iCCP of 3 MB of zeros": png(C(b"iCCP", b"x\0\0" + BOMB)),
    "iCCP of an unknown method": png(C(b"iCCP", b"x\0\5garbage")),
    "iCCP without a name's end": png(C(b"iCCP", b"x")),
    "length of text beyond the file": png()[:-12] + struct.pack(">I", 5000) + b"tEXtabc",
    "fdAT that no frame needs": png(after=(C(b"fdAT", b"abcdef"),)),
    "acTL cut short": png(C(b"acTL", b"abc")),
    "no end": png()[:-12],
    "data after the end": png() + b"x" * 1000,
    "unknown chunk that must be known after the pixels": png(after=(C(b"AAAA", b"x"),)),
    "wrong checksum of pixels": png(data=C(b"IDAT", zlib.compress(scan(fields())), crc=1)),
    "wrong checksum of unpacked pixels": png(data=C(b"IDAT", zlib.compress(scan(fields()))[:-4] + b"abcd")),
    "no checksum of unpacked pixels": png(data=C(b"IDAT", zlib.compress(scan(fields()))[:-4])),
    "text in XMP that turns": png(C(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')),
    "EXIF in text that turns": png(
        C(b"tEXt", b"Raw profile type exif\0\nexif\n 32\n" + (b"Exif\0\0" + b.tiff((274, b.SHORT, [6]))).hex().encode())
    ),
    "EXIF after the pixels": png(after=(C(b"eXIf", b.tiff((274, b.SHORT, [6]))),)),
    "EXIF with the name that JPEG needs": png(C(b"eXIf", b"Exif\0\0" + b.tiff((274, b.SHORT, [6])))),
}


@pytest.mark.parametrize("name", NEEDLESS)
def test_metadata_changes_nothing(name: str) -> None:
    assert_shows(NEEDLESS[name], fields())


def test_exif_before_the_pixels_turns() -> None:
    turned = png(C(b"eXIf", b.tiff((274, b.SHORT, [6]))), C(b"eXIf", b.tiff((274, b.SHORT, [3]))))
    assert_shows(turned, np.rot90(fields(), -1))


HEADER = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
REFUSED = {
    "wrong checksum of the header": b.PNG_MAGIC + C(b"IHDR", HEADER, crc=1) + png()[33:],
    "header of 14 bytes": b.PNG_MAGIC + C(b"IHDR", HEADER + b"\0") + png()[33:],
    "two headers": png(b.png_header(WIDTH, HEIGHT)),
    "text before the header": b.PNG_MAGIC + C(b"tEXt", b"a\0b") + png()[8:],
    "unknown compression": b.PNG_MAGIC + C(b"IHDR", HEADER[:10] + b"\1\0\0") + png()[33:],
    "unknown chunk that must be known": png(C(b"AAAA", b"x")),
    "two palettes": png(C(b"PLTE", PALETTE) * 2),
    "empty palette": png(C(b"PLTE")),
    "wrong checksum of the palette": png(C(b"PLTE", PALETTE, crc=1)),
    "no palette": b.png(b.png_header(WIDTH, HEIGHT, 8, 3), rows=scan(INDEXES)),
    "half of the pixels": png(data=C(b"IDAT", zlib.compress(scan(fields()))[:40])),
    "pixels that end after half of the rows": png(data=C(b"IDAT", zlib.compress(scan(fields()[:24])))),
    "pixels that end in the middle of a row": png(data=C(b"IDAT", zlib.compress(scan(fields())[:3000]))),
    "pixels that do not unpack": png(data=C(b"IDAT", b"garbage")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_browser_does_not_draw_is_refused(name: str) -> None:
    with pytest.raises(CorruptImage):
        decoder_for(PreprocessSpec(96, 96)).decode(REFUSED[name])


# Animations. The picture in IDAT is the negative, the first frame shows the fields.
HIDDEN = C(b"IDAT", zlib.compress(scan(255 - fields())))
WHOLE, PART = zlib.compress(scan(fields())), zlib.compress(scan(fields()[10:30, 5:35]))


def count(frames: int) -> bytes:
    return C(b"acTL", struct.pack(">II", frames, 0))


def control(
    width: int = WIDTH, height: int = HEIGHT, left: int = 0, top: int = 0, number: int = 0, end: int = 0
) -> bytes:
    return C(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, top, 1, 1, end, 0))


def frame(data: bytes, number: int = 1) -> bytes:
    return C(b"fdAT", struct.pack(">I", number) + data)


ANIMATIONS = {
    "one hidden frame": png(count(1), data=HIDDEN, after=(control(), frame(WHOLE))),
    "first of two hidden frames": png(
        count(2), data=HIDDEN, after=(control(), frame(WHOLE), control(number=2), frame(PART, 3))
    ),
    "frame in two pieces": png(count(1), data=HIDDEN, after=(control(), frame(WHOLE[:50]), frame(WHOLE[50:], 2))),
    "fewer frames than stated": png(count(5), data=HIDDEN, after=(control(), frame(WHOLE))),
    "damaged hidden picture": png(count(1), data=C(b"IDAT", b"garbage"), after=(control(), frame(WHOLE))),
    "no end": png(count(1), data=HIDDEN, after=(control(), frame(WHOLE)))[:-12],
    "cut in the second frame": png(count(2), control(), after=(control(number=1), frame(WHOLE, 2)))[:-50],
    "picture in IDAT as first frame": png(count(2), control(), after=(control(number=1), frame(PART, 2))),
    "count after the pixels": png(after=(count(1), control(), frame(PART))),
    "no count": png(after=(control(), frame(PART))),
    "count of 0": png(count(0), after=(control(), frame(PART))),
}


@pytest.mark.parametrize("name", ANIMATIONS)
def test_the_first_frame_of_an_animation_is_shown(name: str) -> None:
    assert_shows(ANIMATIONS[name], fields())


def test_what_a_first_frame_leaves_of_the_screen_is_white() -> None:
    shown = np.full_like(fields(), 255)
    shown[10:30, 5:35] = fields()[10:30, 5:35]
    assert_shows(png(count(1), data=HIDDEN, after=(control(30, 20, 5, 10), frame(PART))), shown)


UNDRAWN = {
    "no frame": (),
    "control alone": (control(),),
    "frame beyond the screen": (control(left=1), frame(WHOLE)),
    "frame of 0x0": (control(0, 0), frame(WHOLE)),
    "wrong number of the control": (control(number=7), frame(WHOLE, 8)),
    "wrong number of the frame": (control(), frame(WHOLE, 5)),
    "wrong number of the second piece": (control(), frame(WHOLE[:50]), frame(WHOLE[50:], 7)),
    "text between the pieces": (control(), frame(WHOLE[:50]), C(b"tEXt", b"a\0b"), frame(WHOLE[50:], 2)),
    "half of the frame": (control(), frame(WHOLE[: len(WHOLE) // 2])),
    "unknown disposal": (control(end=9), frame(WHOLE)),
}


@pytest.mark.parametrize("name", UNDRAWN)
def test_an_animation_whose_first_frame_a_browser_does_not_draw_is_refused(name: str) -> None:
    with pytest.raises(CorruptImage):
        decoder_for(PreprocessSpec(96, 96)).decode(png(count(1), data=HIDDEN, after=UNDRAWN[name]))


def test_an_animation_whose_hidden_picture_has_a_wrong_checksum_is_refused() -> None:
    body = zlib.compress(scan(255 - fields()))
    damaged = png(count(1), data=C(b"IDAT", body, crc=1), after=(control(), frame(WHOLE)))
    with pytest.raises(CorruptImage, match="hidden picture"):
        decoder_for(PreprocessSpec(96, 96)).decode(damaged)


def test_the_screen_of_an_animation_has_the_same_limits_as_a_picture() -> None:
    small = b.png(b.png_header(3000, 2), count(1), after=[C(b"IDAT"), control(1, 1), frame(zlib.compress(bytes(4)))])
    with pytest.raises(TooManyPixels):
        decoder_for(PreprocessSpec(96, 96), max_side=2999).decode(small)
    assert decoder_for(PreprocessSpec(96, 96), max_side=3000).decode(small).width == 3000


def test_an_interlaced_picture_is_packed_anew_only_if_it_is_whole() -> None:
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(scan(np.ascontiguousarray(fields()[top::down, left::right])) for left, top, right, down in passes)
    interlaced = b.png(b.png_header(WIDTH, HEIGHT, 8, 2, 1), after=[C(b"IDAT", zlib.compress(rows)[:-4])])
    assert_shows(interlaced, fields())
    # Its last pass is missing.
    cut = b.png(b.png_header(WIDTH, HEIGHT, 8, 2, 1), after=[C(b"IDAT", zlib.compress(rows[: len(rows) // 2]))])
    with pytest.raises(CorruptImage):
        decoder_for(PreprocessSpec(96, 96)).decode(cut)


def test_a_picture_whose_last_rows_are_black_is_whole() -> None:
    black = fields()
    black[-9:] = 0
    data = zlib.compress(scan(black))
    assert_shows(png(data=C(b"IDAT", data)), black)
    assert_shows(png(data=C(b"IDAT", data[:-4] + b"\0\0\0\0")), black)  # a wrong checksum
