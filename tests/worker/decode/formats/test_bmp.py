"""What a browser shows of a BMP: bit masks, alpha, run lengths, headers. The right values are Chromium's."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.hostile import builders as b
from tests.support.decoding import decoder_for
from tests.support.fields import BLUE, GREEN, HEIGHT, RED, WIDTH, YELLOW, assert_shows, fields
from worker.errors import CorruptImage
from worker.spec import PreprocessSpec

ARGB = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
ALPHA = np.where(np.arange(WIDTH) < 32, 90, 255)[None].repeat(HEIGHT, 0).astype(np.uint8)
SHOWN = (fields() * (ALPHA[..., None] / 255) + 255 - ALPHA[..., None]).round().astype(np.uint8)
COLORS = [BLUE, YELLOW, RED, GREEN, (10, 10, 10)]
PALETTE = b"".join(bytes([*color[::-1], 0]) for color in COLORS).ljust(32, b"\0")
INDEXES = np.argmax((fields()[:, :, None] == np.array(COLORS)).all(axis=3), axis=2).astype(np.uint8)


def rows(pixels: np.ndarray) -> bytes:
    """Return the rows from the lowest to the highest, each padded to four bytes."""
    return b"".join(row.tobytes() + bytes(-row.nbytes % 4) for row in pixels[::-1])


def bmp(
    size: int, depth: int, pixels: bytes, masks: tuple[int, ...] = (), *, compression: int = 0, height: int = HEIGHT
) -> bytes:
    """Return a BMP with a header of this size."""
    header = struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, depth, compression, len(pixels), 0, 0, 0, 0)
    header = (header + struct.pack(f"<{len(masks)}I", *masks)).ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + pixels


def with_alpha(alpha: int | np.ndarray) -> np.ndarray:
    return np.dstack([fields()[..., ::-1], np.broadcast_to(np.uint8(alpha), (HEIGHT, WIDTH))])


def mixed(bits: tuple[int, int, int, int], kind: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return pixels of alpha, red, green and blue of these numbers of bits, and their masks."""
    values, masks, shift = np.zeros((HEIGHT, WIDTH), np.uint32), [], 0
    for channel, size in zip((*np.moveaxis(fields(), 2, 0)[::-1], ALPHA), bits[::-1], strict=True):
        values |= (channel.astype(np.uint32) * ((1 << size) - 1) // 255) << shift
        masks.append(((1 << size) - 1) << shift)
        shift += size
    return values.astype(kind), (*masks[2::-1], masks[3])


@pytest.mark.parametrize("alpha", [0, 255, ALPHA], ids=["0", "255", "mixed"])
@pytest.mark.parametrize("size", [40, 52, 56, 64])
def test_the_fourth_byte_means_nothing_without_a_mask(size: int, alpha: int | np.ndarray) -> None:
    assert_shows(bmp(size, 32, rows(with_alpha(alpha)), ARGB if size > 40 else ()), fields())


@pytest.mark.parametrize(("size", "compression"), [(56, 3), (108, 3), (124, 3), (108, 0), (124, 0), (40, 6)])
def test_the_alpha_of_a_mask_counts(size: int, compression: int) -> None:
    assert_shows(bmp(size, 32, rows(with_alpha(ALPHA)), ARGB, compression=compression), SHOWN)
    if size != 40:
        assert_shows(bmp(size, 32, rows(with_alpha(0)), ARGB, compression=compression), np.full_like(SHOWN, 255))


@pytest.mark.parametrize("bits", [(1, 5, 5, 5), (4, 4, 4, 4), (0, 5, 6, 5), (0, 4, 4, 4), (2, 10, 10, 10)])
def test_other_bit_masks(bits: tuple[int, int, int, int]) -> None:
    depth = 16 if sum(bits) <= 16 else 32
    pixels, masks = mixed(bits, f"<u{depth // 8}")
    alpha = (ALPHA.astype(int) * ((1 << bits[0]) - 1) // 255 / ((1 << bits[0]) - 1) if bits[0] else 1 + 0 * ALPHA)[
        ..., None
    ]
    shown = fields() * alpha + 255 * (1 - alpha)
    assert_shows(bmp(108, depth, rows(pixels), masks, compression=3), shown.astype(np.uint8), 9)


def test_a_picture_whose_rows_are_stored_from_the_top() -> None:
    content = bmp(108, 32, rows(with_alpha(ALPHA)[::-1]), ARGB, compression=3, height=-HEIGHT)
    assert_shows(content, SHOWN)


def test_pixels_of_two_bits() -> None:
    four = np.minimum(INDEXES, 3)
    packed = four[:, 0::4] << 6 | four[:, 1::4] << 4 | four[:, 2::4] << 2 | four[:, 3::4]
    content = b.bmp(WIDTH, HEIGHT, 2, rows(packed), palette=PALETTE[:16])
    assert_shows(content, np.array(COLORS, np.uint8)[four])


def test_a_palette_may_state_more_colors_than_pixels_can_name() -> None:
    assert_shows(b.bmp(WIDTH, HEIGHT, 8, rows(INDEXES), palette=PALETTE.ljust(1200, b"\0"), colors=300), fields())


def test_the_short_header_of_os2() -> None:
    start = struct.pack("<IHHIIiiHH", 0, 0, 0, 30, 16, WIDTH, HEIGHT, 1, 24)
    assert_shows(b"BM" + start + rows(fields()[..., ::-1]), fields())


def runs(indexes: np.ndarray) -> bytes:
    """Return run lengths of one pixel each, with an end after each row."""
    return b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in indexes[::-1])


def run_lengths(data: bytes) -> bytes:
    return b.bmp(WIDTH, HEIGHT, 8, data, compression=1, palette=PALETTE, colors=8)


@pytest.mark.parametrize("end", [b"", b"\0\1"], ids=["no end", "end"])
def test_run_lengths(end: bytes) -> None:
    assert_shows(run_lengths(runs(INDEXES) + end), fields())


@pytest.mark.parametrize(
    ("data", "drawn"),
    [
        (runs(INDEXES[24:]) + b"\0\1", np.s_[24:]),
        (runs(INDEXES[:, :40]), np.s_[:, :40]),
        (b"\0\2\0\x0c" + runs(INDEXES[:36]), np.s_[:36]),
    ],
    ids=["half", "short rows", "jump"],
)
def test_what_no_run_draws_is_black(data: bytes, drawn: tuple[slice, ...]) -> None:
    shown = np.zeros_like(fields())
    shown[drawn] = fields()[drawn]
    assert_shows(run_lengths(data), shown)


@pytest.mark.parametrize(
    "content",
    [
        run_lengths(runs(INDEXES[24:])),
        bmp(108, 32, rows(with_alpha(0)), (0xF0F000, 0xFF00, 0xFF, 0), compression=3),
        bmp(108, 16, rows(with_alpha(0)), (0xFF0000, 0xFF00, 0xFF, 0), compression=3),
        bmp(64, 32, rows(with_alpha(0)), ARGB, compression=3),
        bmp(108, 32, rows(with_alpha(0))[:-9], ARGB, compression=3),
    ],
    ids=["run lengths cut short", "mask with a gap", "mask beyond the pixel", "masks of OS/2", "last row cut short"],
)
def test_what_a_browser_does_not_draw_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptImage):
        decoder_for(PreprocessSpec(96, 96)).decode(content)
