"""What a browser shows of a GIF: its first frame on a transparent screen. The right values are Chromium's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.hostile import builders as b
from tests.support.decoding import decoder_for
from tests.support.fields import BLUE, GREEN, HEIGHT, RED, WIDTH, YELLOW, assert_shows, fields
from worker.errors import CorruptImage, TooManyPixels
from worker.spec import PreprocessSpec

PALETTE = bytes([*RED, *GREEN, *BLUE, *YELLOW, *[10] * 3, *[0] * 9])
INDEXES = np.argmax((fields()[:, :, None] == np.frombuffer(PALETTE, np.uint8).reshape(8, 3)).all(axis=3), axis=2)
PART = INDEXES[10:40, 5:45]
SCREEN = b.gif_header(WIDTH, HEIGHT, PALETTE)


def image(pixels: np.ndarray, left: int = 0, top: int = 0, flags: int = 0) -> bytes:
    height, width = pixels.shape
    return b.gif_image(width, height, b.gif_codes(pixels.astype(np.uint8).tobytes(), 3), 3, left, top, flags)


def control(transparent: int | None = None, disposal: int = 0) -> bytes:
    return b.gif_extension(0xF9, bytes([disposal << 2 | (transparent is not None), 9, 0, transparent or 0]))


def placed(left: int, top: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return what is shown of `PART` on a screen."""
    shown = np.full((height, width, 3), 255, np.uint8)
    shown[top : top + 30, left : left + 40] = fields()[10:40, 5:45]
    return shown


@pytest.mark.parametrize(
    "content",
    [
        SCREEN + image(PART, 5, 10) + b";",
        SCREEN[:11] + b"\3" + SCREEN[12:] + image(PART, 5, 10) + b";",
        SCREEN + control(None, 2) + image(PART, 5, 10) + control() + image(INDEXES) + b";",
        SCREEN + control(None, 3) + image(PART, 5, 10) + control() + image(INDEXES) + b";",
        SCREEN + control(7) + image(PART, 5, 10) + b";",
        SCREEN + image(np.concatenate([PART[0::8], PART[4::8], PART[2::4], PART[1::2]]), 5, 10, 0x40) + b";",
    ],
    ids=["alone", "background color", "disposal 2", "disposal 3", "unused transparent color", "interlaced"],
)
def test_what_the_first_frame_leaves_of_the_screen_is_white(content: bytes) -> None:
    assert_shows(content, placed(5, 10))


def test_a_small_frame_without_a_palette_is_gray_on_white() -> None:
    shown = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    shown[10:40, 5:45] = PART[..., None]
    assert_shows(b.gif_header(WIDTH, HEIGHT, b"") + image(PART, 5, 10) + b";", shown, 2)


@pytest.mark.parametrize(
    ("screen", "place", "size"),
    [((30, 20), (0, 0), (40, 30)), ((0, 0), (5, 5), (45, 35)), ((WIDTH, HEIGHT), (90, 80), (130, 110))],
    ids=["smaller", "none", "elsewhere"],
)
def test_a_frame_outside_the_screen_makes_it_larger(
    screen: tuple[int, int], place: tuple[int, int], size: tuple[int, int]
) -> None:
    assert_shows(b.gif_header(*screen, PALETTE) + image(PART, *place) + b";", placed(*place, *size))


@pytest.mark.parametrize(
    "between",
    [
        b.gif_extension(0x77, b"abcdef"),
        b.gif_extension(0xFE, bytes(100_000), 1),
        b.gif_extension(0xFF, b"NETSCAPE2.0\1\1"),
        control(0) + control(),
    ],
    ids=["unknown", "comment", "short loop", "two controls, of which the last counts"],
)
def test_other_blocks_change_nothing(between: bytes) -> None:
    assert_shows(SCREEN + between + image(INDEXES) + b";", fields())


@pytest.mark.parametrize("missing", [0, 1, 2], ids=["", "terminator", "end of the codes"])
def test_the_end_may_be_missing(missing: int) -> None:
    content = SCREEN + image(INDEXES)
    assert_shows(content[: len(content) - missing], fields())


@pytest.mark.parametrize(
    "content",
    [
        SCREEN,
        SCREEN + b";",
        SCREEN + b"\x99" + image(INDEXES) + b";",
        SCREEN + b"\0" + image(INDEXES) + b";",
        SCREEN + b.gif_extension(0xF9, b"\1\0\0") + image(INDEXES) + b";",
        SCREEN + b.gif_extension(0xF9, b"\1\0\0\0\0") + image(INDEXES) + b";",
        SCREEN + image(INDEXES[:0]) + image(INDEXES) + b";",
        SCREEN + b.gif_image(WIDTH, HEIGHT, b"") + image(INDEXES) + b";",
        SCREEN + b.gif_image(WIDTH, HEIGHT, b.gif_codes(bytes(99))) + image(INDEXES) + b";",
    ],
    ids=[
        "nothing", "no frame", "unknown block", "zero byte", "short control", "long control", "frame of 64x0",
        "frame without pixels", "too few pixels",
    ],
)  # fmt: skip
def test_a_first_frame_that_a_browser_does_not_draw_in_full_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptImage):
        decoder_for(PreprocessSpec(96, 96)).decode(content)


def test_the_screen_has_the_same_limits_as_a_picture() -> None:
    with pytest.raises(TooManyPixels):
        decoder_for(PreprocessSpec(96, 96), max_pixels=3000 * 3000).decode(
            b.gif_header(3001, 3000, PALETTE) + image(PART)
        )
